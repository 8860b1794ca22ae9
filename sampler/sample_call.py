"""One `sample` call of a sequence in the engine's process, as the event loop sees it, and its stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from .engine import SampledToken, SamplingParams
from .errors import SamplerError


class SampleCall:
    """One `sample` call: what was asked for, tokens that nobody took yet, and who waits for them.

    delivered: tokens of this call in the ledger, so a child that is started again goes on after them.
    """

    def __init__(
        self, params: SamplingParams, forced: list[int] | None, continued: int, on_stop: Callable[[], None]
    ) -> None:
        self.params = params
        self.forced = forced
        self.continued = continued
        self.delivered = 0
        self.stopping = False
        self._on_stop = on_stop
        self._loop = asyncio.get_running_loop()
        self._tokens: list[SampledToken] = []
        self._ended = False
        self._error: SamplerError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def deliver(self, tokens: list[SampledToken]) -> None:
        if tokens:
            self.delivered += len(tokens)
            self._tokens += tokens
            self._wake()

    def end(self, error: SamplerError | None = None) -> None:
        self._ended, self._error = True, error
        self._wake()

    def stop(self) -> None:
        """The end comes as progress, or at once when no child is there."""
        if not self._ended and not self.stopping:
            self.stopping = True
            self._on_stop()

    def abandon(self) -> None:
        """`stop` from any thread: the garbage collector runs in all of them."""
        if not self._ended:
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(self.stop)

    async def take(self) -> list[SampledToken] | None:
        """What came since the last call, at least one token; None at the end. Raises the call's error once."""
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
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class ProcessSampleStream:
    """See `engine.SampleStream`. Dropping the stream, or cancelling who waits for it, stops the sampling."""

    def __init__(self, call: SampleCall) -> None:
        self._call = call

    def __aiter__(self) -> ProcessSampleStream:
        return self

    async def __anext__(self) -> Sequence[SampledToken]:
        try:
            tokens = await self._call.take()
        except asyncio.CancelledError:
            self._call.stop()
            raise
        if tokens is None:
            raise StopAsyncIteration
        return tokens

    async def aclose(self) -> None:
        self._call.stop()
        await self._call.ended()

    def __del__(self) -> None:
        self._call.abandon()
