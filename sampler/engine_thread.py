"""The engine's thread: it alone touches the llama.cpp context, and it runs every step.

Commands come in by a queue; what happened goes out as `Progress`, all sequences of a step together, with at most one
`call_soon_threadsafe` a step (waking the event loop costs as much as a tenth of a step of a small model).

Decoding in the event loop's own thread was rejected: it makes every socket wait for a step. So was an executor: a
hop to it and back each step costs more than the queue.
"""

from __future__ import annotations

import asyncio
import collections
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .engine import FinishReason, SampledToken, SamplingParams
from .errors import DecodeFailed, EngineError, EngineStopped, InvalidLogits, SamplerError
from .llama_context import Logits, Row, SamplerChain, log_probability
from .scheduler import Scheduler, Work


class Context(Protocol):
    """What the thread needs of `LlamaContext`."""

    def decode(self, rows: Sequence[Row]) -> list[int]: ...
    def logits(self, index: int) -> Logits: ...
    def sample(self, chain: SamplerChain, index: int) -> int: ...
    def clear(self, slot: int) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Progress:
    """What happened to one run since the last report."""

    tokens: list[SampledToken] = field(default_factory=list)
    decoded: int = 0
    recomputed: int = 0
    inference_ns: int = 0
    ended: bool = False
    finish_reason: FinishReason | None = None
    error: SamplerError | None = None


@dataclass(eq=False, slots=True)
class Run:
    """One `sample` call, as the thread sees it.

    pending:  tokens not fed yet, at least one. position: where the first of them goes.
    room:     tokens that the sequence can still take.
    on_progress is called in the event loop.
    """

    slot: int
    arrival: int
    position: int
    pending: list[int]
    params: SamplingParams
    seed: int
    room: int
    forced: Sequence[int] | None
    on_progress: Callable[[Progress], None]
    sampled: int = 0
    chain: SamplerChain | None = None
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class Start:
    run: Run


@dataclass(frozen=True, slots=True)
class Stop:
    run: Run


@dataclass(frozen=True, slots=True)
class Release:
    slot: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    pass


Command = Start | Stop | Release | Shutdown


