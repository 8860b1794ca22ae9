"""The engine's thread: it alone touches the llama.cpp context, and it runs every step.

Commands come in by a queue; what happened goes out as `Progress`, all sequences of a step together. Waking the event
loop costs as much as a tenth of a step of a small model, so it is done at most once in `WAKE_INTERVAL_NS`, but at once
for a run's first token and for its end: a pause never waits.

Decoding in the event loop's own thread was rejected: it makes every socket wait for a step. So was an executor: a
hop to it and back each step costs more than the queue.
"""

from __future__ import annotations

import asyncio
import bisect
import collections
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from . import slot_order
from .anticipation import Anticipations
from .engine import FinishReason
from .engine_run import Anticipate, Close, Command, Expect, Loaded, Progress, Run, Shutdown, Start, Stop, Written
from .engine_sampling import Ended, is_greedy, sample, take_likeliest
from .errors import DecodeFailed, EngineError, EngineStopped, SamplerError
from .llama_context import Logits, Row
from .residency import Residency
from .scheduler import Scheduler, Work

WAKE_INTERVAL_NS = 4_000_000
"""Tokens wait this long for company at most, and only while steps are shorter than this. Nobody sees 4 ms; at 4,000
tokens/s it saves fifteen wake-ups of sixteen."""


LONG_STEP_NS = 2_000_000
"""Where a step takes longer, nothing is computed ahead before a pause has lasted as long as a step. A batch of a few
tokens costs as much as a step more than the same tokens in a larger batch, and an answer that comes at once would wait
for it. Where steps are shorter there is little to lose, and what is certain is computed before any answer can come."""

COPY_AHEAD_AFTER = 0.005
"""Seconds without anything to do after which there is time to copy a state ahead."""

THREAD_NAME = "caesura-engine"
"""Fifteen characters at most, for Linux."""

COMPACT_AFTER = 16
"""Steps of the same sequences after which those that have gaps between their slots move together. To move one costs
about as much as one or two steps, so it must not be done for the last few tokens of a turn."""


class Context(Protocol):
    """What the thread needs of `LlamaContext`."""

    def decode(self, rows: Sequence[Row]) -> None: ...
    def decode_next(self, tokens: Sequence[int]) -> None: ...
    def logits(self, outputs: int) -> Logits: ...
    def close(self) -> None: ...


