"""One HTTP request about one Response: the connection that carries it, as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Message, Receive, Send

from ...protocol.connection import ServerConnection
from ...protocol.errors import SlowReader
from ...protocol.modes import HTTP
from ..rollouts import Rollouts


class ClientGone(Exception):
    """Nobody is left to be answered: the client has gone, or reads nothing of what is sent."""


class Exchange:
    """Made by :func:`exchange`.

    :ivar connection: what to create a Response on, or to resume one.
    """

    def __init__(self, rollouts: Rollouts, credential: str, send: Send, cutoff: asyncio.Timeout) -> None:
        self._send = send
        self._cutoff = cutoff
        self._news = asyncio.Event()
        self._is_sending = False
        self.connection: ServerConnection = rollouts.connect(credential, self._wake, HTTP)

    async def next_frame(self, silence: float | None = None) -> str | None:
        """The next event's frame; None if none has come for ``silence`` seconds.

        :raises ClientGone: none will come any more.
        """
        while True:
            self._news.clear()
            if (frame := self.connection.next_frame()) is not None:
                return frame
            if self.connection.closing is not None:
                raise ClientGone
            try:
                async with asyncio.timeout(silence):
                    await self._news.wait()
            except TimeoutError:
                return None

    async def send(self, message: Message) -> None:
        """Send it to the client. Waits for one that reads slowly, as long as the protocol core has patience."""
        self._is_sending = True
        await self._send(message)
        self._is_sending = False

    def cut_off(self) -> None:
        """Raise :class:`ClientGone` from whatever the exchange waits for."""
        if not self._cutoff.expired():
            self._cutoff.reschedule(asyncio.get_running_loop().time())

    def _wake(self) -> None:
        self._news.set()
        closing = self.connection.closing
        if closing is not None and closing.reason == SlowReader.code and self._is_sending:
            self.cut_off()


@asynccontextmanager
async def exchange(rollouts: Rollouts, credential: str, receive: Receive, send: Send) -> AsyncIterator[Exchange]:
    """A connection of mode HTTP for the block. As soon as the client has gone the connection is lost, and its Response
    ends, whatever the block waits for.

    :param receive: ASGI's, with the body read: nothing but ``http.disconnect`` is left to come.
    :raises ClientGone: the client did not stay.
    """
    try:
        async with asyncio.timeout(None) as cutoff:
            line = Exchange(rollouts, credential, send, cutoff)
            watcher = asyncio.create_task(_watch(line, rollouts, receive))
            try:
                yield line
            finally:
                watcher.cancel()
                rollouts.disconnect(line.connection)
    except TimeoutError:
        if cutoff.expired():
            raise ClientGone from None
        raise


async def _watch(line: Exchange, rollouts: Rollouts, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    rollouts.disconnect(line.connection)
    line.cut_off()
