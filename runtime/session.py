"""One client's connection: frames between the transport and the protocol core."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from .rollouts import Rollouts

log = logging.getLogger("caesura")

Send = Callable[[str], Awaitable[None]]
Close = Callable[[int, str], Awaitable[None]]

INTERNAL_ERROR = 1011

CLOSE_SECONDS = 5.0
"""How long a peer that is told to go may take to read that."""


class Session:
    """Feed it frames with :meth:`receive`; it sends through ``send``, and closes the transport through ``close``.
    :meth:`disconnect` when the peer is gone.

    A task of its own sends, so that no rollout ever waits for a slow reader.
    """

    def __init__(self, rollouts: Rollouts, send: Send, close: Close, credential: str = "") -> None:
        self._rollouts = rollouts
        self._send = send
        self._close = close
        self._news = asyncio.Event()
        self._is_sending = False
        self._connection = rollouts.connect(credential, self._wake)
        self._writer = asyncio.create_task(self._write())

    def receive(self, data: str | bytes) -> None:
        """Take in one frame: text, or bytes for a binary one."""
        self._rollouts.receive(self._connection, data)

    async def disconnect(self) -> None:
        """The peer is gone. Its rollouts go on; it may resume them."""
        self._rollouts.disconnect(self._connection)
        self._writer.cancel()
        await asyncio.wait([self._writer])

    def _wake(self) -> None:
        self._news.set()
        if self._connection.closing is not None and self._is_sending:
            # It reads too slowly: what waits in the transport may never be read.
            self._writer.cancel()
            self._writer = asyncio.create_task(self._finish())

    async def _write(self) -> None:
        try:
            while self._connection.closing is None:
                await self._news.wait()
                self._news.clear()
                await self._send_all()
        except Exception:  # a peer that waits for what is never sent would wait for ever
            log.exception("a connection broke while sending")
            self._rollouts.disconnect(self._connection)
            await self._close(INTERNAL_ERROR, "sending failed")
        await self._finish()

    async def _send_all(self) -> None:
        while (frame := self._connection.next_frame()) is not None:
            self._is_sending = True
            await self._send(frame)
            self._is_sending = False

    async def _finish(self) -> None:
        """The core wants the connection closed: send what says why, then close."""
        closing = self._connection.closing
        if closing is not None:
            self._is_sending = False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._send_all(), CLOSE_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._close(closing.code, closing.reason), CLOSE_SECONDS)
