"""Nothing that happens to a paused sequence, and nobody beside it, changes one bit of what it samples."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import caesura.sampler.engine_thread as engine_thread
import caesura.sampler.slot_order as slot_order
import pytest
from caesura.sampler.engine import SamplingParams, TokenSequence
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.memory_plan import MemoryPlan
from caesura.sampler.model import Model, load_model
from caesura.sampler.random_model import SHAPES, write_random_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS = 60
CONTEXT = 512
STATE = 4096 * 100  # bytes of a hundred tokens of the demo model

Turn = tuple[list[int], int]
"""Tokens that are appended, and how many are sampled then."""
Bits = list[tuple[int, float | None]]


def bits(sequence: TokenSequence) -> Bits:
    return [(entry.token, entry.logprob) for entry in sequence.ledger]


async def play(sequence: TokenSequence, turns: Sequence[Turn], first: int = 0) -> None:
    for number, (appended, count) in enumerate(turns[first:], first):
        if number:
            sequence.extend(appended)
        params = SamplingParams(temperature=0, max_tokens=count, logprobs=True)
        async for _ in sequence.sample(params):
            pass
        sequence.expect(["read", "shell"][: number % 3])


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await test()

    asyncio.run(bounded())


@pytest.fixture(scope="module")
def undisturbed(model: Model) -> Callable[[Sequence[Turn]], Bits]:
    """What a rollout samples when it is alone and always in its slot."""
    known: dict[str, Bits] = {}

    def result(turns: Sequence[Turn]) -> Bits:
        async def test() -> None:
            engine = LlamaEngine(model, context_length=CONTEXT, sequences=1, share_prefixes=False)
            sequence = await engine.open(turns[0][0])
            await play(sequence, turns)
            assert sequence.ledger.recomputed == 0
            known[repr(turns)] = bits(sequence)
            await engine.close()

        if repr(turns) not in known:
            run(test)
        return known[repr(turns)]

    return result


def test_the_build_is_batch_invariant(engine_of_four: LlamaEngine) -> None:
    """If this fails, llama.cpp was not built by bootstrap.py, and the other tests here can't hold either."""
    assert engine_of_four.batch_invariant


turn = st.tuples(st.lists(st.integers(100, 900), min_size=1, max_size=60), st.integers(1, 12))
rollouts = st.lists(st.lists(turn, min_size=1, max_size=4), min_size=2, max_size=5)
# Budgets: everything in memory, a part of it, everything on disk, some of each, nothing anywhere.
budgets = st.sampled_from([(100, 0), (3, 0), (0, 100), (1, 2), (0, 0), (1, 100)])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rollouts, budgets, st.integers(1, 2), st.sampled_from([(64, 128), (7, 33)]), st.booleans())
def test_swapped_and_beside_others(
    model: Model,
    undisturbed: Callable[[Sequence[Turn]], Bits],
    tmp_path: Path,
    rollouts: list[list[Turn]],
    budget: tuple[int, int],
    slots: int,
    chunks: tuple[int, int],
    share: bool,
) -> None:
    """Rebuilt ones too: a batch-invariant build doesn't care how a prefill is cut."""
    memory, disk = budget
    expected = [undisturbed(turns) for turns in rollouts]

    async def test() -> None:
        engine = LlamaEngine(
            model,
            context_length=CONTEXT,
            sequences=slots,
            plan=MemoryPlan(memory * STATE, tmp_path if disk else None, disk * STATE),
            prefill_chunk=chunks[0],
            idle_prefill_chunk=chunks[1],
            share_prefixes=share,
        )
        sequences = [await engine.open(turns[0][0]) for turns in rollouts]
        await asyncio.gather(*(play(sequence, turns) for sequence, turns in zip(sequences, rollouts, strict=True)))
        for sequence, tokens in zip(sequences, expected, strict=True):
            assert bits(sequence) == tokens
            ledger = sequence.ledger
            assert ledger.decoded + ledger.copied == len(ledger) - 1 + ledger.recomputed
            assert bool(ledger.recomputed) == bool(ledger.rebuilds)
            if memory == 100 or disk == 100:
                assert not ledger.recomputed, "there was room for every state"
        await engine.close()

    run(test)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [1, 3])
