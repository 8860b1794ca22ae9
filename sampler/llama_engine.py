"""The local engine: `engine.Engine` on llama.cpp. This is the event loop's side; `engine_thread` has the other.

Nothing is computed when a sequence is opened or extended, only when it is sampled: then everything pending goes
into one prefill, and the batches of a rollout don't depend on how fast its client was.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import secrets
from collections.abc import Callable, Sequence

from .engine import FinishReason, SampledToken, SamplingParams
from .engine_thread import EngineThread, Progress, Release, Run, Shutdown, Start, Stop
from .errors import (
    ContextLengthExceeded,
    EngineStopped,
    InvalidToken,
    NoFreeSequence,
    SamplerError,
    SequenceBusy,
    SequenceClosed,
)
from .ledger import Ledger
from .llama_context import LlamaContext
from .model import Model
from .scheduler import Scheduler

BATCH_SIZE = 512


class LlamaEngine:
    """Many sequences on one llama.cpp context.

    context_length: tokens per sequence. The KV cache for all of them is allocated, and touched, at once.
    sequences:      sequences that can be open at once, at most 256.
    threads:        of llama.cpp. One is the fastest for small models, and leaves a core to the event loop.
    prefill_chunk, idle_prefill_chunk: see `Scheduler`.

    The constructor blocks until the context is there. Raises EngineStartFailed.
    """

    def __init__(
        self,
        model: Model,
        *,
        context_length: int | None = None,
        sequences: int = 8,
        threads: int = 1,
        prefill_chunk: int = 64,
        idle_prefill_chunk: int = BATCH_SIZE,
    ) -> None:
        self.context_length = context_length or model.context_length
        self.max_sequences = sequences
        self._vocab = model.vocab
        batch_size = max(prefill_chunk + sequences, idle_prefill_chunk)
        scheduler = Scheduler(batch_size=batch_size, prefill_chunk=prefill_chunk, idle_prefill_chunk=idle_prefill_chunk)

        def make_context() -> LlamaContext:
            return LlamaContext(
                model.llama,
                context_length=self.context_length,
                sequences=sequences,
                threads=threads,
                batch_size=batch_size,
            )

        self._thread = EngineThread(make_context, scheduler)
        # Low slots first: llama.cpp computes neighbouring ones in one pass.
        self._free_slots = list(range(sequences))
        self._arrivals = itertools.count()
        self._closed = False

    async def open(self, tokens: Sequence[int]) -> LlamaSequence:
        self._check_alive()
        tokens = list(tokens)
        self._vocab.check(tokens)
        if not tokens:
            raise InvalidToken("a sequence must be opened with at least one token")
        if len(tokens) > self.context_length:
            raise ContextLengthExceeded(len(tokens), self.context_length, self.context_length)
        if not self._free_slots:
            raise NoFreeSequence(
                f"all {self.max_sequences} sequences are in use: wait until one is closed, "
                "or start the server with more --sequences"
            )
        self._bind(asyncio.get_running_loop())
        return LlamaSequence(self, heapq.heappop(self._free_slots), next(self._arrivals), tokens)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._thread.send(Shutdown())
        await asyncio.to_thread(self._thread.join)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread.loop is not loop:
            if len(self._free_slots) < self.max_sequences and self._thread.loop is not None:
                raise RuntimeError("an engine with open sequences belongs to one event loop")
            self._thread.bind(loop)

    def _check_alive(self) -> None:
        if self._thread.failure is not None:
            raise EngineStopped(str(self._thread.failure)) from self._thread.failure
        if self._closed:
            raise EngineStopped("the engine was closed")

    def _release(self, slot: int) -> None:
        # The slot can be handed out at once: the queue keeps the order.
        self._thread.send(Release(slot))
        heapq.heappush(self._free_slots, slot)


class LlamaSequence:
    """See `engine.TokenSequence`."""

    def __init__(self, engine: LlamaEngine, slot: int, arrival: int, tokens: list[int]) -> None:
        self.ledger = Ledger(tokens)
        self.inference_ns = 0
        self.finish_reason: FinishReason | None = None
        self._engine = engine
        self._slot = slot
        self._arrival = arrival
        self._position = 0  # the first position not fed yet
        self._run: _LoopRun | None = None
        self._closed_because: str | None = None

    def room(self) -> int:
        return self._engine.context_length - len(self.ledger)

    def extend(self, tokens: Sequence[int]) -> None:
        self._check_idle()
        tokens = list(tokens)
        self._engine._vocab.check(tokens)
        if len(tokens) > self.room():
            raise ContextLengthExceeded(len(tokens), self.room(), self._engine.context_length)
        self.ledger.append(tokens)

    def sample(self, params: SamplingParams, *, forced: Sequence[int] | None = None) -> LlamaSampleStream:
        self._check_idle()
        self._engine._check_alive()
        vocab = self._engine._vocab
        vocab.check(params.stop_tokens)
        if forced is not None:
            forced = list(forced)
            vocab.check(forced)
        self.finish_reason = None
        run = _LoopRun(self._on_progress)
        if self.room() == 0 or forced == []:
            # Nothing to compute: there is no place for a token, or no token to take.
            run.on_progress(
                Progress(ended=True, finish_reason=FinishReason.LENGTH if self.room() else FinishReason.CONTEXT)
            )
            return LlamaSampleStream(run)
        run.start(
            self._engine._thread,
            Run(
                slot=self._slot,
                arrival=self._arrival,
                position=self._position,
                pending=self.ledger.tokens[self._position :],
                params=params,
                seed=_seed(params.seed, len(self.ledger)),
                room=self.room(),
                forced=forced,
                on_progress=run.on_progress,
            ),
        )
        self._run = run
        return LlamaSampleStream(run)

    async def close(self) -> None:
        if self._closed_because is None:
            self._closed_because = "it was closed"
            if self._run is not None:
                self._run.stop()
            self._engine._release(self._slot)
        if self._run is not None:
            await self._run.ended()

    def _check_idle(self) -> None:
        if self._closed_because is not None:
            raise SequenceClosed(f"the sequence can't be used: {self._closed_because}")
        if self._run is not None:
            raise SequenceBusy("the sequence is being sampled: wait for the stream's end, or `aclose` it")

    def _on_progress(self, progress: Progress) -> None:
        ledger = self.ledger
        for sampled in progress.tokens:
            ledger.sample(sampled.token, sampled.logprob)
        ledger.decoded += progress.decoded
        ledger.recomputed += progress.recomputed
        self._position += progress.decoded
        self.inference_ns += progress.inference_ns
        if progress.ended:
            self._run = None
            self.finish_reason = progress.finish_reason
            if progress.error is not None and self._closed_because is None:
                self._closed_because = f"it failed: {progress.error}"
                self._engine._release(self._slot)


class _LoopRun:
    """The event loop's side of one run: tokens that nobody took yet, and who waits for them."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self._account = on_progress
        self._thread: EngineThread | None = None
        self._run: Run | None = None
        self._tokens: list[SampledToken] = []
        self._ended = False
        self._error: SamplerError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def start(self, thread: EngineThread, run: Run) -> None:
        self._thread, self._run = thread, run
        thread.send(Start(run))

    def stop(self) -> None:
        """From any thread, at any time. The end comes as progress."""
        if not self._ended and self._thread is not None and self._run is not None:
            self._thread.send(Stop(self._run))

    def on_progress(self, progress: Progress) -> None:
        self._account(progress)
        self._tokens.extend(progress.tokens)
        self._ended = progress.ended
        self._error = progress.error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def take(self) -> list[SampledToken] | None:
        """What came since the last call, at least one token; None at the end. Raises the run's error once."""
        while not self._tokens:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._ended:
                return None
            await self._progress()
        tokens, self._tokens = self._tokens, []
        return tokens

    async def ended(self) -> None:
        while not self._ended:
            await self._progress()

    async def _progress(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


class LlamaSampleStream:
    """See `engine.SampleStream`. Dropping the stream, or cancelling who waits for it, stops the sampling."""

    def __init__(self, run: _LoopRun) -> None:
        self._run = run

    def __aiter__(self) -> LlamaSampleStream:
        return self

    async def __anext__(self) -> Sequence[SampledToken]:
        try:
            tokens = await self._run.take()
        except asyncio.CancelledError:
            self._run.stop()
            raise
        if tokens is None:
            raise StopAsyncIteration
        return tokens

    async def aclose(self) -> None:
        self._run.stop()
        await self._run.ended()

    def __del__(self) -> None:
        self._run.stop()


def _seed(seed: int | None, position: int) -> int:
    """A generator's seed for sampling from `position` on.

    With the caller's seed alone, each turn of a rollout would draw the same numbers again. The mixing function is that
    of splitmix64.
    """
    if seed is None:
        return secrets.randbits(64)
    mask = 2**64 - 1
    mixed = (seed + (position + 1) * 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)
