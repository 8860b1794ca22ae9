"""One WebSocket and the protocol core on it: frames are moved, events find their Response, lanes are handed out."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import msgspec
import websockets
from websockets.asyncio.client import ClientConnection as WebSocket

from ..protocol.connection import ClientConnection, Received
from ..protocol.errors import RemoteProtocolViolation
from ..protocol.items import FunctionCallOutput
from ..protocol.lanes import MAX_NAMED_LANES
from ..protocol.messages import ErrorEvent, ResponseCreate
from ..protocol.response import ResponseMachine


@dataclass(frozen=True)
class Closed:
    """The last thing that an inbox gives: the connection is gone, and why."""

    reason: str


Inbox = asyncio.Queue[Received | Closed]


class Link:
    """Owns the socket from ``start`` to ``close``; one task reads, every Response has an inbox."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._core = ClientConnection()
        self._inboxes: dict[int, Inbox] = {}
        self._closed: Closed | None = None
        self._last_error: ErrorEvent | None = None
        self._lanes = _LanePool()
        self._reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._reader = asyncio.create_task(self._read(), name="caesura client reader")

    async def close(self) -> None:
        """Close the socket; every inbox gets ``Closed``."""
        await self._socket.close()
        if self._reader is not None:
            await self._reader

    @asynccontextmanager
    async def begin(self, request: ResponseCreate) -> AsyncIterator[Exchange]:
        """Send a create on a lane where nothing else runs (waits for one if all are taken).

        If the block is left before the Response has ended, what still comes for it is dropped. There is no message
        that cancels it: the server samples to the next pause or the end, and lets a paused one go when
        the lane is used again or the connection closes. Such a lane is therefore the last to be used.
        """
        lane = await self._lanes.take()
        response: ResponseMachine | None = None
        try:
            inbox: Inbox = asyncio.Queue()
            if self._closed is not None:
                inbox.put_nowait(self._closed)
            response = self._core.create(msgspec.structs.replace(request, stream_id=_LanePool.stream_id(lane)))
            self._inboxes[id(response)] = inbox
            exchange = Exchange(self, response, inbox, time.perf_counter())
            await self.flush()
            yield exchange
        finally:
            if response is not None:
                del self._inboxes[id(response)]
            self._lanes.give_back(lane, clean=response is None or response.has_ended)

    def queue_append(self, response: ResponseMachine, outputs: Sequence[FunctionCallOutput]) -> None:
        self._core.append(response, outputs)

    async def flush(self) -> None:
        """Send what the core has queued. A closed socket is no error here: the inboxes tell of it."""
        with suppress(websockets.ConnectionClosed):
            for frame in self._core.data_to_send():
                await self._socket.send(frame)

    async def _read(self) -> None:
        reason = "the server closed the connection"
        try:
            async for frame in self._socket:
                for received in self._core.receive(frame, time.time()):
                    self._deliver(received)
        except RemoteProtocolViolation as error:
            reason = f"the server broke the protocol: {error}"
            await self._socket.close(websockets.CloseCode.PROTOCOL_ERROR)
        except websockets.ConnectionClosed as error:
            reason = f"the connection broke: {error}"
        finally:
            if self._last_error is not None:
                reason += f" (its last error: {self._last_error.error.code}: {self._last_error.error.message})"
            self._core.close()
            self._closed = Closed(reason)
            for inbox in self._inboxes.values():
                inbox.put_nowait(self._closed)

    def _deliver(self, received: Received) -> None:
        inbox = self._inboxes.get(id(received.response))
        if inbox is not None:
            inbox.put_nowait(received)
        elif isinstance(received.event, ErrorEvent):
            self._last_error = received.event


class Exchange:
    """One Response on a link; its create was sent at ``started_at`` (``time.perf_counter``)."""

    def __init__(self, link: Link, response: ResponseMachine, inbox: Inbox, started_at: float) -> None:
        self._link = link
        self.response = response
        self.started_at = started_at
        self._inbox = inbox

    async def receive(self) -> Received | Closed:
        """The next event of this Response, or an ``error`` that concerns it; ``Closed`` is the last."""
        return await self._inbox.get()

    async def append(self, outputs: Sequence[FunctionCallOutput]) -> None:
        """Send a ``response.append``. Raises what ``ClientConnection.append`` does."""
        self._link.queue_append(self.response, outputs)
        await self._link.flush()


class _LanePool:
    """Lanes by number: 0 is the default lane, which every server of this protocol has, so it is used first."""

    def __init__(self) -> None:
        self._free: asyncio.PriorityQueue[tuple[int, int]] = asyncio.PriorityQueue()
        self._abandoned = itertools.count(1)
        for lane in range(MAX_NAMED_LANES + 1):
            self.give_back(lane, clean=True)

    @staticmethod
    def stream_id(lane: int) -> str | None:
        return f"lane-{lane}" if lane else None

    async def take(self) -> int:
        return (await self._free.get())[1]

    def give_back(self, lane: int, *, clean: bool) -> None:
        self._free.put_nowait((0 if clean else next(self._abandoned), lane))
