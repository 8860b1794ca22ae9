"""With hints and without: the same tokens, log-probabilities and ledgers to the last bit, whatever comes in between."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from caesura.sampler.cost_model import CostModel
from caesura.sampler.engine import SamplingParams, TokenSequence
from caesura.sampler.errors import InvalidToken
from caesura.sampler.llama_context import LlamaContext
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.memory_plan import MemoryPlan
from caesura.sampler.model import Model, load_model
from caesura.sampler.process_engine import ProcessEngine
from caesura.sampler.random_model import SHAPES, write_random_model
from caesura.sampler.simulated_context import SimulatedContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS = 60
CONTEXT = 256
FAST = CostModel(decode=1e9, prefill=1e9)
MEMORY, NOTHING = MemoryPlan(2**26), MemoryPlan(0)
STATE = 4096 * 100  # bytes of a hundred tokens of the demo model

Operation = tuple[int, str, list[int], int, bool]
"""Of which sequence, what, tokens of a hint, how much of it is right or how much is sampled, and whether the engine has
the time to carry it out."""


async def sample(sequence: TokenSequence, count: int) -> None:
    async for _ in sequence.sample(SamplingParams(temperature=0, max_tokens=count, logprobs=True)):
        pass


async def cancel_and_go_on(sequence: TokenSequence, count: int, hint: Sequence[int]) -> None:
    """Stopped wherever it is, and then sampled to where it would have come."""
    before = sequence.ledger.sampled
    await sequence.sample(SamplingParams(temperature=0, max_tokens=count, logprobs=True)).aclose()
    left = count - (sequence.ledger.sampled - before)
    if hint:
        sequence.anticipate(hint)
    if left and sequence.room():
        await sample(sequence, left)


async def until_ahead(engine: LlamaEngine, count: int) -> None:
    """Until so many tokens were computed ahead since the engine's start."""
    while engine._residency.counters.computed_ahead < count:  # noqa: ASYNC110  (nothing signals it to anybody)
        await asyncio.sleep(0)


async def until_idle(engine: LlamaEngine) -> None:
    """A hint that was given at this very moment may be missed."""
    thread = engine._thread
    while len(thread._ahead) or not thread._commands.empty():  # noqa: ASYNC110  (nothing signals it to anybody)
        await asyncio.sleep(0)


def seen(sequence: TokenSequence) -> list[Any]:
    ledger = sequence.ledger
    names = ("prefilled", "appended", "sampled", "decoded", "recomputed", "copied", "rebuilds")
    return [*ledger, *(getattr(ledger, name) for name in names), sequence.finish_reason]


