"""One WebSocket with the protocol core on it, from its opening to its loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import websockets
from websockets.asyncio.client import ClientConnection as WebSocket

from ..protocol.connection import ClientProtocol, Received
from ..protocol.errors import ConnectionLimitReached, RemoteProtocolViolation
from ..protocol.events import ErrorEvent
from .handshake import CLOSE_TIMEOUT


class Channel:
    """Moves frames. A task of its own writes, so that nobody who sends waits for the network, or is cancelled with a
    frame of someone else's half sent."""

    def __init__(self, socket: WebSocket, core: ClientProtocol) -> None:
        self._socket = socket
        self._core = core
        self._has_frames = asyncio.Event()

    def wake(self) -> None:
        """The core has something to send."""
        self._has_frames.set()

    async def close(self) -> None:
        """Send what the core has now, as far as that is possible in a short time, and close the socket."""
        with suppress(websockets.ConnectionClosed, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._send_queued()
        await self._socket.close()

    async def run(self, hand_on: Callable[[Received], None]) -> str:
        """Hand on what comes until the socket is gone, or not worth keeping, and close it; why that is."""
        code = websockets.CloseCode.NORMAL_CLOSURE
        writer = asyncio.create_task(self._write(), name="caesura client writer")
        try:
            return await self._read(hand_on)
        except RemoteProtocolViolation as error:
            code = websockets.CloseCode.PROTOCOL_ERROR
            return f"the server broke the protocol: {error}"
        finally:
            writer.cancel()
            await self._socket.close(code)

    async def _read(self, hand_on: Callable[[Received], None]) -> str:
        last_error = ""
        try:
            async for frame in self._socket:
                received = self._core.receive(frame)
                self.wake()  # what has waited for this may go out now
                if received is None:
                    continue
                hand_on(received)
                if isinstance(received.event, ErrorEvent):
                    error = received.event.error
                    last_error = f" (its last error: {error.code}: {error.message})"
                    if error.code == ConnectionLimitReached.code:
                        return f"the connection is too old{last_error}"  # the server may wait long before it closes it
        except websockets.ConnectionClosed as error:
            return f"the connection broke: {error}{last_error}"
        return f"the server closed the connection{last_error}"

    async def _write(self) -> None:
        with suppress(websockets.ConnectionClosed):  # the reader sees it too
            while True:
                self._has_frames.clear()
                await self._send_queued()
                await self._has_frames.wait()

    async def _send_queued(self) -> None:
        while (frame := self._core.next_frame()) is not None:
            await self._socket.send(frame)
