"""A server that plays a script, on a loopback socket: the real protocol core, no model; and a network that breaks."""

from __future__ import annotations

import asyncio
import http
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import websockets
from caesura.client import Client
from caesura.client.handshake import open_websocket, responses_url
from caesura.client.link import Link
from caesura.client.reconnect import Backoff
from caesura.protocol.connection import AppendRequested, CreateRequested, EndRequested, ServerProtocol, ServerResponse
from caesura.protocol.errors import CaesuraError
from caesura.protocol.events import (
    FunctionCallArgumentsDelta,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ResponseCancelled,
    ResponseCompleted,
    ResponseCreated,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
)
from caesura.protocol.items import FunctionCall, FunctionCallOutput, OutputItem, OutputMessage, OutputText
from caesura.protocol.limits import DEFAULT_LIMITS, Limits
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.resource import Response, Usage
from websockets.asyncio.server import ServerConnection as ServerSocket
from websockets.asyncio.server import serve
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response as HttpResponse

BOUND = 10.0
"""Seconds after which a test that waits for something has failed."""

SENT, RECEIVED, HANDLED = "sent", "received", "handled"
"""Where a connection is cut: instead of sending a frame, instead of receiving one, or right after handling one."""


class FakeRollout:
    """One Response of the scripted server. A script calls these one after the other; what it emits without waiting
    for the client is sent in one go."""

    def __init__(self, server: FakeServer, machine: ServerResponse, request: ResponseCreate, number: int) -> None:
        self.server = server
        self.machine = machine
        self.request = request
        self.refusal: CaesuraError | None = None
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._id = f"resp_{number}"
        self._number = number
        self._output: list[OutputItem] = []
        self._calls: list[str] = []

    @property
    def socket(self) -> ServerSocket:
        """The one that it is attached to now."""
        (found,) = [each for each in self.server.connections if each.core is self.machine.connection]
        return found.socket

    def response(self, status: str, **fields: Any) -> Response:
        return Response(id=self._id, created_at=0.0, status=status, model="fake", output=self._output, **fields)

    async def emit(self, event: ResponseEvent) -> None:
        self.server.core.emit(self.machine, event, self.server.now())
        self.server.pump()

    async def created(self) -> None:
        await self.emit(ResponseCreated(response=self.response("in_progress")))

    async def say(self, text: str) -> None:
        index = len(self._output)
        item_id = f"msg_{index}"
        await self.emit(OutputItemAdded(output_index=index, item=OutputMessage(id=item_id, status="in_progress")))
        for at, word in enumerate(text.split(" ")):
            delta = f" {word}" if at else word
            await self.emit(OutputTextDelta(item_id=item_id, output_index=index, content_index=0, delta=delta))
        await self._item_done(OutputMessage(id=item_id, status="completed", content=[OutputText(text=text)]))

    async def call(self, name: str, arguments: str) -> str:
        """Sample a call; its call_id."""
        index = len(self._output)
        call = FunctionCall(id=f"fc_{index}", call_id=f"call_{self._number}_{index}", name=name, arguments="")
        await self.emit(OutputItemAdded(output_index=index, item=call))
        await self.emit(FunctionCallArgumentsDelta(item_id=call.id, output_index=index, delta=arguments))
        await self._item_done(FunctionCall(id=call.id, call_id=call.call_id, name=name, arguments=arguments))
        self._calls.append(call.call_id)
        return call.call_id

    async def _item_done(self, item: OutputItem) -> None:
        self._output.append(item)
        await self.emit(OutputItemDone(output_index=len(self._output) - 1, item=item))

    async def pause(self) -> list[FunctionCallOutput]:
        """Send ``response.done``, unless all calls since the last pause are answered; their outputs."""
        if self.machine.pending_calls or not self._calls:
            await self.emit(self.machine.pause())
        return await self.outputs()

    async def outputs(self) -> list[FunctionCallOutput]:
        """Wait until all calls since the last pause are answered."""
        while self.machine.pending_calls or self.machine.is_paused:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), BOUND)
        calls, self._calls = self._calls, []
        return [output for call_id in calls if (output := self.machine.answers[call_id].output) is not None]

    async def adding(self) -> None:
        """Play a whole Response: one pause with a call of ``add``, then the answer with its output in it."""
        await self.say("Let me add.")
        await self.call("add", '{"a":1,"b":2}')
        (output,) = await self.pause()
        await self.say(f"It is {output.output}.")
        await self.complete(caesura={"pauses": 1, "preinference_runs": 1, "postinference_runs": 1})

    async def complete(self, **fields: Any) -> None:
        usage = Usage(input_tokens=3, output_tokens=4, total_tokens=7)
        await self.emit(ResponseCompleted(response=self.response("completed", usage=usage, **fields)))

    async def cut(self, reason: str) -> None:
        details = {"reason": reason}
        await self.emit(ResponseIncomplete(response=self.response("incomplete", incomplete_details=details)))

    async def cancel(self, reason: str) -> None:
        details = {"reason": reason}
        await self.emit(ResponseCancelled(response=self.response("cancelled", incomplete_details=details)))

    async def fail(self, code: str, message: str) -> None:
        error = {"code": code, "message": message}
        await self.emit(ResponseFailed(response=self.response("failed", error=error)))


