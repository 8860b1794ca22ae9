"""One client's connection: frames between the transport and the protocol core."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from ..protocol.modes import APPEND, Mode
from .rollouts import Rollouts
from .stepping import begun

log = logging.getLogger("caesura")

Send = Callable[[str], Awaitable[None]]
Close = Callable[[int, str], Coroutine[Any, Any, None]]

INTERNAL_ERROR = 1011

CLOSE_SECONDS = 5.0
"""How long a peer that is told to go may take to read that."""


class Session:
    """Feed it frames with :meth:`receive`; it sends through ``send``, and closes the transport through ``close``.
    :meth:`disconnect` when the peer is gone.

    A frame is sent at once where the transport takes it at once. Where it doesn't, a task waits for it, so that no
    rollout ever waits for a slow reader.
    """

    def __init__(self, rollouts: Rollouts, send: Send, close: Close, credential: str = "", mode: Mode = APPEND) -> None:
        self._rollouts = rollouts
        self._send = send
        self._close = close
        self._is_sending = False
        self._is_gone = False
        self._writer: asyncio.Task[None] | None = None
        self.connection = rollouts.connect(credential, self._wake, mode)

    def receive(self, data: str | bytes) -> None:
        """Take in one frame: text, or bytes for a binary one."""
        self._rollouts.receive(self.connection, data)

    async def disconnect(self) -> None:
        """The peer is gone, and so are its rollouts, or they go on, as the mode has it."""
        self._is_gone = True
        self._rollouts.disconnect(self.connection)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    def _wake(self) -> None:
        if self._is_gone:
            return
        if not self._is_sending:
            self._is_sending = True
            rest = begun(self._write())
            if rest is not None:
                self._writer = asyncio.create_task(rest)
        elif self.connection.closing is not None and self._writer is not None:
            # It reads too slowly: what waits in the transport may never be read.
            self._writer.cancel()
            self._end(self._finish())

    def _end(self, coroutine: Coroutine[Any, Any, None]) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._writer = asyncio.create_task(coroutine)
        else:
            coroutine.close()

    async def _write(self) -> None:
        try:
            await self._send_all()
        except Exception:  # a peer that waits for what is never sent would wait for ever
            log.exception("a connection broke while sending")
            self._rollouts.disconnect(self.connection)
            self._end(self._close(INTERNAL_ERROR, "sending failed"))
        if self.connection.closing is not None:
            self._end(self._finish())
        self._is_sending = False

    async def _send_all(self) -> None:
        while (frame := self.connection.next_frame()) is not None:
            await self._send(frame)

    async def _finish(self) -> None:
        """The core wants the connection closed: send what says why, then close."""
        closing = self.connection.closing
        if closing is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._send_all(), CLOSE_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._close(closing.code, closing.reason), CLOSE_SECONDS)
