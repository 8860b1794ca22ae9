"""The engine in a process of its own, undisturbed. `test_engine_crashes` kills it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from caesura.sampler.engine import FinishReason, SamplingParams, TokenSequence
from caesura.sampler.errors import (
    ContextLengthExceeded,
    InvalidGrammar,
    InvalidToken,
    NoFreeSequence,
    SequenceBusy,
    SequenceClosed,
)
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model
from caesura.sampler.process_engine import ProcessEngine
from process_support import GREEDY, SETTINGS, closing, ids, opened, prompt, run, sample


@pytest.fixture(scope="module")
def engine(vocab_model: Model) -> Iterator[ProcessEngine]:
    """Shared: a test that kills its child leaves it as good as new. Whoever opens a sequence closes it."""
    engine = ProcessEngine(vocab_model, **SETTINGS)
    yield engine
    asyncio.run(engine.close())


def test_the_ledger_is_that_of_an_engine_in_a_thread(engine: ProcessEngine, engine_of_four: LlamaEngine) -> None:
    async def rollout(engine: Any) -> tuple[Any, ...]:
        sequence = await engine.open(prompt())
        first = await sample(sequence)
        sequence.extend([5, 6, 7])
        second = await sample(sequence, SamplingParams(temperature=0, max_tokens=5))
        forced = await sample(sequence, GREEDY, forced=[11, 12, 13])
        ledger = sequence.ledger
        await sequence.close()
        assert [token.sampled_at for token in first] == sorted(token.sampled_at for token in first)
        assert sequence.inference_ns > 0
        return (
            list(ledger),
            [[(token.token, token.logprob) for token in tokens] for tokens in (first, second, forced)],
            (ledger.prefilled, ledger.appended, ledger.sampled, ledger.recomputed, ledger.rebuilds),
            ledger.decoded + ledger.copied,
        )

    async def test() -> None:
        assert await rollout(engine) == await rollout(engine_of_four)

    run(test)


def test_why_it_ended(engine: ProcessEngine, model: Model) -> None:
    async def test() -> None:
        async with opened(engine, prompt(length=500)) as sequence:
            assert sequence.finish_reason is None
            assert len(await sample(sequence, SamplingParams(temperature=0, max_tokens=3))) == 3
            assert sequence.finish_reason is FinishReason.LENGTH
            stop = min(model.stop_tokens)
            params = SamplingParams(stop_tokens=model.stop_tokens)
            assert ids(await sample(sequence, params, forced=[9, stop, 9])) == [9, stop]
            assert sequence.finish_reason is FinishReason.STOP
            assert await sample(sequence, GREEDY, forced=[]) == []
            assert sequence.finish_reason is FinishReason.LENGTH
            assert len(await sample(sequence)) == 7
            assert sequence.finish_reason is FinishReason.CONTEXT
            assert (sequence.room(), await sample(sequence)) == (0, [])
            assert sequence.finish_reason is FinishReason.CONTEXT
            with pytest.raises(ContextLengthExceeded):
                sequence.extend([1])

    run(test)


@pytest.mark.parametrize("bad", [-1, 10**6, 2**40, 10**30, "1", 1.0, True, None])
def test_bad_tokens_change_nothing(engine: ProcessEngine, bad: Any) -> None:
    async def test() -> None:
        with pytest.raises(InvalidToken):
            await engine.open([1, bad])
        async with opened(engine, [1]) as sequence:
            with pytest.raises(InvalidToken):
                sequence.extend([1, bad])
            with pytest.raises(InvalidToken):
                sequence.sample(GREEDY, forced=[bad])
            assert list(sequence.ledger.tokens) == [1]
            assert len(await sample(sequence)) == 60

    run(test)


def test_other_refusals(engine: ProcessEngine) -> None:
    async def test() -> None:
        with pytest.raises(InvalidToken, match="at least one"):
            await engine.open([])
        with pytest.raises(ContextLengthExceeded):
            await engine.open([1] * 513)
        sequences = [await engine.open(prompt(number)) for number in range(8)]
        with pytest.raises(NoFreeSequence, match="8 sequences"):
            await engine.open([1])
        with pytest.raises(NoFreeSequence):
            sequences[0].fork()
        stream = sequences[0].sample(GREEDY)
        with pytest.raises(SequenceBusy):
            sequences[0].sample(GREEDY)
        with pytest.raises(SequenceBusy):
            sequences[0].extend([1])
        with pytest.raises(SequenceBusy):
            sequences[0].fork()
        assert len([token async for tokens in stream for token in tokens]) == 60
        for continued in (-1, 10**6, True, 1.0):
            with pytest.raises(ValueError, match="continued"):
                sequences[0].sample(GREEDY, continued=continued)  # type: ignore[arg-type]
        for sequence in sequences:
            await sequence.close()
            await sequence.close()
        with pytest.raises(SequenceClosed):
            sequences[0].extend([1])
        with pytest.raises(SequenceClosed):
            sequences[0].sample(GREEDY)
        for length in (0, -1, 99, True):
            async with opened(engine, [1, 2]) as sequence:
                with pytest.raises(ValueError, match="length"):
                    sequence.fork(length)

    run(test)


def test_text_that_has_no_utf8_form(engine: ProcessEngine) -> None:
    async def test() -> None:
        async with opened(engine, prompt()) as sequence:
            sequence.expect(["\ud800"])
            await sample(sequence)
            sequence.expect(["\ud800", "ls"])
            await sample(sequence)
            with pytest.raises(InvalidGrammar):
                sequence.sample(SamplingParams(grammar="\ud800"))
            await sample(sequence)

    run(test)


def test_a_stopped_stream_leaves_a_sequence_that_goes_on(engine: ProcessEngine) -> None:
    endless = SamplingParams(temperature=0)

    async def by_aclose(sequence: TokenSequence) -> None:
        async with aclosing(sequence.sample(endless)) as stream:
            await anext(stream)

    async def by_break(sequence: TokenSequence) -> None:
        async for _ in sequence.sample(endless):
            break

    async def by_cancel(sequence: TokenSequence) -> None:
        stream = sequence.sample(endless)
        await anext(stream)
        task = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await stream.aclose()

    async def until_idle(sequence: TokenSequence) -> None:
        while True:
            try:
                sequence.extend([])
            except SequenceBusy:
                await asyncio.sleep(0)
            else:
                return

    async def test() -> None:
        async with opened(engine, prompt()) as reference:
            expected = ids(await sample(reference, endless))
        for stop in (by_aclose, by_break, by_cancel):
            async with opened(engine, prompt()) as sequence:
                await stop(sequence)
                await until_idle(sequence)
                assert sequence.finish_reason is None
                assert 1 <= sequence.ledger.sampled < 400, "it was stopped, not used up"
                await sample(sequence)
                assert list(sequence.ledger.tokens)[20:] == expected[: sequence.ledger.sampled]
                assert sequence.ledger.recomputed == 0

    run(test)


def test_a_fork_says_what_the_original_says(engine: ProcessEngine) -> None:
    async def test() -> None:
        async with opened(engine, prompt()) as sequence:
            async with closing(sequence.fork(10)) as unborn:  # the child knows neither
                assert len(await sample(unborn)) == 60
            first = await sample(sequence)
            for length in (None, 40, 20):
                async with closing(sequence.fork(length)) as fork:
                    length = length or 80
                    assert list(fork.ledger) == list(sequence.ledger)[:length]
                    await sample(fork)
                    assert ids(first)[length - 20 :] == list(fork.ledger.tokens)[length:80]
                    assert fork.ledger.copied >= length - 1
            os.kill(engine.pid, signal.SIGKILL)
            async with closing(sequence.fork(50)) as fork:  # of something that is lost, whether that is known or not
                assert ids(await sample(fork))[:30] == ids(first)[30:]

    run(test)


def test_close_while_sampling_frees_the_place(engine: ProcessEngine) -> None:
    async def test() -> None:
        for _ in range(3):
            sequences = [await engine.open(prompt(number)) for number in range(4)]
            streams = [sequence.sample(SamplingParams(temperature=0)) for sequence in sequences]
            await asyncio.gather(*(anext(stream) for stream in streams))  # type: ignore[arg-type]
            await asyncio.gather(*(sequence.close() for sequence in sequences))
            for sequence, stream in zip(sequences, streams, strict=True):
                left = [token async for tokens in stream for token in tokens]
                assert len(left) < sequence.ledger.sampled < 400

    run(test)
