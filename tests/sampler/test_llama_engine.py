"""The engine on a real model: what a sequence's ledger says, alone, paused, and beside others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
from caesura.sampler.engine import FinishReason, SampledToken, SamplingParams, Source, TokenSequence
from caesura.sampler.errors import (
    ContextLengthExceeded,
    EngineStartFailed,
    EngineStopped,
    InvalidToken,
    NoFreeSequence,
    SequenceBusy,
    SequenceClosed,
)
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model, load_model
from hypothesis import given, settings
from hypothesis import strategies as st

GREEDY = SamplingParams(temperature=0, max_tokens=12, logprobs=True)
SECONDS = 20
T = TypeVar("T")


def run(test: Callable[[], Awaitable[T]]) -> T:
    """Bounded, so that a hang is a failure."""

    async def bounded() -> T:
        async with asyncio.timeout(SECONDS):
            return await test()

    return asyncio.run(bounded())


async def sample(
    sequence: TokenSequence, params: SamplingParams = GREEDY, forced: Sequence[int] | None = None
) -> list[SampledToken]:
    return [token async for tokens in sequence.sample(params, forced=forced) for token in tokens]


def row(sequence: TokenSequence) -> list[tuple[int, Source, float | None]]:
    return [(entry.token, entry.source, entry.logprob) for entry in sequence.ledger]


def prompt(seed: int = 0, length: int = 20) -> list[int]:
    return [100 + (seed * 37 + at * 11) % 700 for at in range(length)]


def check_counts(sequence: TokenSequence) -> None:
    """All but the last sampled token was computed, each position once, or copied."""
    ledger = sequence.ledger
    assert ledger.recomputed == 0
    assert ledger.decoded + ledger.copied == len(ledger) - 1
    assert ledger.prefilled + ledger.appended + ledger.sampled == len(ledger)


def bits(tokens: Sequence[SampledToken]) -> list[tuple[int, float | None]]:
    """What must be equal to the last bit."""
    return [(token.token, token.logprob) for token in tokens]


def test_the_ledger_holds_everything(engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        sequence = await engine_of_four.open(prompt())
        assert sequence.ledger.decoded == 0
        first = await sample(sequence)
        assert sequence.finish_reason is FinishReason.LENGTH
        sequence.extend([5, 6, 7])
        second = await sample(sequence)
        expected = [*prompt(), *(token.token for token in first), 5, 6, 7, *(token.token for token in second)]
        assert sequence.ledger.tokens == expected
        sources = "".join(str(int(source)) for _, source, _ in row(sequence))
        assert sources == "0" * 20 + "1" * 12 + "0" * 3 + "1" * 12
        assert (sequence.ledger.prefilled, sequence.ledger.appended, sequence.ledger.sampled) == (20, 3, 24)
        assert sequence.room() == 512 - 47
        assert sequence.inference_ns > 0
        check_counts(sequence)
        times = [token.sampled_at for token in first + second]
        assert times == sorted(times)
        await sequence.close()

    run(test)


def test_logprobs_are_those_of_the_model(engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        sequence = await engine_of_four.open(prompt())
        tokens = await sample(sequence)
        assert all(token.logprob is not None and token.logprob <= 0 for token in tokens)
        assert [token.logprob for token in tokens] == [logprob for _, source, logprob in row(sequence) if source]
        # The same tokens forced have the same log-probabilities, whatever the temperature.
        again = await engine_of_four.open(prompt())
        hot = SamplingParams(temperature=5.0, logprobs=True)
        replayed = await sample(again, hot, forced=[token.token for token in tokens])
        assert [(token.token, token.logprob) for token in replayed] == [
            (token.token, token.logprob) for token in tokens
        ]
        silent = await engine_of_four.open(prompt())
        assert {token.logprob for token in await sample(silent, SamplingParams(temperature=0, max_tokens=3))} == {None}
        for opened in (sequence, again, silent):
            await opened.close()

    run(test)


segments = st.lists(st.tuples(st.integers(1, 12), st.lists(st.integers(0, 900), max_size=30)), min_size=1, max_size=4)


@settings(max_examples=15)
@given(segments=segments, cuts=st.lists(st.integers(1, 4), min_size=12, max_size=12), company=st.integers(0, 3))
def test_a_paused_rollout_equals_an_uninterrupted_one(
    engine_of_four: LlamaEngine, segments: list[tuple[int, list[int]]], cuts: list[int], company: int
) -> None:
    """Pausing anywhere, for however long, with others running meanwhile, leaves the ledger bit for bit the same.

    Both runs feed the same chunks: one prompt, then each appended piece with the token before it. The others run while
    this one is paused; what shares a batch with it is the next test's business.
    """

    async def rollout(pausing: bool) -> list[tuple[int, Source, float | None]]:
        sequence = await engine_of_four.open(prompt())
        pauses = iter(cuts)
        for count, appended in segments:
            left = count
            while left:
                step = min(left, next(pauses, left)) if pausing else left
                await sample(sequence, SamplingParams(temperature=0, max_tokens=step, logprobs=True))
                left -= step
                if pausing and company:
                    others = [await engine_of_four.open(prompt(number + 1)) for number in range(company)]
                    await asyncio.gather(*map(sample, others))
                    await asyncio.gather(*(other.close() for other in others))
            sequence.extend(appended)
        await sample(sequence)
        check_counts(sequence)
        result = row(sequence)
        await sequence.close()
        return result

    async def test() -> None:
        assert await rollout(pausing=True) == await rollout(pausing=False)

    run(test)


def test_sequences_in_one_batch_say_what_they_say_alone(engine_of_four: LlamaEngine) -> None:
    params = SamplingParams(temperature=0, max_tokens=40, logprobs=True)

    async def test() -> None:
        alone = []
        for number in range(4):
            sequence = await engine_of_four.open(prompt(number, 30))
            alone.append(await sample(sequence, params))
            await sequence.close()
        together = [await engine_of_four.open(prompt(number, 30)) for number in range(4)]
        results = await asyncio.gather(*(sample(sequence, params) for sequence in together))
        for tokens, expected in zip(results, alone, strict=True):
            assert bits(tokens) == bits(expected)
        for sequence in together:
            check_counts(sequence)
            await sequence.close()

    run(test)


def test_a_forced_turn_goes_through_the_engine_token_by_token(model: Model, engine_of_four: LlamaEngine) -> None:
    stop = min(model.stop_tokens)
    forced = [*prompt(3, 17), stop, 9]

    async def test() -> None:
        sequence = await engine_of_four.open(prompt())
        params = SamplingParams(stop_tokens=model.stop_tokens)
        tokens = await sample(sequence, params, forced=forced)
        assert [token.token for token in tokens] == forced[:-1], "a stop token ends it"
        assert sequence.finish_reason is FinishReason.STOP
        assert sequence.ledger.decoded == 20 + 17
        check_counts(sequence)
        await sequence.close()

    run(test)


def test_a_stop_string_ends_the_turn_where_it_is_complete(model: Model, engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        text = "one two three"
        forced = model.vocab.tokenize(text, parse_special=False)
        sequence = await engine_of_four.open(prompt())
        tokens = await sample(sequence, SamplingParams(stop=("e tw", "zebra")), forced=forced)
        assert sequence.finish_reason is FinishReason.STOP
        said = model.vocab.decode([token.token for token in tokens])
        assert "e tw" in said
        assert "e tw" not in model.vocab.decode([token.token for token in tokens[:-1]])
        check_counts(sequence)
        await sequence.close()

    run(test)


def test_forced_tokens_run_out(engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        sequence = await engine_of_four.open(prompt())
        tokens = await sample(sequence, SamplingParams(), forced=[7, 8])
        assert [token.token for token in tokens] == [7, 8]
        assert sequence.finish_reason is FinishReason.LENGTH
        check_counts(sequence)
        assert await sample(sequence, SamplingParams(), forced=[]) == []
        assert sequence.finish_reason is FinishReason.LENGTH
        await sequence.close()

    run(test)


def test_a_prompt_in_chunks_is_computed_once(engine_of_four: LlamaEngine, model: Model) -> None:
    async def test() -> None:
        small = LlamaEngine(model, context_length=512, sequences=2, prefill_chunk=16, idle_prefill_chunk=50)
        long = prompt(1, 400)
        reference = await engine_of_four.open(long)
        expected = await sample(reference)
        decoding = await small.open(prompt(2))
        chunked = await small.open(long)
        _, tokens = await asyncio.gather(
            sample(decoding, SamplingParams(temperature=0, max_tokens=60)), sample(chunked)
        )
        assert bits(tokens) == bits(expected)
        check_counts(chunked)
        check_counts(decoding)
        await reference.close()
        await small.close()

    run(test)


def test_seeds(engine_of_four: LlamaEngine) -> None:
    async def rollout(seed: int | None, company: bool = False) -> list[int]:
        sequence = await engine_of_four.open(prompt())
        params = SamplingParams(temperature=20, top_k=50, top_p=0.99, min_p=0.001, seed=seed, max_tokens=20)
        tokens = await sample(sequence, params)
        if company:
            other = await engine_of_four.open(prompt(5))
            await sample(other, params)
            await other.close()
        tokens += await sample(sequence, params)
        check_counts(sequence)
        await sequence.close()
        return [token.token for token in tokens]

    async def test() -> None:
        assert await rollout(1) == await rollout(1) == await rollout(1, company=True)
        assert await rollout(1) != await rollout(2)
        assert await rollout(None) != await rollout(None)

    run(test)


def test_a_full_context(engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        with pytest.raises(ContextLengthExceeded) as caught:
            await engine_of_four.open([1] * 513)
        assert (caught.value.needed, caught.value.room) == (513, 512)
        sequence = await engine_of_four.open(prompt(length=500))
        with pytest.raises(ContextLengthExceeded):
            sequence.extend([1] * 13)
        assert len(sequence.ledger) == 500, "a refused extension changes nothing"
        sequence.extend([1] * 2)
        tokens = await sample(sequence, SamplingParams(temperature=0))
        assert len(tokens) == 10
        assert sequence.finish_reason is FinishReason.CONTEXT
        assert sequence.room() == 0
        check_counts(sequence)
        assert await sample(sequence) == []
        assert sequence.finish_reason is FinishReason.CONTEXT
        with pytest.raises(ContextLengthExceeded):
            sequence.extend([1])
        sequence.extend([])
        await sequence.close()
        exact = await engine_of_four.open(prompt(length=512))
        assert await sample(exact) == []
        assert exact.finish_reason is FinishReason.CONTEXT
        await exact.close()

    run(test)


@pytest.mark.parametrize("bad", [-1, 10**6, 2**40, "1", 1.0, True, None])
def test_bad_tokens_change_nothing(engine_of_four: LlamaEngine, bad: Any) -> None:
    async def test() -> None:
        with pytest.raises(InvalidToken):
            await engine_of_four.open([1, bad])
        sequence = await engine_of_four.open([1])
        with pytest.raises(InvalidToken):
            sequence.extend([1, bad])
        with pytest.raises(InvalidToken):
            sequence.sample(GREEDY, forced=[bad])
        assert sequence.ledger.tokens == [1]
        if type(bad) is int and bad > 0 and bad < 2**31:
            with pytest.raises(InvalidToken):
                sequence.sample(SamplingParams(stop_tokens=frozenset({bad})))
        assert len(await sample(sequence)) == 12
        await sequence.close()

    run(test)


def test_an_empty_prompt(engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        with pytest.raises(InvalidToken, match="at least one"):
            await engine_of_four.open([])

    run(test)


def test_open_sequences_are_bounded(model: Model) -> None:
    async def test() -> None:
        engine = LlamaEngine(model, context_length=256, sequences=1, max_sequences=3)
        opened = [await engine.open(prompt(number)) for number in range(3)]
        with pytest.raises(NoFreeSequence, match="3 sequences are open"):
            await engine.open([1])
        with pytest.raises(NoFreeSequence):
            opened[0].fork()
        await opened[1].close()
        await opened[1].close()
        reused = await engine.open(prompt(2))
        for sequence in (opened[0], opened[2], reused):
            assert len(await sample(sequence)) == 12
            check_counts(sequence)
            await sequence.close()
        with pytest.raises(SequenceClosed):
            reused.extend([1])
        with pytest.raises(SequenceClosed):
            reused.sample(GREEDY)
        with pytest.raises(SequenceClosed):
            reused.fork()
        await engine.close()

    run(test)


def test_close_while_sampling(engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        sequence = await engine_of_four.open(prompt())
        stream = sequence.sample(SamplingParams(temperature=0))
        first = await anext(stream)

        async def consume() -> int:
            return sum([len(tokens) async for tokens in stream])

        consumer = asyncio.create_task(consume())
        await asyncio.gather(sequence.close(), sequence.close())
        assert len(first) + await consumer == sequence.ledger.sampled < 400
        assert sequence.finish_reason is None
        again = await engine_of_four.open(prompt())
        assert len(await sample(again)) == 12
        await again.close()

    run(test)


def test_a_stopped_stream_leaves_a_sequence_that_goes_on(engine_of_four: LlamaEngine) -> None:
    endless = SamplingParams(temperature=0, logprobs=True)

    async def reference(count: int) -> list[tuple[int, Source, float | None]]:
        sequence = await engine_of_four.open(prompt())
        await sample(sequence, SamplingParams(temperature=0, logprobs=True, max_tokens=count))
        result = row(sequence)
        await sequence.close()
        return result

    async def by_aclose(sequence: TokenSequence) -> None:
        async with aclosing(sequence.sample(endless)) as stream:
            async for _ in stream:
                break

    async def by_break(sequence: TokenSequence) -> None:
        async for _ in sequence.sample(endless):
            break

    async def by_cancel(sequence: TokenSequence) -> None:
        stream = sequence.sample(endless)
        first = asyncio.Event()

        async def consume() -> None:
            async for _ in stream:
                first.set()

        task = asyncio.create_task(consume())
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
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
        for stop in (by_aclose, by_break, by_cancel):
            sequence = await engine_of_four.open(prompt())
            await stop(sequence)
            await until_idle(sequence)
            assert sequence.finish_reason is None
            sampled = sequence.ledger.sampled
            assert 1 <= sampled < 400, "it was stopped, not used up"
            await sample(sequence)
            check_counts(sequence)
            assert row(sequence) == await reference(sampled + 12)
            await sequence.close()

    run(test)


def test_one_stream_at_a_time(engine_of_four: LlamaEngine) -> None:
    async def test() -> None:
        sequence = await engine_of_four.open(prompt())
        stream = sequence.sample(GREEDY)
        with pytest.raises(SequenceBusy):
            sequence.sample(GREEDY)
        with pytest.raises(SequenceBusy):
            sequence.extend([1])
        assert [token async for tokens in stream for token in tokens]
        sequence.extend([1])
        await sequence.close()

    run(test)


def test_closing_the_engine_reaches_who_waits(model: Model) -> None:
    async def test() -> None:
        engine = LlamaEngine(model, context_length=256, sequences=2)
        sequence, idle = await engine.open(prompt()), await engine.open(prompt())
        stream = sequence.sample(SamplingParams(temperature=0))
        await anext(stream)
        await engine.close()
        await engine.close()
        with pytest.raises(EngineStopped):
            async for _ in stream:
                pass
        with pytest.raises(EngineStopped):
            await engine.open(prompt())
        with pytest.raises((EngineStopped, SequenceClosed)):
            idle.sample(GREEDY)
        await sequence.close()
        await idle.close()

    run(test)


BAD_SETTINGS: list[dict[str, int]] = [
    {"sequences": 0},
    {"sequences": 257},
    {"threads": 0},
    {"context_length": -1},
    {"context_length": 2**31},
    {"context_length": 2**24, "sequences": 200},
    {"context_length": 2**30, "sequences": 1},
]


@pytest.mark.parametrize("settings", BAD_SETTINGS, ids=str)
def test_settings_that_cant_be_had(model: Model, settings: dict[str, int]) -> None:
    with pytest.raises(EngineStartFailed):
        LlamaEngine(model, **settings)


@pytest.mark.parametrize(("context_length", "sequences"), [(1, 1), (256, 1), (300, 3), (16, 256)])
def test_small_contexts(model: Model, context_length: int, sequences: int) -> None:
    """llama.cpp rounds lengths; the engine keeps to what it was told."""

    async def test() -> None:
        engine = LlamaEngine(model, context_length=context_length, sequences=sequences)
        opened = [await engine.open([1] * min(context_length, 8)) for _ in range(sequences)]
        results = await asyncio.gather(*(sample(sequence) for sequence in opened))
        assert {len(tokens) for tokens in results} == {min(12, context_length - min(context_length, 8))}
        await engine.close()

    run(test)


def test_a_model_without_weights(model: Model) -> None:
    with pytest.raises(EngineStartFailed, match="vocab_only"):
        LlamaEngine(load_model(model.path, vocab_only=True))


operations = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["sample", "force", "extend", "stop", "close"]), st.integers(1, 70)),
    max_size=25,
)


@settings(max_examples=15)
@given(operations)
def test_any_order_of_operations_computes_each_position_once(
    engine_of_four: LlamaEngine, operations: list[tuple[int, str, int]]
) -> None:
    async def test() -> None:
        sequences: dict[int, TokenSequence] = {}
        expected: dict[int, list[int]] = {}
        for key, operation, count in operations:
            if key not in sequences:
                sequences[key] = await engine_of_four.open(prompt(key))
                expected[key] = prompt(key)
            sequence = sequences[key]
            if operation == "close":
                await sequences.pop(key).close()
                continue
            if operation == "extend":
                if count <= sequence.room():
                    sequence.extend([count] * count)
                    expected[key] += [count] * count
                continue
            if operation == "stop":
                async with aclosing(sequence.sample(SamplingParams(seed=count))) as stream:
                    async for _ in stream:
                        break
                expected[key] += sequence.ledger.tokens[len(expected[key]) :]
            else:
                forced = [count] * count if operation == "force" else None
                tokens = await sample(sequence, SamplingParams(seed=count, max_tokens=count), forced=forced)
                expected[key] += [token.token for token in tokens]
            assert sequence.ledger.tokens == expected[key]
            if sequence.ledger.decoded:
                check_counts(sequence)
        for sequence in sequences.values():
            await sequence.close()

    run(test)