def play(
    model: Model,
    operations: Sequence[Operation],
    slots: int,
    plan: MemoryPlan,
    cost_model: CostModel | None,
    *,
    hints: bool,
) -> list[list[Any]]:
    """Every ledger after every operation, on sequences of which two begin alike."""

    async def run() -> list[list[Any]]:
        async with asyncio.timeout(SECONDS):
            engine = LlamaEngine(model, context_length=CONTEXT, sequences=slots, plan=plan, cost_model=cost_model)
            opened: dict[int, TokenSequence] = {}
            result = []
            for key, operation, tokens, count, settles in operations:
                if key not in opened:
                    opened[key] = await engine.open([100 + key // 2] * 40 + [200 + key] * 5)
                sequence = opened[key]
                if hints:
                    sequence.anticipate(tokens)
                if settles:
                    await until_idle(engine)
                if operation == "extend":
                    sequence.extend([*tokens[:count], 7][: sequence.room()])
                elif operation == "fork":
                    if (replaced := opened.get((key + 1) % 4)) is not None:
                        await replaced.close()
                    opened[(key + 1) % 4] = sequence.fork()
                elif operation == "close":
                    await opened.pop(key).close()
                    sequence.anticipate(tokens)
                elif operation == "cancel":
                    await cancel_and_go_on(sequence, count, tokens if hints else ())
                elif operation == "sample":
                    await sample(sequence, count)
                result.append(seen(sequence))
            await engine.close()
            return result

    return asyncio.run(run())


hint = st.lists(st.integers(100, 900), max_size=40)
kinds = st.sampled_from(["extend", "extend", "sample", "sample", "sample", "cancel", "hint", "fork", "close"])
operations = st.lists(st.tuples(st.integers(0, 3), kinds, hint, st.integers(1, 20), st.booleans()), max_size=20)


# With one place and no memory every change of sequences is a rebuild; with two, states move. Neither depends on time.
@pytest.mark.parametrize("simulated", [True, False], ids=["simulated", "demo"])
@pytest.mark.parametrize(("slots", "plan"), [(2, MEMORY), (1, NOTHING)], ids=["swapped", "rebuilt"])
@settings(max_examples=15)
@given(operations=operations)
def test_one_after_another(
    model: Model, slots: int, plan: MemoryPlan, simulated: bool, operations: list[Operation]
) -> None:
    cost_model = FAST if simulated else None
    without = play(model, operations, slots, plan, cost_model, hints=False)
    assert play(model, operations, slots, plan, cost_model, hints=True) == without


class Counted:
    """Tokens that contexts were fed since the last `reset`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens = 0
        for context in (LlamaContext, SimulatedContext):
            self._watch(monkeypatch, context)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
        decode, decode_next = context.decode, context.decode_next

        def counting(it: Any, rows: Sequence[Any]) -> None:
            self.tokens += sum(len(row[2]) for row in rows)
            decode(it, rows)

        def counting_next(it: Any, tokens: Sequence[int]) -> None:
            self.tokens += len(tokens)
            decode_next(it, tokens)

        monkeypatch.setattr(context, "decode", counting)
        monkeypatch.setattr(context, "decode_next", counting_next)


Turn = tuple[list[int], int, int]
"""A hint, how much of it is right, and how many tokens are sampled then."""

turn = st.tuples(hint, st.integers(0, 40), st.integers(1, 10))
rollouts = st.lists(st.lists(turn, min_size=1, max_size=4), min_size=2, max_size=5)
# Budgets: everything in memory, a part of it, everything on disk, some of each, nothing anywhere.
budgets = st.sampled_from([(100, 0), (3, 0), (0, 100), (1, 2), (0, 0), (1, 100)])


async def roll_out(sequence: TokenSequence, turns: Sequence[Turn], *, hints: bool) -> None:
    await sample(sequence, 5)
    for tokens, right, count in turns:
        if hints:
            sequence.anticipate(tokens)
            await asyncio.sleep(0)
        sequence.extend([*tokens[:right], 7])
        await sample(sequence, count)


def all_at_once(
    model: Model, rollouts: list[list[Turn]], *, hints: bool, counted: Counted, **engine_settings: Any
) -> list[list[Any]]:
    async def run() -> list[list[Any]]:
        async with asyncio.timeout(SECONDS):
            engine = LlamaEngine(model, context_length=CONTEXT, **engine_settings)
            counted.tokens = 0
            prompts = [[100 + number // 2] * 40 + [200 + number] * 5 for number in range(len(rollouts))]
            sequences = [await engine.open(prompt) for prompt in prompts]
            await asyncio.gather(
                *(roll_out(each, turns, hints=hints) for each, turns in zip(sequences, rollouts, strict=True))
            )
            ledgers = [sequence.ledger for sequence in sequences]
            for ledger in ledgers:
                assert ledger.decoded + ledger.copied == len(ledger) - 1 + ledger.recomputed
                assert bool(ledger.recomputed) == bool(ledger.rebuilds)
            # Every sequence was sampled after its last hint, so all that was computed ahead is accounted for.
            ahead = engine._residency.counters.computed_ahead
            assert ahead == sum(ledger.anticipated + ledger.wasted for ledger in ledgers)
            assert counted.tokens == sum(ledger.decoded + ledger.wasted for ledger in ledgers)
            await engine.close()
            return [list(ledger) for ledger in ledgers]

    return asyncio.run(run())


@pytest.mark.parametrize("simulated", [True, False], ids=["simulated", "demo"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rollouts, budgets, st.integers(1, 3), st.sampled_from([(64, 128), (7, 5)]), st.booleans())
def test_all_at_once(
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    simulated: bool,
    rollouts: list[list[Turn]],
    budget: tuple[int, int],
    slots: int,
    chunks: tuple[int, int],
    share: bool,
) -> None:
    memory, disk = budget
    with monkeypatch.context() as patch:
        counted = Counted(patch)
        rows = [
            all_at_once(
                model,
                rollouts,
                hints=hints,
                counted=counted,
                sequences=slots,
                plan=MemoryPlan(memory * STATE, tmp_path if disk else None, disk * STATE),
                prefill_chunk=chunks[0],
                idle_prefill_chunk=chunks[1],
                share_prefixes=share,
                cost_model=FAST if simulated else None,
            )
            for hints in (False, True)
        ]
    assert rows[0] == rows[1]


async def nothing(engine: Any) -> None:
    """It can't be looked into."""


async def resumed_after(engine: Any, hint: list[int], until: Callable[[], Awaitable[None]]) -> TokenSequence:
    """A sequence that was given the time to compute what then came."""
    sequence: TokenSequence = await engine.open(list(range(100, 150)))
    await sample(sequence, 5)
    sequence.anticipate(hint)
    await until()
    sequence.extend([*hint, 7])
    await sample(sequence, 5)
    return sequence


def test_what_was_certain_is_not_computed_again(engine_of_four: LlamaEngine) -> None:
    """Or the tests above would show nothing."""

    async def test() -> None:
        async with asyncio.timeout(SECONDS):
            before = engine_of_four._residency.counters.computed_ahead
            sequence = await resumed_after(engine_of_four, [5, 6, 7], lambda: until_ahead(engine_of_four, before + 4))
            assert (sequence.ledger.anticipated, sequence.ledger.wasted) == (4, 0)
            with pytest.raises(InvalidToken):
                sequence.anticipate([10**6])
            await sequence.close()

    asyncio.run(test())


def test_the_end_of_the_context(model: Model) -> None:
    async def test() -> None:
        async with asyncio.timeout(SECONDS):
            engine = LlamaEngine(model, context_length=60, sequences=1)
            sequence = await engine.open(list(range(100, 150)))
            await sample(sequence, 8)
            sequence.anticipate([5, 6, 7, 8])
            await until_ahead(engine, 3)
            sequence.extend([5])
            await sample(sequence, 9)
            assert (len(sequence.ledger), sequence.ledger.anticipated, sequence.ledger.wasted) == (60, 1, 2)
            sequence.anticipate([5])
            await engine.close()

    asyncio.run(test())


def test_engines_that_dont_take_hints(model: Model, tmp_path: Path) -> None:
    """Where bits would depend on it, where a wrong one could not be taken back, and in another process."""
    recurrent = load_model(write_random_model(tmp_path / "random.gguf", SHAPES["tiny"], architecture="mamba"))

    async def test() -> None:
        async with asyncio.timeout(SECONDS):
            for engine in (
                LlamaEngine(model, context_length=CONTEXT, sequences=1, flash_attention=True),
                LlamaEngine(recurrent, context_length=CONTEXT, sequences=1),
                ProcessEngine(model, context_length=CONTEXT, sequences=1),
            ):
                idle = until_idle if isinstance(engine, LlamaEngine) else nothing
                sequence = await resumed_after(engine, [5, 6, 7], functools.partial(idle, engine))
                assert (sequence.ledger.anticipated, sequence.ledger.wasted) == (0, 0)
                assert sequence.ledger.decoded == len(sequence.ledger) - 1
                await engine.close()

    asyncio.run(test())
