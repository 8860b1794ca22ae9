"""The pipe between the server's process and the engine's, without a process and without a model."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from caesura.sampler import engine_pipe, errors
from caesura.sampler.engine import FinishReason, Ledger, SampledToken, SamplingParams
from caesura.sampler.engine_messages import (
    Close,
    Command,
    CrossedError,
    Expect,
    Fork,
    Sample,
    SequenceProgress,
    Step,
    Stop,
    pieces,
)
from caesura.sampler.engine_pipe import Pipe, PipeBroken, frame
from caesura.sampler.engine_server import EngineServer
from hypothesis import given, settings
from hypothesis import strategies as st

SECONDS = 20


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await test()

    asyncio.run(bounded())


class Received:
    """One end of a pipe and what came out of it."""

    def __init__(self, sock: socket.socket, kind: object) -> None:
        self.messages: list[object] = []
        self.ends = 0
        self.drained = 0
        self._changed = asyncio.Event()
        self.pipe: Pipe[object] = Pipe(sock, kind, self._on_message, self._on_end, self._on_drained)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _on_message(self, message: object) -> None:
        self.messages.append(message)
        self._changed.set()

    def _on_end(self) -> None:
        self.ends += 1
        self._changed.set()

    def _on_drained(self) -> None:
        self.drained += 1
        self._changed.set()


numbers = st.integers(0, 2**31 - 1)
rows = st.lists(numbers, max_size=20)
params = st.builds(
    SamplingParams,
    temperature=st.floats(0, 100),
    seed=st.none() | st.integers(0, 2**63 - 1),
    stop_tokens=st.frozensets(numbers),
    max_tokens=st.none() | st.integers(1, 2**31 - 1),
    logprobs=st.booleans(),
)
commands = st.one_of(
    st.builds(Sample, numbers, st.lists(st.tuples(st.booleans(), rows)), params, st.none() | rows, numbers),
    st.builds(Stop, numbers),
    st.builds(Close, numbers),
    st.builds(Expect, numbers, st.lists(st.text(st.characters(codec="utf-8")))),
    st.builds(Fork, numbers, numbers, numbers),
)


@settings(max_examples=30)
@given(sent=st.lists(commands, max_size=6), cuts=st.lists(st.integers(1, 40), min_size=1))
def test_messages_arrive_whole_however_they_are_cut(sent: list[Command], cuts: list[int]) -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        received = Received(theirs, Command)
        data = b"".join(map(frame, sent))
        cut = 0
        while data:
            size, cut = cuts[cut % len(cuts)], cut + 1
            ours.send(data[:size])
            data = data[size:]
            await asyncio.sleep(0)
        ours.close()
        await received.until(lambda: received.ends == 1)
        assert received.messages == sent

    run(test)


@settings(max_examples=50)
@given(garbage=st.binary(min_size=5, max_size=40))
def test_what_is_no_message_ends_it_once(garbage: bytes) -> None:
    """Also a length that no message has, which would be waited for in vain."""

    async def test() -> None:
        ours, theirs = socket.socketpair()
        received = Received(theirs, Command)
        ours.sendall(frame(Stop(1)) + len(garbage).to_bytes(4) + garbage + b"\xff" * 8)
        await received.until(lambda: received.ends == 1)
        assert received.messages[0] == Stop(1)
        ours.close()

    run(test)


def test_a_length_out_of_range_when_waiting() -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(b"\xff" * 8)
    with pytest.raises(PipeBroken):
        engine_pipe.receive(theirs, Command)
    ours.close()
    theirs.close()


def test_sending_never_blocks() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        sender, receiver = Received(ours, Command), None
        sent = [Expect(number, ["x" * 1000]) for number in range(2000)]
        for message in sent:
            sender.pipe.send(message)
        assert sender.pipe.congested
        receiver = Received(theirs, Command)
        await sender.until(lambda: sender.drained == 1)
        await receiver.until(lambda: len(receiver.messages) == len(sent))
        assert receiver.messages == sent
        receiver.pipe.close()
        sender.pipe.send(Stop(1))  # to nobody
        await sender.until(lambda: sender.ends == 1)

    run(test)


@pytest.mark.parametrize(
    "error",
    [
        errors.ContextLengthExceeded(3, 2, 1),
        errors.InvalidSamplingParams("top_k", "must be a number"),
        *(
            kind("a message")
            for _, kind in inspect.getmembers(errors, inspect.isclass)
            if issubclass(kind, errors.SamplerError)
            and kind not in (errors.ContextLengthExceeded, errors.InvalidSamplingParams)
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_crosses(error: errors.SamplerError) -> None:
    restored = CrossedError.of(error).restore()
    assert type(restored) is type(error)
    assert (str(restored), restored.code, vars(restored)) == (str(error), error.code, vars(error))


def test_what_is_no_error_of_the_sampler_crosses_with_its_name() -> None:
    assert str(CrossedError.of(ZeroDivisionError("a bug")).restore()) == "ZeroDivisionError: a bug"
    assert type(CrossedError("Unheard", "of", {}).restore()) is errors.EngineError


@given(parts=st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 999), min_size=1, max_size=5))))
def test_pieces_are_the_ledger(parts: list[tuple[bool, list[int]]]) -> None:
    ledger = Ledger([1, 2])
    expected = [(False, token) for token in (1, 2)]
    for sampled, tokens in parts:
        for token in tokens:
            expected.append((sampled, token))
            ledger.sample(token, None) if sampled else ledger.append([token])
    for begin in range(len(ledger) + 1):
        found = list(pieces(ledger, begin))
        assert [(sampled, token) for sampled, tokens in found for token in tokens] == expected[begin:]
        assert all(first[0] is not second[0] for first, second in itertools.pairwise(found)), "none is split"


class CountingSequence:
    """Samples 0, 1, 2, ... with so much beside each token that a socket is soon full."""

    inference_ns = 0
    finish_reason: FinishReason | None = None

    def __init__(self, tokens: Sequence[int]) -> None:
        self.ledger = Ledger(tokens)

    def room(self) -> int:
        return 2**31 - 1

    def extend(self, tokens: Sequence[int]) -> None:
        self.ledger.append(tokens)

    def expect(self, tools: Sequence[str]) -> None: ...

    def anticipate(self, tokens: Sequence[int]) -> None: ...

    def fork(self, length: int | None = None) -> CountingSequence:
        raise NotImplementedError

    def sample(
        self, params: SamplingParams, *, forced: Sequence[int] | None = None, continued: int = 0
    ) -> CountingStream:
        assert params.max_tokens is not None
        return CountingStream(self, params.max_tokens)

    async def close(self) -> None: ...


class CountingStream:
    def __init__(self, sequence: CountingSequence, count: int) -> None:
        self._sequence, self._tokens = sequence, iter(range(count))

    def __aiter__(self) -> AsyncIterator[Sequence[SampledToken]]:
        return self

    async def __anext__(self) -> Sequence[SampledToken]:
        await asyncio.sleep(0)
        for token in self._tokens:
            self._sequence.ledger.sample(token)
            return [SampledToken(token, -1.0, token, ((token, -1.0),) * 20)]
        self._sequence.finish_reason = FinishReason.LENGTH
        raise StopAsyncIteration

    async def aclose(self) -> None: ...


class CountingEngine:
    context_length = max_sequences = 2**31 - 1

    async def open(self, tokens: Sequence[int], *, share_prefix: bool = True) -> CountingSequence:
        return CountingSequence(tokens)

    async def close(self) -> None: ...


def test_a_parent_that_does_not_read_gets_everything_later() -> None:
    count = 4000

    async def test() -> None:
        ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        server = EngineServer(CountingEngine(), theirs)  # type: ignore[arg-type]
        ours.sendall(frame(Sample(1, [(False, [1])], SamplingParams(max_tokens=count), None, 0)))
        sequence = None
        while sequence is None or len(sequence.sequence.ledger) <= count:
            await asyncio.sleep(0)
            sequence = server._served.get(1)
        received = Received(ours, Step)
        await received.until(lambda: any(progress.ended for progress in reports(received)))
        progress = reports(received)
        assert [token for report in progress for token in report.tokens] == list(range(count))
        assert [report.finish_reason for report in progress if report.ended] == ["length"]
        assert len(progress) < count / 10, "what waited was merged"
        received.pipe.close()
        await server.ended

    def reports(received: Received) -> list[SequenceProgress]:
        return [report for step in received.messages if isinstance(step, Step) for report in step.progress]

    run(test)