Script = Callable[[FakeRollout], Awaitable[None]]


class FakeConnection:
    """A socket, its end of the core, and a task that writes."""

    def __init__(self, server: FakeServer, socket: ServerSocket) -> None:
        self.server = server
        self.socket = socket
        self.core = server.core.connect(server.now(), credential="")
        self.has_frames = asyncio.Event()

    async def run(self) -> None:
        if self.server.greeting is not None:
            await self.socket.send(self.server.greeting)
        writer = asyncio.create_task(self._write())
        try:
            async for frame in self.socket:
                if self.server.is_cut(RECEIVED):
                    return self.socket.transport.abort()
                self.server.take(frame)
                self.core.receive(frame, self.server.now())
                self.server.serve_requests()
                if self.server.is_cut(HANDLED):
                    return self.socket.transport.abort()
                self.server.pump()
        except websockets.ConnectionClosed:
            pass
        finally:
            writer.cancel()
            self.core.lost(self.server.now())
            self.server.pump()

    async def _write(self) -> None:
        try:
            while True:
                while (frame := self.core.next_frame()) is not None:
                    if self.server.is_cut(SENT):
                        return self.socket.transport.abort()
                    await self.socket.send(frame)
                if self.core.closing is not None:
                    return await self.socket.close(self.core.closing.code, self.core.closing.reason)
                self.has_frames.clear()
                await self.has_frames.wait()
        except websockets.ConnectionClosed:
            pass