def test_changing_slots(
    model: Model,
    undisturbed: Callable[[Sequence[Turn]], Bits],
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    """Sequences that run while others between them pause move together."""
    monkeypatch.setattr(engine_thread, "COMPACT_AFTER", steps)
    moved: list[tuple[int, int]] = []
    find = slot_order.moves
    monkeypatch.setattr(
        slot_order, "moves", lambda running, slots: moved.extend(found := find(running, slots)) or found
    )
    rollouts: list[list[Turn]] = [
        [([100 + key, *range(200, 230 + key)], 5 + 9 * (key % 2)), ([7, key], 20 - 9 * (key % 2)), ([8], 6)]
        for key in range(6)
    ]
    expected = [undisturbed(turns) for turns in rollouts]

    async def test() -> None:
        engine = LlamaEngine(model, context_length=CONTEXT, sequences=6, share_prefixes=False)
        sequences = [await engine.open(turns[0][0]) for turns in rollouts]
        # The odd ones go on alone: the even ones keep their slots between them.
        await asyncio.gather(*(play(sequence, turns[:1]) for sequence, turns in zip(sequences, rollouts, strict=True)))
        for chosen in (slice(1, None, 2), slice(0, None, 2)):
            await asyncio.gather(*(play(s, t, 1) for s, t in list(zip(sequences, rollouts, strict=True))[chosen]))
        assert [bits(sequence) for sequence in sequences] == expected
        assert all(sequence.ledger.recomputed == 0 for sequence in sequences)
        await engine.close()

    run(test)
    assert moved


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(turn, min_size=2, max_size=4), st.data(), budgets)
def test_forked(
    model: Model,
    undisturbed: Callable[[Sequence[Turn]], Bits],
    tmp_path: Path,
    turns: list[Turn],
    data: st.DataObject,
    budget: tuple[int, int],
) -> None:
    """A fork at a pause goes on as its origin does; one from the middle of a turn samples the rest of the turn."""
    memory, disk = budget
    at = data.draw(st.integers(1, len(turns) - 1))
    expected = undisturbed(turns)
    plan = MemoryPlan(memory * STATE, tmp_path if disk else None, disk * STATE)

    async def test() -> None:
        engine = LlamaEngine(model, context_length=CONTEXT, sequences=2, plan=plan)
        origin = await engine.open(turns[0][0])
        await play(origin, turns[:at])
        sampled = turns[at - 1][1]
        earlier = data.draw(st.integers(1, sampled))
        fork, middle = origin.fork(), origin.fork(len(origin.ledger) - earlier)
        other = await engine.open([7] * 50)
        await asyncio.gather(
            play(fork, turns, at), play(origin, turns, at), play(middle, [([], earlier)]), play(other, [([], 5)])
        )
        assert bits(fork) == bits(origin) == expected
        assert bits(middle) == expected[: len(middle.ledger)]
        for sequence in (fork, middle):
            ledger = sequence.ledger
            assert ledger.decoded + ledger.copied == len(ledger) - 1 + ledger.recomputed
        await engine.close()

    run(test)