class EngineThread:
    """Runs `make_context()` and then the steps in a thread of its own.

    make_context gets the thread's `send`, and gives the context and the residency on top of it.

    The constructor returns when the context is there, or raises what `make_context` raised. `failure` is set when
    the thread can't go on; until Shutdown it then answers every Start with that error, so nobody waits in vain.
    """

    def __init__(
        self,
        make_context: Callable[[Callable[[Command], None]], tuple[Context, Residency]],
        scheduler: Scheduler,
        on_forgotten: Callable[[int], None] = lambda key: None,
    ) -> None:
        self.failure: EngineStopped | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._make_context = make_context
        self._scheduler = scheduler
        self._on_forgotten = on_forgotten
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._runs: dict[int, Run] = {}  # by slot
        self._waiting: list[Run] = []  # for a slot, in order of arrival
        self._may_seat = False
        self._decoding: list[Run] = []  # those of the latest batch, if all of them were decoding
        self._woke = 0
        self._step_ns = 0  # the latest step that only decoded
        self._steps = 0  # since the last change of who is being sampled
        self._outbox: collections.deque[tuple[Callable[[Any], None], Any]] = collections.deque()
        self._drain_scheduled = False
        self._started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=THREAD_NAME, daemon=True)
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
        _tell_the_kernel_its_name()
        try:
            context, self._residency = self._make_context(self.send)
        except BaseException as error:
            self._started.put(error)
            return
        self._residency.on_forgotten = self._forgotten
        self._ahead = Anticipations(self._residency, self._scheduler.batch_size)
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
            while not commands.empty() or not (len(scheduler) or self._may_seat):
                command = self._next_command(context)
                if isinstance(command, Shutdown):
                    self._end_all(EngineStopped("the engine was closed"))
                    return
                self._execute(command)
            if self._may_seat:
                self._seat_waiting()
            if len(scheduler):
                self._step(context)
                self._repeat(context)

    def _next_command(self, context: Context) -> Command:
        if self._ahead and self._commands.empty():
            try:
                if self._step_ns > LONG_STEP_NS:
                    return self._commands.get(timeout=self._step_ns / 1e9)
            except queue.Empty:
                pass
            while self._ahead and self._commands.empty():
                self._ahead.compute(context)
        # A tool that is over at once must not find the engine copying.
        if self._commands.empty() and self._residency.is_crowded:
            try:
                return self._commands.get(timeout=COPY_AHEAD_AFTER)
            except queue.Empty:
                self._residency.prepare(time.monotonic())
        return self._commands.get()

    def _execute(self, command: Command) -> None:
        residency = self._residency
        match command:
            case Start(run):
                self._ahead.drop(run.key)
                residency.wake(run.key, time.monotonic())
                bisect.insort(self._waiting, run, key=_arrival)
                self._may_seat = True
            case Stop(run):
                if run in self._waiting or self._runs.get(run.slot) is run:  # else it ended by itself meanwhile
                    self._end(run)
                    self._publish([run])
            case Expect(key, tools):
                residency.expect(key, tools)
            case Anticipate():
                self._ahead.add(command)
            case Close(key):
                self._ahead.drop(key)
                residency.close(key)
                self._may_seat = bool(self._waiting)
            case Written(file, ok):
                residency.written(file, ok)
                self._may_seat = bool(self._waiting)
            case Loaded(file, state):
                residency.loaded(file, state)  # type: ignore[arg-type]
                self._may_seat = bool(self._waiting)

    # --- slots ------------------------------------------------------------------------------------------------------

    def _seat_waiting(self) -> None:
        """Give slots to waiting runs, those that arrived first before the others."""
        self._may_seat = False
        now = time.monotonic()
        for run in self._runs.values():
            self._residency.advance(run.key, run.position)
        computed = {
            run.key: state.high_water for run in self._waiting if (state := self._residency.states.get(run.key))
        }
        for run in self._residency.seat_in_turn(self._waiting, now):
            self._waiting.remove(run)
            self._begin(run, computed.get(run.key, 0))

    def _begin(self, run: Run, computed: int) -> None:
        state = self._residency.states[run.key]
        if not computed:
            run.progress.copied = state.tokens
        elif state.tokens < computed:
            run.progress.rebuilt_at = computed
        self._ahead.use(run)
        run.slot, run.position, run.recompute_until = state.slot, state.tokens, computed
        self._runs[run.slot] = run
        self._steps = 0
        self._scheduler.add(run.slot, arrival=run.arrival, pending=run.pending, resumed=run.resumed)

    def _compact(self) -> None:
        """Close the gaps between the slots of those that are being sampled."""
        for slot, to in slot_order.moves(self._runs, self._residency.slots):
            run = self._runs.pop(slot)
            self._residency.advance(run.key, run.position)
            kept = self._residency.move(run.key, to)
            self._scheduler.move(slot, to)
            run.slot = to
            self._runs[to] = run
            if not kept:
                self._end(run, error=DecodeFailed("a state was lost when it changed its slot"))
                self._publish([run])

    # --- steps ------------------------------------------------------------------------------------------------------

    def _step(self, context: Context) -> None:
        began = time.perf_counter_ns()
        self._steps += 1
        if self._steps == COMPACT_AFTER and len(self._runs) > 1:
            self._compact()
        batch = self._scheduler.schedule()
        runs = [self._runs[work.slot] for work in batch]
        only_decode = isinstance(batch, tuple)
        self._decoding = runs if only_decode else []
        try:
            context.decode(
                [
                    (run.slot, run.position, run.next_tokens(work.num_tokens), work.complete)
                    for run, work in zip(runs, batch, strict=True)
                ]
            )
        except DecodeFailed as error:
            self._fail(runs, error)
            return
        for run, work in zip(runs, batch, strict=True):
            self._account(run, work)
        outputs = runs if only_decode else [run for run, work in zip(runs, batch, strict=True) if work.complete]
        choose = take_likeliest if is_greedy(outputs) else sample
        over = choose(context.logits(len(outputs)), outputs) if outputs else []
        self._report(runs, began, over, urgent=bool(over) or any(run.sampled == 1 for run in outputs))

    def _repeat(self, context: Context) -> None:
        """The same sequences, each with its next token, until one of them ends or there is something else to do.

        Almost all steps are such steps, and a small model takes little longer for one than Python for what can be left
        out here.
        """
        runs, commands = self._decoding, self._commands
        choose = take_likeliest if is_greedy(runs) else sample
        now = time.perf_counter_ns
        while runs and commands.empty():
            if self._steps == COMPACT_AFTER - 1 and len(runs) > 1:
                return
            self._steps += 1
            began = now()
            try:
                context.decode_next([run.token for run in runs])
            except DecodeFailed as error:
                self._fail(runs, error)
                return
            for run in runs:
                run.position += 1
                run.progress.decoded += 1
            over = choose(context.logits(len(runs)), runs)
            self._report(runs, began, over, urgent=bool(over))
            if over:
                return

    def _fail(self, runs: Sequence[Run], error: DecodeFailed) -> None:
        self._decoding = []
        for run in runs:
            self._end(run, error=error)
        self._publish(runs)

    def _report(self, runs: Sequence[Run], began: int, over: Sequence[Ended], *, urgent: bool) -> None:
        """Account for a step that began then, and tell the event loop, if it is time."""
        for run, reason, failure in over:
            self._end(run, reason, failure)
        ended = time.perf_counter_ns()
        elapsed = ended - began
        if self._decoding:
            self._step_ns = elapsed
        for run in runs:
            run.progress.inference_ns += elapsed
        if urgent or ended - self._woke >= WAKE_INTERVAL_NS or elapsed >= WAKE_INTERVAL_NS:
            self._woke = ended
            reports = [run for run in self._runs.values() if run.progress.tokens]
            self._publish([*reports, *(run for run, _, _ in over)])

    def _account(self, run: Run, work: Work) -> None:
        end = run.position + work.num_tokens
        run.progress.decoded += work.num_tokens
        run.progress.recomputed += max(0, min(end, run.recompute_until) - run.position)
        run.position = end
        self._scheduler.postprocess(work)

    def _end(self, run: Run, reason: FinishReason | None = None, error: SamplerError | None = None) -> None:
        self._decoding = []
        if self._runs.get(run.slot) is run:
            self._scheduler.remove(run.slot)
            del self._runs[run.slot]
            self._steps = 0
            residency = self._residency
            residency.advance(run.key, run.position)
            if isinstance(error, EngineError):
                residency.spoil(run.key)
            residency.park(run.key, time.monotonic())
        else:
            if run in self._waiting:
                self._waiting.remove(run)
            self._residency.give_up(run.key, time.monotonic())
        self._may_seat = bool(self._waiting)
        run.progress.ended = True
        run.progress.finish_reason = reason
        run.progress.error = error

    # --- to the event loop ------------------------------------------------------------------------------------------

    def _end_all(self, error: EngineStopped) -> None:
        runs = [*self._runs.values(), *self._waiting]
        self._runs.clear()
        self._waiting.clear()
        for run in runs:
            run.progress.ended = True
            run.progress.error = error
        self._publish(runs)

    def _refuse_until_shutdown(self, error: EngineStopped) -> None:
        while not isinstance(command := self._commands.get(), Shutdown):
            if isinstance(command, Start):
                command.run.progress.ended = True
                command.run.progress.error = error
                self._publish([command.run])

    def _forgotten(self, key: int) -> None:
        # Nothing hangs on when the event loop hears of it, so it isn't woken.
        self._outbox.append((self._on_forgotten, key))

    def _publish(self, runs: Sequence[Run]) -> None:
        if not runs:
            return
        for run in runs:
            self._outbox.append((run.on_progress, run.progress))
            run.progress = Progress()
        # Under the GIL a plain flag is enough: the event loop clears it before it empties the outbox.
        if not self._drain_scheduled and self.loop is not None:
            self._drain_scheduled = True
            try:
                self.loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the event loop is closed, so nobody listens any more
                self._drain_scheduled = False
                self._outbox.clear()
                for run in [*self._runs.values(), *self._waiting]:
                    self._end(run)

    def _drain(self) -> None:
        self._drain_scheduled = False
        while self._outbox:
            listener, report = self._outbox.popleft()
            listener(report)


def _arrival(run: Run) -> int:
    return run.arrival


def _tell_the_kernel_its_name() -> None:
    """So that tools show whose time it was. Python does that by itself from 3.14 on."""
    with contextlib.suppress(OSError):  # not Linux
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(THREAD_NAME, encoding="ascii")
