"""A WebSocket: frames of the ``websockets`` library's protocol, without its connection, streams and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from ..driver import BenchError
from .address import Address
from .link import CONNECT_TIMEOUT, Link, Meter, connect

CLOSE_TIMEOUT = 2.0
"""Seconds that the server has for its part of closing."""


class WebSocketConnection:
    """``on_message`` is called with each text message, as bytes; ``on_lost`` once, when no more can come.

    No compression: on small frames it costs more than it saves.
    """

    def __init__(
        self, address: Address, on_message: Callable[[bytes], None], on_lost: Callable[[BenchError], None]
    ) -> None:
        self.meter = Meter()
        self._address = address
        self._on_message = on_message
        self._on_lost = on_lost
        self._protocol = ClientProtocol(parse_uri(address.websocket_url), max_size=None)
        self._parts: list[bytes] = []
        self._link: Link | None = None
        self._handshake: asyncio.Future[None] | None = None

    async def open(self, headers: Mapping[str, str] | None = None) -> None:
        """Connect, and shake hands.

        :raises BenchError: nobody is there, or it is no WebSocket.
        """
        self._handshake = asyncio.get_running_loop().create_future()
        self._link = await connect(self._address, self.meter, self._receive, self._lost)
        request = self._protocol.connect()
        request.headers.update(headers or {})
        self._protocol.send_request(request)
        self._flush()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._handshake
        except TimeoutError:
            raise BenchError(f"{self._address.websocket_url} did not answer in time") from None
        self.meter.take_bytes()  # the handshake belongs to no turn

    def send(self, message: bytes) -> None:
        """Send a text message now.

        :raises BenchError: the connection is gone.
        """
        if self._protocol.state is not OPEN:
            raise BenchError("the connection is closed")
        self._protocol.send_text(message)
        self._flush()

    async def close(self) -> None:
        """Say goodbye, and be gone in a short time whether it is answered or not."""
        link = self._link
        if link is None:
            return
        self._on_lost = _nobody
        if link.is_open and self._protocol.state is OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await link.closed()
        link.abort()
        await link.closed()

    def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data and self._link is not None:
            self._link.write(data)

    def _receive(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            elif isinstance(event, Response):
                self._shaken(event)
        if protocol.handshake_exc is not None:
            self._refused(str(protocol.handshake_exc))
        if protocol.writes:
            self._flush()  # a pong, or the answer to a goodbye
        if protocol.close_expected() and self._link is not None:
            self._link.abort()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            if frame.fin and not self._parts:
                self._on_message(bytes(frame.data))
            else:
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    message = b"".join(self._parts)
                    self._parts.clear()
                    self._on_message(message)

    def _shaken(self, response: Response) -> None:
        assert self._handshake is not None
        if self._protocol.handshake_exc is None:
            self._handshake.set_result(None)
        elif response.status_code != 101:
            self._refused(f"HTTP {response.status_code}")

    def _refused(self, answer: str) -> None:
        assert self._handshake is not None
        if not self._handshake.done():
            error = BenchError(f"{self._address.websocket_url} is no WebSocket, it answered: {answer}")
            self._handshake.set_exception(error)

    def _lost(self, error: BenchError) -> None:
        protocol = self._protocol
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(error)
        if protocol.close_rcvd is not None:
            error = BenchError(f"the server closed the connection: {protocol.close_rcvd}")
        elif isinstance(protocol.parser_exc, Exception) and not isinstance(protocol.parser_exc, EOFError):
            error = BenchError(f"what the server sent can't be read: {protocol.parser_exc}")
        self._on_lost(error)


def _nobody(error: BenchError) -> None:
    pass
