"""When inference fails: who is told, and that everybody else goes on. The faults are made in a real context."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import caesura.sampler.engine_context as engine_context
import numpy as np
import pytest
from caesura.sampler.engine import FinishReason, SamplingParams, TokenSequence
from caesura.sampler.errors import DecodeFailed, EngineError, EngineStopped, InvalidLogits
from caesura.sampler.llama_context import LlamaContext, Logits, Row
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model

POISON = 7
"""A batch with this token in it triggers the fault."""
GREEDY = SamplingParams(temperature=0, max_tokens=30)
SECONDS = 20


class Faulty(LlamaContext):
    fault: Callable[[], None] | None = None
    bad_logits: float | None = None
    poisoned: tuple[int, ...] = ()

    def decode(self, rows: Sequence[Row]) -> None:
        self.check([list(tokens) for _, _, tokens, _ in rows])
        super().decode(rows)
        wanted = [tokens for _, _, tokens, outputs in rows if outputs]
        self.poisoned = tuple(index for index, tokens in enumerate(wanted) if POISON in tokens)

    def decode_next(self, tokens: Sequence[int]) -> None:
        self.check([list(tokens)])
        super().decode_next(tokens)
        self.poisoned = tuple(index for index, token in enumerate(tokens) if token == POISON)

    def check(self, rows: list[list[int]]) -> None:
        if self.fault is not None and any(POISON in tokens for tokens in rows):
            self.fault()

    def logits(self, outputs: int) -> Logits:
        logits = super().logits(outputs)
        if self.bad_logits is not None and self.poisoned:
            logits = logits.copy()
            logits[list(self.poisoned)] = self.bad_logits
        return logits


@pytest.fixture
def engine(model: Model, monkeypatch: pytest.MonkeyPatch) -> LlamaEngine:
    monkeypatch.setattr(engine_context, "LlamaContext", Faulty)
    monkeypatch.setattr(Faulty, "fault", None)
    monkeypatch.setattr(Faulty, "bad_logits", None)
    return LlamaEngine(model, context_length=256, sequences=3)


def run(engine: LlamaEngine, test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            try:
                await test()
            finally:
                await engine.close()

    asyncio.run(bounded())


async def outcome(sequence: TokenSequence, params: SamplingParams = GREEDY) -> int | EngineError:
    """The number of tokens sampled, or the error that the stream raised."""
    count = 0
    try:
        async for tokens in sequence.sample(params):
            count += len(tokens)
    except EngineError as error:
        return error
    return count


def test_a_failed_decode_costs_only_the_sequences_in_it(engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise DecodeFailed("made to fail")

    async def test() -> None:
        healthy, sick = await engine.open([1, 2]), await engine.open([1, POISON])
        assert await outcome(healthy) == 30
        monkeypatch.setattr(Faulty, "fault", staticmethod(fail))
        error = await outcome(sick)
        assert isinstance(error, DecodeFailed)
        assert await outcome(healthy) == 30
        # Nothing of what failed is trusted: the sequence goes on from its ledger.
        monkeypatch.setattr(Faulty, "fault", None)
        assert await outcome(sick) == 30
        assert len(sick.ledger) == 32
        await sick.close()
        fresh = await engine.open([1, 2])
        assert await outcome(fresh) == 30
        assert fresh.ledger.tokens == healthy.ledger.tokens[:32]
        assert fresh.ledger.recomputed == 0

    run(engine, test)


def test_a_failed_resume_is_rebuilt(engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise DecodeFailed("made to fail")

    async def test() -> None:
        undisturbed, sick = await engine.open([1, 2]), await engine.open([1, 2])
        for sequence in (undisturbed, sick):
            assert await outcome(sequence) == 30
            sequence.extend([POISON, 3])
        assert await outcome(undisturbed) == 30
        monkeypatch.setattr(Faulty, "fault", staticmethod(fail))
        assert isinstance(await outcome(sick), DecodeFailed)
        monkeypatch.setattr(Faulty, "fault", None)
        assert await outcome(sick) == 30
        assert sick.ledger.tokens == undisturbed.ledger.tokens
        assert sick.ledger.rebuilds == [31]
        assert sick.ledger.recomputed == 31
        assert (undisturbed.ledger.rebuilds, undisturbed.ledger.recomputed) == ([], 0)

    run(engine, test)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch, value: float, temperature: float
) -> None:
    params = SamplingParams(temperature=temperature, top_k=5, max_tokens=30, stop_tokens=frozenset(), seed=1)

    async def test() -> None:
        monkeypatch.setattr(Faulty, "bad_logits", value)
        healthy, sick = await engine.open([1, 2]), await engine.open([1, POISON])
        results = await asyncio.gather(outcome(healthy, params), outcome(sick, params))
        assert isinstance(results[1], InvalidLogits)
        if POISON not in healthy.ledger.tokens[2:]:
            assert results[0] == 30
        monkeypatch.setattr(Faulty, "bad_logits", None)
        assert len(await asyncio.gather(outcome(await engine.open([3]), params))) == 1

    run(engine, test)


def test_an_exception_in_the_thread_reaches_everybody(engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    async def test() -> None:
        running, idle, sick = await engine.open([1, 2]), await engine.open([1, 2]), await engine.open([1, POISON])
        stream = running.sample(SamplingParams(temperature=0))
        await anext(stream)
        monkeypatch.setattr(Faulty, "fault", staticmethod(fail))
        error = await outcome(sick)
        assert isinstance(error, EngineStopped)
        assert "ZeroDivisionError: a bug" in str(error)
        assert isinstance(error.__cause__, ZeroDivisionError)
        with pytest.raises(EngineStopped):
            async for _ in stream:
                pass
        with pytest.raises(EngineStopped):
            idle.sample(GREEDY)
        with pytest.raises(EngineStopped):
            await engine.open([1])
        for sequence in (running, idle, sick):
            await sequence.close()

    run(engine, test)


def test_a_context_that_cant_be_made(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(engine_context, "LlamaContext", fail)
    with pytest.raises(ZeroDivisionError):
        LlamaEngine(model, context_length=256, sequences=1)


def test_an_event_loop_that_went_away(engine: LlamaEngine) -> None:
    """A rollout left behind by a dead loop stops, and the engine serves the next loop."""

    async def abandon() -> TokenSequence:
        sequence = await engine.open([1, 2])
        stream = sequence.sample(SamplingParams(temperature=0))
        await anext(stream)
        kept.append(stream)
        return sequence

    kept: list[object] = []
    sequence = asyncio.run(abandon())
    kept.clear()

    async def test() -> None:
        with pytest.raises(RuntimeError, match="one event loop"):
            await engine.open([1])
        engine._release(sequence.key)  # type: ignore[attr-defined]
        fresh = await engine.open([1, 2])
        assert await outcome(fresh) == 30
        assert fresh.finish_reason is FinishReason.LENGTH

    run(engine, test)
