"""The event loop's side of a `sample` call: tokens that nobody took yet, who waits for them, and the stream of them.

Both local engines use it; they differ in who delivers, and in how a call is stopped.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from .engine import SampledToken
from .errors import SamplerError


class TokenInbox(ABC):
    """What came of one `sample` call. `deliver` and `end` are called in the event loop."""

    def __init__(self) -> None:
        self._tokens: list[SampledToken] = []
        self._ended = False
        self._error: SamplerError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @abstractmethod
    def stop(self) -> None:
        """Ask for the end, which then comes by `end`. From the event loop."""

    @abstractmethod
    def abandon(self) -> None:
        """`stop` from any thread: the garbage collector runs in all of them."""

    def deliver(self, tokens: Sequence[SampledToken]) -> None:
        if tokens:
            self._tokens += tokens
            self._wake()

    def end(self, error: SamplerError | None = None) -> None:
        self._ended, self._error = True, error
        self._wake()

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
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class InboxStream:
    """See `engine.SampleStream`. Dropping the stream, or cancelling who waits for it, stops the sampling."""

    def __init__(self, inbox: TokenInbox) -> None:
        self._inbox = inbox

    def __aiter__(self) -> InboxStream:
        return self

    async def __anext__(self) -> Sequence[SampledToken]:
        try:
            tokens = await self._inbox.take()
        except asyncio.CancelledError:
            self._inbox.stop()
            raise
        if tokens is None:
            raise StopAsyncIteration
        return tokens

    async def aclose(self) -> None:
        self._inbox.stop()
        await self._inbox.ended()

    def __del__(self) -> None:
        self._inbox.abandon()