class EngineThread:
    """Runs `make_context()` and then the steps in a thread of its own.

    The constructor returns when the context is there, or raises what `make_context` raised. `failure` is set when
    the thread can't go on; until Shutdown it then answers every Start with that error, so nobody waits in vain.
    """

    def __init__(self, make_context: Callable[[], Context], scheduler: Scheduler) -> None:
        self.failure: EngineStopped | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._make_context = make_context
        self._scheduler = scheduler
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._runs: dict[int, Run] = {}
        self._high_water: collections.Counter[int] = collections.Counter()
        self._outbox: collections.deque[tuple[Run, Progress]] = collections.deque()
        self._drain_scheduled = False
        self._started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="caesura-engine", daemon=True)
        self._thread.start()
        error = self._started.get()
        if error is not None:
            self._thread.join()
            raise error

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on progress goes to this event loop. What an earlier one was to be told has lost its listeners."""
        self.loop = loop
        self._drain_scheduled = False

    def send(self, command: Command) -> None:
        """From any thread. A Start is answered by progress that has `ended` set, sooner or later, always."""
        self._commands.put(command)

    def join(self) -> None:
        self._thread.join()

    def _main(self) -> None:
        try:
            context = self._make_context()
        except BaseException as error:
            self._started.put(error)
            return
        self._started.put(None)
        try:
            self._serve(context)
        except Exception as error:
            self.failure = EngineStopped(f"the engine's thread failed: {type(error).__name__}: {error}")
            self.failure.__cause__ = error
            self._end_all(self.failure)
            self._refuse_until_shutdown(self.failure)
        finally:
            context.close()

    def _serve(self, context: Context) -> None:
        commands, scheduler = self._commands, self._scheduler
        while True:
            while not len(scheduler) or not commands.empty():
                command = commands.get()
                if isinstance(command, Shutdown):
                    self._end_all(EngineStopped("the engine was closed"))
                    return
                self._execute(context, command)
            self._step(context)

    def _execute(self, context: Context, command: Start | Stop | Release) -> None:
        match command:
            case Start(run):
                self._runs[run.slot] = run
                if not run.params.greedy and run.forced is None:
                    run.chain = SamplerChain(run.params, run.seed)
                self._scheduler.add(run.slot, arrival=run.arrival, pending=len(run.pending))
            case Stop(run):
                if self._runs.get(run.slot) is run:  # else it ended by itself meanwhile
                    self._end(run)
                    self._publish([run])
            case Release(slot):
                context.clear(slot)
                self._high_water.pop(slot, None)

    def _step(self, context: Context) -> None:
        began = time.perf_counter_ns()
        batch = self._scheduler.schedule()
        runs = [self._runs[work.slot] for work in batch]
        rows = [
            (run.slot, run.position, run.pending[: work.count], work.complete)
            for run, work in zip(runs, batch, strict=True)
        ]
        try:
            indices = context.decode(rows)
        except DecodeFailed as error:
            for run in runs:
                self._end(run, error=error)
        else:
            for run, work, index in zip(runs, batch, indices, strict=True):
                self._account(run, work)
                if work.complete:
                    self._sample(context, run, index)
        elapsed = time.perf_counter_ns() - began
        for run in runs:
            run.progress.inference_ns += elapsed
        self._publish([run for run in runs if run.progress.tokens or run.progress.ended])

    def _account(self, run: Run, work: Work) -> None:
        end = run.position + work.count
        seen = self._high_water[run.slot]
        run.progress.decoded += work.count
        run.progress.recomputed += max(0, min(end, seen) - run.position)
        self._high_water[run.slot] = max(seen, end)
        run.position = end
        del run.pending[: work.count]
        self._scheduler.postprocess(work)

    def _sample(self, context: Context, run: Run, index: int) -> None:
        params = run.params
        try:
            logits = context.logits(index)
            if run.forced is not None:
                token = run.forced[run.sampled]
            else:
                # The maximum of logits with a NaN among them is NaN; llama.cpp would silently yield some token.
                likeliest = int(logits.argmax())
                if not math.isfinite(logits[likeliest]):
                    raise InvalidLogits("the model produced logits that are no finite numbers")
                token = likeliest if run.chain is None else context.sample(run.chain, index)
            logprob = log_probability(logits, token) if params.logprobs else None
        except EngineError as error:
            self._end(run, error=error)
            return
        run.progress.tokens.append(SampledToken(token, logprob, time.perf_counter_ns()))
        run.pending.append(token)
        run.sampled += 1
        if token in params.stop_tokens:
            self._end(run, FinishReason.STOP)
        elif run.sampled == params.max_tokens or (run.forced is not None and run.sampled == len(run.forced)):
            self._end(run, FinishReason.LENGTH)
        elif run.sampled == run.room:
            self._end(run, FinishReason.CONTEXT)

    def _end(self, run: Run, reason: FinishReason | None = None, error: SamplerError | None = None) -> None:
        self._scheduler.remove(run.slot)
        self._runs.pop(run.slot, None)
        if run.chain is not None:
            run.chain.close()
        run.progress.ended = True
        run.progress.finish_reason = reason
        run.progress.error = error

    def _end_all(self, error: EngineStopped) -> None:
        runs = list(self._runs.values())
        for run in runs:
            self._end(run, error=error)
        self._publish(runs)

    def _refuse_until_shutdown(self, error: EngineStopped) -> None:
        while not isinstance(command := self._commands.get(), Shutdown):
            if isinstance(command, Start):
                self._end(command.run, error=error)
                self._publish([command.run])

    def _publish(self, runs: list[Run]) -> None:
        if not runs:
            return
        for run in runs:
            self._outbox.append((run, run.progress))
            run.progress = Progress()
        # Under the GIL a plain flag is enough: the event loop clears it before it empties the outbox.
        if not self._drain_scheduled and self.loop is not None:
            self._drain_scheduled = True
            try:
                self.loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the event loop is closed, so nobody listens any more
                self._drain_scheduled = False
                self._outbox.clear()
                for run in list(self._runs.values()):
                    self._end(run)

    def _drain(self) -> None:
        self._drain_scheduled = False
        while self._outbox:
            run, progress = self._outbox.popleft()
            run.on_progress(progress)
