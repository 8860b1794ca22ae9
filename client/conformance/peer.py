"""A raw WebSocket peer: plain JSON, every frame in a transcript, every wait bounded.

It knows nothing of the protocol, so that it can say of both roles what really came. It uses no part of the protocol
core: the judge must not share the judged code.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import websockets
from websockets.asyncio.connection import Connection
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from .events import Event
from .outcome import CheckFailed
from .transcript import Transcript

CLOSE_SECONDS = 2.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    """One that came: ``index`` counts those of its connection, ``event`` is {} if it is no JSON object."""

    index: int
    text: str
    event: Event

    @property
    def type(self) -> str:
        return str(self.event.get("type"))


class Peer:
    """The suite's end of one connection. A task reads all the time, unless ``hold_reading`` stopped it.

    ``frames`` are all that came. ``closed`` says how the connection ended: code and reason; 1006 without a handshake.
    """

    def __init__(
        self,
        socket: Connection,
        transcript: Transcript,
        name: str,
        *,
        timeout: float,
        on_frame: Callable[[Frame], None] = lambda frame: None,
        on_send: Callable[[Event], None] = lambda message: None,
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.frames: list[Frame] = []
        self.closed: tuple[int, str] | None = None
        self._socket = socket
        self._transcript = transcript
        self._on_frame = on_frame
        self._on_send = on_send
        self._has_ended = False
        self._news = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._reader = asyncio.create_task(self._read(), name=f"conformance peer {name}")

    # --- sending --------------------------------------------------------------------------------------------------

    async def send(self, message: Event) -> None:
        """One message, as a text frame.

        :raises CheckFailed: the connection is closed, or takes nothing for too long.
        """
        self._on_send(message)
        await self.send_text(json.dumps(message, ensure_ascii=False))

    async def send_text(self, text: str) -> None:
        await self._send(text, text)

    async def send_many(self, text: str, times: int) -> None:
        """The same text frame many times; one line in the transcript."""
        self.note(">", f"{text}, {times:,} times")

        async def send() -> None:
            for _ in range(times):
                await self._socket.send(text)

        await self.bounded(send(), "the peer takes what is sent to it", 3 * self.timeout)

    async def send_binary(self, data: bytes) -> None:
        await self._send(data, f"({len(data)} bytes, binary)")

    async def _send(self, data: str | bytes, shown: str) -> None:
        self.note(">", shown)
        await self.bounded(self._socket.send(data), "the peer takes what is sent to it")

    async def ping(self, data: bytes) -> None:
        """Send a ping, and wait for the pong that carries the same data."""
        self.note("-", f"ping {data!r}")
        await self.bounded(await self._socket.ping(data), "a pong with the data of the ping")
        self.note("-", f"pong {data!r}")

    # --- receiving ------------------------------------------------------------------------------------------------

    async def wait(
        self, test: Callable[[Frame], T | None], what: str, *, after: int = 0, seconds: float | None = None
    ) -> T:
        """The first thing that is not None and that ``test`` makes of a frame, from index ``after`` on.

        :param seconds: the longest silence; it begins anew with every frame, since a slow model is no failure.
        :raises CheckFailed: nothing such came in time, or the connection closed before. Or what ``test`` raises.
        """
        seen = after
        while True:
            self._news.clear()
            while seen < len(self.frames):
                frame = self.frames[seen]
                seen += 1
                if (found := test(frame)) is not None:
                    return found
            if self.closed is not None:
                raise CheckFailed(f"connection {self.name} was closed ({self._how_closed()}) before {what} came")
            await self.bounded(self._news.wait(), what, seconds)

    async def wait_closed(self, *, seconds: float | None = None) -> tuple[int, str]:
        """Wait for the peer to close the connection; the code and the reason."""

        async def find() -> tuple[int, str]:
            await asyncio.shield(self._reader)
            assert self.closed is not None
            return self.closed

        return await self.bounded(find(), "the end of the connection", seconds)

    async def bounded(self, awaitable: Awaitable[T], what: str, seconds: float | None = None) -> T:
        """It, within the time.

        :raises CheckFailed: it takes too long, or the connection closed.
        """
        bound = self.timeout if seconds is None else seconds
        try:
            return await asyncio.wait_for(awaitable, bound)
        except TimeoutError:
            raise CheckFailed(f"{what} did not come within {bound:g} s on connection {self.name}") from None
        except websockets.ConnectionClosed:
            raise CheckFailed(f"connection {self.name} was closed ({self._how_closed()}): {what}") from None

    def hold_reading(self) -> None:
        """Read no more; what the peer sends fills the buffers of the network and then waits with it."""
        self._reading.clear()
        self.note("-", "reads no more")

    def go_on_reading(self) -> None:
        if not self._reading.is_set():
            self._reading.set()
            self.note("-", "reads on")

    def note(self, direction: str, text: str) -> None:
        """Put something into the transcript."""
        self._transcript.add(self.name, direction, text)

    async def _read(self) -> None:
        try:
            while True:
                await self._reading.wait()
                data = await self._socket.recv()
                text = data if isinstance(data, str) else f"(binary) {data!r}"
                frame = Frame(len(self.frames), text, _decoded(data))
                self.frames.append(frame)
                self.note("<", text)
                self._on_frame(frame)
                self._news.set()
        except websockets.ConnectionClosed as closed:
            received = closed.rcvd
            self.closed = (received.code, received.reason) if received else (1006, "")
        finally:
            self._note_end((1006, "dropped by the suite"))

    def _note_end(self, how: tuple[int, str]) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.closed = self.closed or how
            self.note("-", f"closed ({self._how_closed()})")
            self._news.set()

    def _how_closed(self) -> str:
        if self.closed is None:
            return "no close frame yet"
        code, reason = self.closed
        return f"{code} {reason}".strip()

    # --- ending ---------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close it as WebSockets close."""
        self.go_on_reading()
        with suppress(TimeoutError, websockets.WebSocketException, OSError):
            await asyncio.wait_for(self._socket.close(), CLOSE_SECONDS)
        await self._stop()

    async def abort(self) -> None:
        """Drop the TCP connection, without a close handshake, as a broken network does."""
        self.note("-", "drops the TCP connection")
        self._socket.transport.abort()
        await self._stop()

    async def _stop(self) -> None:
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        self._note_end((1006, "dropped by the suite"))  # a task that was cancelled before it began has not


def count_pings(connection: type[Any]) -> type[Any]:
    """The class of connections, with an ``asyncio.Event`` ``pinged``, which is set when the peer has sent a ping."""

    class CountingPings(connection):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.pinged = asyncio.Event()

        def process_event(self, event: Any) -> None:
            if isinstance(event, WireFrame) and event.opcode is Opcode.PING:
                self.pinged.set()
            super().process_event(event)

    return CountingPings


def _decoded(data: str | bytes) -> Event:
    if isinstance(data, bytes):
        return {}
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
