"""The engine on a simulated context: what it counts is what it counts on llama.cpp, only the computing is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caesura.sampler.cost_model import CostModel
from caesura.sampler.engine import FinishReason, SampledToken, SamplingParams, TokenSequence
from caesura.sampler.engine_context import batch_size, make_context
from caesura.sampler.errors import DecodeFailed, EngineStartFailed
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.memory_plan import MemoryPlan
from caesura.sampler.model import Model
from caesura.sampler.process_engine import ProcessEngine
from caesura.sampler.simulated_context import SimulatedContext
from hypothesis import given, settings
from hypothesis import strategies as st

SECONDS = 30
FAST = CostModel(decode=1e9, prefill=1e9)
GREEDY = SamplingParams(temperature=0, max_tokens=9)
MEMORY, NOTHING = MemoryPlan(2**26), MemoryPlan(0)

Operation = tuple[int, str, int]
Counts = dict[str, Any]


async def sample(
    sequence: TokenSequence, params: SamplingParams = GREEDY, forced: Sequence[int] | None = None
) -> list[SampledToken]:
    return [token async for tokens in sequence.sample(params, forced=forced) for token in tokens]


def counts(sequence: TokenSequence) -> Counts:
    names = ("prefilled", "appended", "sampled", "decoded", "recomputed", "copied")
    return {name: getattr(sequence.ledger, name) for name in names} | {"reason": sequence.finish_reason}


def play(
    model: Model, operations: Sequence[Operation], sequences: int, plan: MemoryPlan, cost_model: CostModel | None
) -> list[tuple[list[int], Counts]]:
    """Every ledger after every operation, on sequences of which two begin alike."""

    async def run() -> list[tuple[list[int], Counts]]:
        async with asyncio.timeout(SECONDS):
            engine = LlamaEngine(model, context_length=256, sequences=sequences, plan=plan, cost_model=cost_model)
            opened: dict[int, TokenSequence] = {}
            seen = []
            for key, operation, count in operations:
                if key not in opened:
                    opened[key] = await engine.open([100 + key // 2] * 40 + [200 + key] * 5)
                sequence = opened[key]
                if operation == "extend":
                    sequence.extend([count] * min(count, sequence.room()))
                elif operation == "fork":
                    child = sequence.fork()
                    if (replaced := opened.get((key + 1) % 4)) is not None:
                        await replaced.close()
                    opened[(key + 1) % 4] = child
                elif operation == "close":
                    await opened.pop(key).close()
                else:
                    await sample(sequence, forced=[count] * count)
                seen.append((sequence.ledger.tokens, counts(sequence)))
            await engine.close()
            return seen

    return asyncio.run(run())


operations = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["force", "force", "extend", "fork", "close"]), st.integers(1, 70)),
    max_size=20,
)


# With one place and no memory every change of sequences is a rebuild; with two, states move. Neither depends on time.
@pytest.mark.parametrize(("sequences", "plan"), [(2, MEMORY), (1, NOTHING)], ids=["swapped", "rebuilt"])
@settings(max_examples=12)
@given(operations=operations)
def test_it_counts_what_llama_cpp_makes_it_count(
    model: Model, vocab_model: Model, sequences: int, plan: MemoryPlan, operations: list[Operation]
) -> None:
    simulated = play(vocab_model, operations, sequences, plan, FAST)
    assert simulated == play(model, operations, sequences, plan, None)


def test_such_runs_copy_swap_and_rebuild(vocab_model: Model) -> None:
    """The comparison above would say nothing if they didn't."""
    turns = [(0, "force", 5), (1, "force", 5), (2, "force", 5), (0, "extend", 3), (0, "force", 5)]
    swapped = [count for _, count in play(vocab_model, turns, 2, MEMORY, FAST)]
    rebuilt = [count for _, count in play(vocab_model, turns, 1, NOTHING, FAST)]
    assert swapped[1]["copied"] == 40, "what the two have in common"
    assert (swapped[-1]["recomputed"], swapped[-1]["decoded"]) == (0, 57)
    assert (rebuilt[-1]["recomputed"], rebuilt[-1]["decoded"]) == (49, 49 + 57)


def test_states_go_to_disk_and_back(vocab_model: Model, tmp_path: Path) -> None:
    plan = MemoryPlan(0, tmp_path, 2**20)
    turns = [(key, "force", 5) for key in (0, 2, 0, 2, 0)]
    seen = play(vocab_model, turns, 1, plan, FAST)
    assert [count["recomputed"] for _, count in seen] == [0] * 5


