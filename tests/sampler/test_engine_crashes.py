"""The engine in a process of its own, which is killed at every opportunity.

A rebuilt state has the same bits as the one that was lost only in a batch-invariant build. Prompts and seeds here are
such that no two candidates are close enough to be exchanged without one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from caesura.sampler import engine_child
from caesura.sampler.engine import FinishReason, SamplingParams, TokenSequence
from caesura.sampler.errors import (
    DecodeFailed,
)
from caesura.sampler.model import Model
from caesura.sampler.process_engine import ProcessEngine
from process_support import SETTINGS, ids, opened, prompt, run, sample

LONG = SamplingParams(temperature=0, max_tokens=400)
"""Long enough that a kill after some tokens never comes after the last."""
HOT = SamplingParams(temperature=1, seed=5, max_tokens=60)
ABORT = 901
FAULTS = {"SIGABRT": ABORT, "SIGSEGV": 902, "a clean exit": 903, "a Python error": 904}


@pytest.fixture(scope="module")
def engine(vocab_model: Model) -> Iterator[ProcessEngine]:
    """Shared: a test that kills its child leaves it as good as new. Whoever opens a sequence closes it."""
    engine = ProcessEngine(vocab_model, **SETTINGS)
    yield engine
    asyncio.run(engine.close())


async def sample_killing(
    engine: ProcessEngine, sequence: TokenSequence, params: SamplingParams, at: Sequence[int]
) -> list[int]:
    """Kill the child once so many tokens have come."""
    kills = list(at)
    tokens: list[int] = []
    async for sampled in sequence.sample(params):
        tokens += [token.token for token in sampled]
        if kills and len(tokens) >= kills[0]:
            kills.pop(0)
            os.kill(engine.pid, signal.SIGKILL)
    return tokens


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "caesura"]


def test_killed_while_sampling(engine: ProcessEngine, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with opened(engine, prompt()) as sequence:
            expected = ids(await sample(sequence, LONG))
        with caplog.at_level(logging.WARNING, "caesura"):
            async with opened(engine, prompt()) as sequence:
                assert await sample_killing(engine, sequence, LONG, [20]) == expected
                assert sequence.finish_reason is FinishReason.LENGTH
                ledger = sequence.ledger
                assert list(ledger.tokens) == prompt() + expected
                (rebuilt_at,) = ledger.rebuilds
                assert rebuilt_at >= 20 + 20 - 1
                assert ledger.recomputed == rebuilt_at
                assert ledger.decoded + ledger.copied == len(ledger) - 1 + ledger.recomputed
        (warning,) = warnings_in(caplog)
        assert "SIGKILL" in warning

    run(test)


def test_killed_twice_in_one_turn(engine: ProcessEngine) -> None:
    async def test() -> None:
        async with opened(engine, prompt()) as sequence:
            expected = ids(await sample(sequence, LONG))
        async with opened(engine, prompt()) as sequence:
            assert await sample_killing(engine, sequence, LONG, [5, 30]) == expected
            assert len(sequence.ledger.rebuilds) == 2

    run(test)


def test_killed_while_paused(engine: ProcessEngine) -> None:
    async def rollout(kill: bool) -> list[int]:
        async with opened(engine, prompt()) as sequence:
            await sample(sequence)
            if kill:
                os.kill(engine.pid, signal.SIGKILL)
            sequence.extend([5, 6, 7])
            await sample(sequence)
            assert sequence.ledger.rebuilds == [79] * kill
            assert sequence.ledger.recomputed == 79 * kill
            return list(sequence.ledger.tokens)

    async def test() -> None:
        assert await rollout(kill=True) == await rollout(kill=False)

    run(test)


def test_many_sequences_survive(engine: ProcessEngine) -> None:
    """Some are being sampled when it happens, one is paused, one begins meanwhile."""

    async def rollouts(kill: bool) -> list[list[int]]:
        sequences = [await engine.open(prompt(number)) for number in range(4)]
        await sample(sequences[2])

        async def late() -> None:
            await sample(sequences[0], SamplingParams(temperature=0, max_tokens=30))
            if kill:
                os.kill(engine.pid, signal.SIGKILL)
            await asyncio.gather(sample(sequences[0]), sample(sequences[3]))

        await asyncio.gather(late(), sample(sequences[1]))
        await sample(sequences[2])
        rows = [list(sequence.ledger.tokens) for sequence in sequences]
        for sequence in sequences:
            await sequence.close()
        return rows

    async def test() -> None:
        assert await rollouts(kill=True) == await rollouts(kill=False)

    run(test)


def test_a_seed_gives_the_same_tokens(engine: ProcessEngine) -> None:
    async def test() -> None:
        async with opened(engine, prompt()) as sequence:
            expected = ids(await sample(sequence, HOT))
        async with opened(engine, prompt()) as sequence:
            assert await sample_killing(engine, sequence, HOT, [20, 40]) == expected

    run(test)


def test_forced_tokens_go_on_where_they_were(engine: ProcessEngine) -> None:
    forced = prompt(4, 400)

    async def test() -> None:
        async with opened(engine, prompt()) as sequence:
            tokens = []
            async for sampled in sequence.sample(SamplingParams(), forced=forced):
                if not tokens:
                    os.kill(engine.pid, signal.SIGKILL)
                tokens += ids(sampled)
            assert tokens == forced
            assert sequence.ledger.rebuilds

    run(test)


def test_stopped_while_no_child_is_there(engine: ProcessEngine) -> None:
    async def test() -> None:
        async with opened(engine, prompt()) as sequence:
            stream = sequence.sample(SamplingParams(temperature=0))
            await anext(stream)
            os.kill(engine.pid, signal.SIGKILL)
            await stream.aclose()
            assert sequence.finish_reason is None
            sequence.extend([1])
            assert len(await sample(sequence)) == 60

    run(test)


@pytest.mark.parametrize("poison", FAULTS.values(), ids=FAULTS)
def test_every_way_to_die(faulty: ProcessEngine, engine: ProcessEngine, poison: int, tmp_path: Path) -> None:
    """In the middle of a prefill."""
    faults = tmp_path / "faults"
    faults.write_text("once")
    long = [*prompt(2, 150), poison, *prompt(3, 100)]

    async def test() -> None:
        async with opened(engine, long) as reference, opened(faulty, long) as sequence:
            assert ids(await sample(sequence)) == ids(await sample(reference))

    run(test)
    assert faults.read_text() == ""


def test_a_crash_loop_ends(faulty: ProcessEngine) -> None:
    """The sequence that kills the child each time is given up; one that gets on and one that is paused are not."""

    async def test() -> None:
        sick, paused, healthy = [await faulty.open([*prompt(), token]) for token in (ABORT, 100, 101)]
        before = ids(await sample(paused))
        stream = healthy.sample(SamplingParams(temperature=0, max_tokens=300))
        await anext(stream)
        with pytest.raises(DecodeFailed, match=r"3 times .* SIGABRT"):
            await sample(sick)
        sick.extend([1])
        assert len(await sample(paused)) == 60
        assert list(paused.ledger.tokens)[21:81] == before
        async for _ in stream:
            pass
        assert healthy.finish_reason is not None
        for sequence in (sick, paused, healthy):
            await sequence.close()

    run(test)


def test_a_child_that_never_starts_again(faulty: ProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        active, paused = await faulty.open(prompt()), await faulty.open(prompt(1))
        await sample(paused)
        stream = active.sample(SamplingParams(temperature=0))
        await anext(stream)
        with monkeypatch.context() as patch:
            patch.setattr(engine_child, "COMMAND", [sys.executable, "-c", "raise SystemExit(3)"])
            os.kill(faulty.pid, signal.SIGKILL)
            with pytest.raises(DecodeFailed, match="exit status 3"):
                async for _ in stream:
                    pass
            patch.setattr(engine_child, "COMMAND", ["/nonexistent"])
            with pytest.raises(DecodeFailed, match="can't be started"):
                await sample(await faulty.open([1]))
        assert len(await sample(paused)) == 60

    run(test)
