"""A TCP connection that counts and stamps: what all designs have below their own protocol."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from time import perf_counter_ns
from typing import cast

from ..driver import BenchError
from .address import Address

TIMEOUT = 600.0
"""Seconds that anything may take, if nobody says otherwise: a long prompt on a slow model takes minutes."""

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection, its TLS or WebSocket handshake included."""


class Meter:
    """What has gone over one agent's connection, and over those that came in its place.

    sent:       when the latest write was with the kernel, to its last byte.
    first_byte: when the first bytes after that write came; 0 while there are none.
    arrived:    when the latest bytes came.
    """

    __slots__ = ("_taken", "arrived", "bytes_down", "bytes_up", "first_byte", "sent")

    def __init__(self) -> None:
        self.bytes_up = 0
        self.bytes_down = 0
        self.sent = 0
        self.first_byte = 0
        self.arrived = 0
        self._taken = (0, 0)

    def take_bytes(self) -> tuple[int, int]:
        """Bytes up and down since the last time: so every byte is counted for one turn."""
        (up, down), self._taken = self._taken, (self.bytes_up, self.bytes_down)
        return self.bytes_up - up, self.bytes_down - down


class Link(asyncio.Protocol):
    """One connection. ``receive`` is called with all that comes, as it comes; ``lost`` once, at the end.

    An asyncio.Protocol and not streams: a stream copies what comes into a buffer of its own and wakes a task for it,
    which is cost of the client that would be measured along.
    """

    def __init__(self, meter: Meter, receive: Callable[[bytes], None], lost: Callable[[BenchError], None]) -> None:
        self.is_open = False
        self._meter = meter
        self._receive = receive
        self._lost = lost
        self._transport: asyncio.Transport
        self._closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_open = True
        self._transport = cast(asyncio.Transport, transport)
        # resume_writing then tells when the last byte of a write is with the kernel.
        self._transport.set_write_buffer_limits(high=0)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        """Send this now.

        :raises BenchError: the connection is gone.
        """
        if not self.is_open:
            raise BenchError("the connection is closed")
        meter = self._meter
        meter.bytes_up += len(data)
        meter.first_byte = 0
        self._transport.write(data)
        meter.sent = perf_counter_ns()

    def resume_writing(self) -> None:
        self._meter.sent = perf_counter_ns()

    def data_received(self, data: bytes) -> None:
        meter = self._meter
        meter.arrived = perf_counter_ns()
        meter.bytes_down += len(data)
        if not meter.first_byte:
            meter.first_byte = meter.arrived
        self._receive(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._closed.set_result(None)
        self._lost(BenchError(f"the connection was lost: {error}" if error else "the server closed the connection"))

    def abort(self) -> None:
        """Close it without a word."""
        self.is_open = False
        self._transport.abort()

    async def closed(self) -> None:
        await self._closed


async def connect(
    address: Address, meter: Meter, receive: Callable[[bytes], None], lost: Callable[[BenchError], None]
) -> Link:
    """Open a connection, with TLS if the address says so.

    :raises BenchError: nobody is there, or not in time.
    """
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context() if address.is_secure else None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, link = await loop.create_connection(
                lambda: Link(meter, receive, lost), address.host, address.port, ssl=context
            )
    except ConnectionRefusedError:
        raise BenchError(f"no server listens at {address.http_url}") from None
    except TimeoutError:
        raise BenchError(f"{address.http_url} did not answer in time") from None
    except OSError as error:
        raise BenchError(f"can't connect to {address.http_url}: {error}") from None
    return link