class FakeServer:
    """``connections`` are all that were ever made, ``frames`` all that were received.

    :ivar cuts: which frames break their connection: the numbers, from 0, by place (``SENT`` ...), over all connections.
    :ivar status: what handshakes are answered with instead of a WebSocket.
    :ivar greeting: a frame that every connection begins with.
    """

    def __init__(self, script: Script, rejection: CaesuraError | None, limits: Limits) -> None:
        self.url = ""
        self.core = ServerProtocol(limits)
        self.connections: list[FakeConnection] = []
        self.handshakes: list[HttpRequest] = []
        self.frames: list[str | bytes] = []
        self.rollouts: list[FakeRollout] = []
        self.cuts: Mapping[str, Iterable[int]] = {}
        self.counts = dict.fromkeys((SENT, RECEIVED, HANDLED), 0)
        self.status: int | None = None
        self.greeting: str | bytes | None = None
        self._script = script
        self._rejection = rejection
        self._later = 0.0
        self._has_received = asyncio.Event()

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self._later

    def advance(self, seconds: float) -> None:
        """Let time pass for the core."""
        self._later += seconds
        self.core.advance_time(self.now())
        self.pump()

    def take(self, frame: str | bytes) -> None:
        self.frames.append(frame)
        self._has_received.set()

    async def received(self, count: int) -> None:
        """Wait until so many frames have been received."""
        while len(self.frames) < count:
            self._has_received.clear()
            await asyncio.wait_for(self._has_received.wait(), BOUND)

    def is_cut(self, place: str) -> bool:
        number = self.counts[place]
        self.counts[place] += 1
        return number in self.cuts.get(place, ())

    def lose_connections(self) -> None:
        for connection in self.connections:
            connection.socket.transport.abort()

    def pump(self) -> None:
        """Serve what the core asks for, and let the writers write."""
        self.serve_requests()
        for connection in self.connections:
            connection.has_frames.set()

    def serve_requests(self) -> None:
        while (request := self.core.next_request()) is not None:
            self._serve(request)

    def _serve(self, request: CreateRequested | AppendRequested | EndRequested) -> None:
        match request:
            case CreateRequested() if self._rejection is not None:
                self.core.reject(request, self._rejection, self.now())
            case CreateRequested(response=machine, request=create):
                if (before := self.core.predecessor(request)) is not None:
                    self._end(self._rollout_of(before), "cancelled", "superseded")
                self.core.accept(request, self.now())
                rollout = FakeRollout(self, machine, create, len(self.rollouts))
                self.rollouts.append(rollout)
                rollout.task = asyncio.create_task(self._play(rollout))
            case AppendRequested(response=machine):
                rollout = self._rollout_of(machine)
                if rollout.refusal is not None:
                    self.core.reject(request, rollout.refusal, self.now())
                else:
                    self.core.accept(request, self.now())
                    rollout.changed.set()
            case EndRequested(response=machine):
                found = [each for each in self.rollouts if each.machine is machine]
                if found:
                    self._end(found[0], request.status, request.reason)
                elif not machine.has_ended:
                    details = {"reason": request.reason}
                    ended = Response(
                        id="never", created_at=0.0, status="cancelled", model="fake", incomplete_details=details
                    )
                    self.core.emit(machine, ResponseCancelled(response=ended), self.now())

    def _rollout_of(self, machine: ServerResponse) -> FakeRollout:
        return next(each for each in self.rollouts if each.machine is machine)

    def _end(self, rollout: FakeRollout, status: str, reason: str) -> None:
        if rollout.task is not None:
            rollout.task.cancel()
        if not rollout.machine.has_ended:
            event = {"cancelled": ResponseCancelled, "incomplete": ResponseIncomplete}[status]
            response = rollout.response(status, incomplete_details={"reason": reason})
            self.core.emit(rollout.machine, event(response=response), self.now())

    async def _play(self, rollout: FakeRollout) -> None:
        try:
            await rollout.created()
            await self._script(rollout)
        except Exception as error:
            if not rollout.machine.has_ended:  # else the client waits, and the test takes its time to fail
                await rollout.fail("broken_script", repr(error))
            raise

    async def handle(self, socket: ServerSocket) -> None:
        connection = FakeConnection(self, socket)
        self.connections.append(connection)
        await connection.run()

    def shake_hands(self, socket: ServerSocket, request: HttpRequest) -> HttpResponse | None:
        self.handshakes.append(request)
        if self.status is None:
            return None
        return socket.respond(http.HTTPStatus(self.status), "no")


@asynccontextmanager
async def _fake_server(
    script: Script, *, rejection: CaesuraError | None = None, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[FakeServer]:
    """A script that raised makes leaving the server raise it too."""
    server = FakeServer(script, rejection, limits)
    async with serve(server.handle, "127.0.0.1", 0, process_request=server.shake_hands) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}"
        yield server
    for rollout in server.rollouts:
        assert rollout.task is not None
        if not rollout.task.done():
            rollout.task.cancel()
        elif not rollout.task.cancelled():
            rollout.task.result()


@pytest.fixture
def fake_server() -> Callable[..., Any]:
    """``async with fake_server(script) as server``."""
    return _fake_server


class Waits:
    """A client's waits before it connects again: ``seconds`` of each, none of which passes.

    They last until ``gate`` is set, as it is from the start. ``begun`` is set by the first one. ``clock`` is what the
    client takes for the time.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.time = 0.0

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.begun.set()
        await asyncio.wait_for(self.gate.wait(), BOUND)

    def clock(self) -> float:
        return self.time


@asynccontextmanager
async def _hasty_client(url: str, waits: Waits | None = None, **backoff: Any) -> AsyncIterator[Client]:
    waits = Waits() if waits is None else waits
    open_socket = partial(open_websocket, responses_url(url), {}, BOUND)
    link = Link(open_socket, Backoff(**backoff), sleep=waits.sleep, clock=waits.clock)
    await link.open()
    try:
        yield Client(link)
    finally:
        await link.close()


@pytest.fixture
def hasty_client() -> Callable[..., Any]:
    """``connect``, with a client that does not wait before it connects again: ``async with hasty_client(url)``."""
    return _hasty_client


@pytest.fixture
def waits() -> Waits:
    """To be given to a hasty client, and looked at."""
    return Waits()