def test_a_fork_computes_only_what_is_new(engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        origin = await engine_of_four.open(list(range(100, 120)))
        with pytest.raises(ValueError, match="between 1 and 20"):
            origin.fork(0)
        with pytest.raises(ValueError, match="between 1 and 20"):
            origin.fork(21)
        unsampled = origin.fork()
        await play(origin, [([], 10)])
        assert bits(origin)[:20] == bits(unsampled)
        fork = origin.fork()
        fork.extend([5, 6, 7])
        await play(fork, [([], 4)])
        assert (fork.ledger.copied, fork.ledger.decoded) == (29, 1 + 3 + 3)
        assert (fork.ledger.prefilled, fork.ledger.appended, fork.ledger.sampled) == (20, 3, 14)
        assert fork.ledger[25].source is origin.ledger[25].source
        await play(unsampled, [([], 10)])
        assert bits(unsampled) == bits(origin)
        for sequence in (origin, unsampled, fork):
            await sequence.close()

    run(test)


def test_a_new_sequence_begins_with_a_copy_of_one_like_it(model: Model) -> None:
    async def test() -> None:
        engine = LlamaEngine(model, context_length=CONTEXT, sequences=3)
        prompt = [100 + at % 700 for at in range(200)]
        first = await engine.open(prompt)
        await play(first, [([], 3)])
        same, longer, other = [await engine.open(tokens) for tokens in (prompt, [*prompt[:150], 5, 6], [9, *prompt])]
        for sequence in (same, longer, other):
            await play(sequence, [([], 3)])
        assert [sequence.ledger.copied for sequence in (first, same, longer, other)] == [0, 199, 150, 0]
        assert bits(same) == bits(first)
        await first.close()
        await same.close()
        after = await engine.open([*prompt, 1, 2, 3])
        await play(after, [([], 1)])
        assert after.ledger.copied == 200, "a closed sequence's state serves too"
        await engine.close()

    run(test)


def test_what_a_closed_sequence_sampled_serves_too(model: Model) -> None:
    async def test() -> None:
        engine = LlamaEngine(model, context_length=CONTEXT, sequences=2)
        first = await engine.open([100 + at for at in range(20)])
        await play(first, [([], 60)])
        row = first.ledger.tokens
        await first.close()
        second = await engine.open([*row, 1, 2])
        await play(second, [([], 1)])
        assert second.ledger.copied == 79, "all but the last sampled token was computed"
        await engine.close()

    run(test)


def test_flash_attention_is_not_called_exact(model: Model) -> None:
    async def test() -> None:
        engine = LlamaEngine(model, context_length=CONTEXT, sequences=2, flash_attention=True)
        assert not engine.batch_invariant
        sequences = [await engine.open([100 + key, 5, 6]) for key in range(4)]
        await asyncio.gather(*(play(sequence, [([], 5), ([7], 5)]) for sequence in sequences))
        assert all(sequence.ledger.recomputed == 0 for sequence in sequences)
        await engine.close()

    run(test)


@pytest.mark.parametrize("quantization", ["f16", "q8_0", "f32"])
def test_other_weights(tmp_path: Path, quantization: str) -> None:
    path = write_random_model(tmp_path / "random.gguf", SHAPES["tiny"], quantization=quantization)
    random_model = load_model(path)
    turns: list[Turn] = [(list(range(100, 140)), 6), ([5, 6, 7], 6)]

    async def test() -> None:
        alone = LlamaEngine(random_model, context_length=256, sequences=1)
        sequence = await alone.open(turns[0][0])
        await play(sequence, turns)
        expected = bits(sequence)
        await alone.close()
        engine = LlamaEngine(random_model, context_length=256, sequences=2, prefill_chunk=9)
        sequences = [await engine.open([*turns[0][0][:30], *range(key, key + 10)]) for key in range(3)]
        sequence = await engine.open(turns[0][0])
        await asyncio.gather(*(play(each, turns) for each in (*sequences, sequence)))
        assert bits(sequence) == expected
        await engine.close()

    run(test)


@pytest.mark.parametrize("architecture", ["mamba", "lfm2"])
def test_recurrent_and_hybrid_models(tmp_path: Path, architecture: str) -> None:
    """Their state can't be cut, only kept whole: pauses, swaps and forks at the end compute nothing again."""
    model = load_model(write_random_model(tmp_path / "random.gguf", SHAPES["tiny"], architecture=architecture))
    rollouts: list[list[Turn]] = [
        [([100 + key, *range(200, 240)], 6), ([5, 6, 7], 6), ([8, key], 6)] for key in range(4)
    ]

    async def play_all(slots: int, plan: MemoryPlan) -> list[Bits]:
        engine = LlamaEngine(model, context_length=256, sequences=slots, plan=plan)
        sequences = [await engine.open(turns[0][0]) for turns in rollouts]
        await asyncio.gather(*(play(sequence, turns) for sequence, turns in zip(sequences, rollouts, strict=True)))
        fork = sequences[0].fork()
        await play(fork, [([], 5)])
        await play(sequences[0], [([], 5)])
        assert bits(fork) == bits(sequences[0])
        for sequence in (*sequences, fork):
            assert (sequence.ledger.recomputed, sequence.ledger.rebuilds) == (0, [])
        assert fork.ledger.copied == len(fork.ledger) - 6
        await engine.close()
        return [bits(sequence) for sequence in sequences]

    async def test() -> None:
        kept = await play_all(8, MemoryPlan(0))
        assert await play_all(1, MemoryPlan(10**7)) == kept
        assert await play_all(2, MemoryPlan(0, tmp_path / "swap", 10**7)) == kept

    run(test)
