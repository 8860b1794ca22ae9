"""The child's side of `process_engine`: commands from the pipe to an engine, and its progress back."""

from __future__ import annotations

import asyncio
import collections
import os
import socket
import sys
import traceback
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from .engine import Engine, SampledToken, SampleStream, TokenSequence
from .engine_messages import Close, Command, CrossedError, Expect, Fork, Sample, SequenceProgress, Step, Stop
from .engine_pipe import Pipe
from .errors import EngineStopped, SamplerError


@dataclass(eq=False, slots=True)
class _Served:
    """A sequence, its current stream, and what of its figures the parent knows."""

    sequence: TokenSequence
    stream: SampleStream | None = None
    decoded: int = 0
    recomputed: int = 0
    copied: int = 0
    rebuilds: int = 0
    inference_ns: int = 0


class EngineServer:
    """Carries out commands on an engine and reports progress, all of a step in one message.

    While the pipe is congested progress is merged and kept, so memory is bounded by the sequences' contexts. Create it
    in the event loop; `ended` completes when the parent is gone.
    """

    def __init__(self, engine: Engine, sock: socket.socket) -> None:
        self._engine = engine
        self._served: dict[int, _Served] = {}
        self._commands: collections.deque[Command] = collections.deque()
        self._opening = False
        self._progress: dict[int, SequenceProgress] = {}
        self._flush_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda loop, context: die(context.get("exception")))
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._pipe: Pipe[Command] = Pipe(sock, Command, self._on_command, self._on_end, self._flush)

    def _on_end(self) -> None:
        self.ended.set_result(None)

    def _on_command(self, command: Command) -> None:
        self._commands.append(command)
        self._work()

    def _work(self) -> None:
        """Carry out commands in order. Only what opens a sequence takes longer; the others then wait for it."""
        while self._commands and not self._opening:
            command = self._commands.popleft()
            match command:
                case Sample():
                    if command.sequence in self._served:
                        self._sample(command)
                    else:
                        self._opening = True
                        self._spawn(self._open(command))
                case Fork():
                    self._opening = True
                    self._spawn(self._fork(command))
                case Stop(sequence):
                    # While it is consumed as well: both are told the end, and no token is lost.
                    if (served := self._served.get(sequence)) is not None and served.stream is not None:
                        self._spawn(served.stream.aclose())
                case Close(sequence):
                    if (closed := self._served.pop(sequence, None)) is not None:
                        task = self._spawn(closed.sequence.close())
                        self._closing.add(task)
                        task.add_done_callback(self._closing.discard)
                case Expect(sequence, tools):
                    if (served := self._served.get(sequence)) is not None:
                        served.sequence.expect(tools)

    async def _fork(self, command: Fork) -> None:
        await self._until_closed()
        self._served[command.sequence] = _Served(self._served[command.source].sequence.fork(command.length))
        self._opening = False
        self._work()

    async def _open(self, command: Sample) -> None:
        await self._until_closed()
        try:
            (_, prompt), *_ = command.pieces
            sequence = await self._engine.open(prompt, share_prefix=command.shares_prefix)
        except SamplerError as error:
            self._refuse(command.sequence, error, forgotten=True)
        else:
            self._served[command.sequence] = _Served(sequence)
            command = Sample(command.sequence, command.pieces[1:], command.params, command.forced, command.continued)
            self._sample(command)
        self._opening = False
        self._work()

    async def _until_closed(self) -> None:
        # The parent counts a sequence as closed when it says so: its place must be free before another is opened.
        if self._closing:
            await asyncio.wait(self._closing)

    def _sample(self, command: Sample) -> None:
        served = self._served[command.sequence]
        sequence = served.sequence
        try:
            for sampled, tokens in command.pieces:
                if sampled:  # before the process was started again: their source matters to penalties
                    for token in tokens:
                        sequence.ledger.sample(token, None)
                else:
                    sequence.extend(tokens)
            served.stream = sequence.sample(command.params, forced=command.forced, continued=command.continued)
        except SamplerError as error:
            self._refuse(command.sequence, error)
        else:
            self._spawn(self._consume(command.sequence, served, served.stream))

    async def _consume(self, number: int, served: _Served, stream: SampleStream) -> None:
        sequence = served.sequence
        error: SamplerError | None = None
        try:
            async for tokens in stream:
                self._report(number, served, tokens)
                if sequence.finish_reason is not None:
                    break  # the end leaves in one message with the last token, and costs no wake-up of its own
        except SamplerError as failure:
            error = failure
        served.stream = None
        progress = self._report(number, served, ())
        progress.ended = True
        if error is not None:
            progress.error = CrossedError.of(error)
            self._check_engine(error)
        elif sequence.finish_reason is not None:
            progress.finish_reason = sequence.finish_reason.value

    def _report(self, number: int, served: _Served, tokens: Sequence[SampledToken]) -> SequenceProgress:
        progress = self._progress_of(number)
        for token in tokens:
            progress.tokens.append(token.token)
            progress.sampled_at.append(token.sampled_at)
            if token.logprob is not None:
                progress.logprobs.append(token.logprob)
            if token.top_logprobs:
                progress.top_logprobs.append(token.top_logprobs)
        ledger, sequence = served.sequence.ledger, served.sequence
        progress.decoded += ledger.decoded - served.decoded
        progress.recomputed += ledger.recomputed - served.recomputed
        progress.copied += ledger.copied - served.copied
        progress.rebuilds += ledger.rebuilds[served.rebuilds :]
        progress.inference_ns += sequence.inference_ns - served.inference_ns
        served.decoded, served.recomputed, served.copied = ledger.decoded, ledger.recomputed, ledger.copied
        served.rebuilds = len(ledger.rebuilds)
        served.inference_ns = sequence.inference_ns
        return progress

    def _progress_of(self, number: int) -> SequenceProgress:
        progress = self._progress.get(number)
        if progress is None:
            progress = self._progress[number] = SequenceProgress(number, [], [], [], [])
            if not self._flush_scheduled:
                # After all tasks that this step of the engine woke.
                self._flush_scheduled = True
                self._loop.call_soon(self._flush)
        return progress

    def _refuse(self, number: int, error: SamplerError, forgotten: bool = False) -> None:
        self._check_engine(error)
        progress = self._progress_of(number)
        progress.ended, progress.error, progress.forgotten = True, CrossedError.of(error), forgotten

    def _check_engine(self, error: SamplerError) -> None:
        if isinstance(error, EngineStopped) and not self.ended.done():
            die(error)  # its thread failed; it can't be used again

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._progress and not self._pipe.congested:
            self._pipe.send(Step(list(self._progress.values())))
            self._progress = {}

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if (error := task.exception()) is not None:
            die(error)


def die(error: BaseException | None) -> NoReturn:
    """End the process, so that the parent starts another. With a traceback: it is a bug, or the engine is dead."""
    if error is not None:
        traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)