def test_unforced_sampling_ends_by_its_bound(vocab_model: Model) -> None:
    async def test() -> None:
        engine = LlamaEngine(vocab_model, context_length=256, sequences=2, cost_model=FAST)
        assert engine.batch_invariant
        sequence = await engine.open([5] * 10)
        stopping = SamplingParams(temperature=1, max_tokens=20, stop_tokens=vocab_model.stop_tokens, logprobs=True)
        tokens = await sample(sequence, stopping)
        assert len({token.token for token in tokens}) == 1
        assert vocab_model.vocab.visible_piece(tokens[0].token).decode().strip().isalpha()
        assert all(token.logprob == pytest.approx(0, abs=1e-3) for token in tokens)
        assert sequence.finish_reason is FinishReason.LENGTH
        await sample(sequence, SamplingParams())
        assert sequence.finish_reason is FinishReason.CONTEXT
        assert sequence.room() == 0
        await engine.close()

    asyncio.run(asyncio.wait_for(test(), SECONDS))


def test_a_grammar_is_obeyed_and_ends(vocab_model: Model) -> None:
    async def test() -> None:
        engine = LlamaEngine(vocab_model, context_length=256, sequences=1, cost_model=FAST)
        sequence = await engine.open([5])
        grammar = 'start: "7" | "8"'
        tokens = await sample(sequence, SamplingParams(grammar=grammar, max_tokens=20, temperature=1))
        assert vocab_model.vocab.decode([token.token for token in tokens])[:1] in ("7", "8")
        assert sequence.finish_reason is FinishReason.STOP
        await engine.close()

    asyncio.run(asyncio.wait_for(test(), SECONDS))


def test_in_a_process_of_its_own(vocab_model: Model) -> None:
    async def test() -> None:
        engine = ProcessEngine(vocab_model, context_length=256, sequences=2, cost_model=FAST)
        sequence = await engine.open([5] * 10)
        assert len(await sample(sequence)) == 9
        await engine.close()

    asyncio.run(asyncio.wait_for(test(), SECONDS))


@pytest.mark.parametrize("wrong", [{"sequences": 0}, {"sequences": 257}, {"context_length": 2**31}], ids=str)
def test_settings_that_cant_be_had(vocab_model: Model, wrong: dict[str, int]) -> None:
    with pytest.raises(EngineStartFailed):
        LlamaEngine(vocab_model, cost_model=FAST, **wrong)


@pytest.fixture
def context(vocab_model: Model) -> SimulatedContext:
    made = make_context(vocab_model, context_length=64, sequences=2, batch_size=batch_size(2), cost_model=FAST)
    assert isinstance(made, SimulatedContext)
    return made


def test_batches_that_llama_cpp_would_refuse(context: SimulatedContext) -> None:
    context.decode([(0, 0, [1, 2, 3], True)])
    for position, tokens in ((0, [4]), (4, [4]), (3, []), (3, [1] * 62), (3, [1] * 140)):
        with pytest.raises(DecodeFailed):
            context.decode([(0, position, tokens, True)])
    context.decode([(0, 3, [1] * 60, True)])
    context.decode([(0, 63, [1], True)])
    with pytest.raises(DecodeFailed, match="full"):
        context.decode_next([1])


def test_a_state_that_is_none(context: SimulatedContext) -> None:
    context.decode([(1, 0, [1, 2, 3], True)])
    state = np.empty(context.saved_size(1), np.uint8)
    assert context.save(1, state) == len(state)
    assert context.load(0, state)
    context.decode([(0, 3, [4], True)])
    assert not context.load(0, state[:3])
    context.decode([(0, 0, [4], True)])


def test_its_steps_take_what_the_model_says(vocab_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(
        "caesura.sampler.simulated_context.PreciseSleep.wait", lambda sleep, began, duration: taken.append(duration)
    )
    model = CostModel(decode=1000, prefill=10_000, attention=1, batch=0.5)
    context = make_context(vocab_model, context_length=4096, sequences=2, batch_size=batch_size(2), cost_model=model)
    context.decode([(0, 0, [1] * 100, True), (1, 0, [1], True)])
    context.decode([(0, 100, [1], True), (1, 1, [1], True)])
    context.decode_next([1, 1])
    assert taken == [10_100_000 + 99 * 50, 1_500_000 + 101, 1_500_000 + 103]
