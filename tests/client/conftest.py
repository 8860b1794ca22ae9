"""A server that plays a script, on a loopback socket: the real protocol core, no model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from caesura.protocol.connection import AppendRequested, CreateRequested, ServerConnection
from caesura.protocol.errors import CaesuraError
from caesura.protocol.items import FunctionCall, FunctionCallOutput, OutputItem, OutputMessage, OutputText
from caesura.protocol.messages import (
    DoneResponse,
    FunctionCallArgumentsDelta,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    Response,
    ResponseCompleted,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
    Usage,
)
from caesura.protocol.response import ResponseMachine
from websockets.asyncio.server import ServerConnection as ServerSocket
from websockets.asyncio.server import serve

BOUND = 10.0
"""Seconds after which a test that waits for something has failed."""


class FakeRollout:
    """One Response of the scripted server. A script calls these one after the other."""

    def __init__(self, connection: FakeConnection, machine: ResponseMachine, request: ResponseCreate) -> None:
        self.connection = connection
        self.machine = machine
        self.request = request
        self.refusal: CaesuraError | None = None
        self.appended: asyncio.Queue[list[FunctionCallOutput]] = asyncio.Queue()
        self._number = len(connection.rollouts)
        self._output: list[OutputItem] = []

    def response(self, status: str, **fields: Any) -> Response:
        return Response(
            id=f"resp_{self._number}", created_at=0.0, status=status, model="fake", output=self._output, **fields
        )

    async def emit(self, event: ResponseEvent) -> None:
        self.connection.core.emit(self.machine, event)
        await self.connection.flush()

    async def created(self) -> None:
        await self.emit(ResponseCreated(response=self.response("in_progress")))

    async def say(self, text: str) -> None:
        index = len(self._output)
        item_id = f"msg_{index}"
        await self.emit(OutputItemAdded(output_index=index, item=OutputMessage(id=item_id, status="in_progress")))
        for word in text.split(" "):
            delta = word if text.startswith(word) else f" {word}"
            await self.emit(OutputTextDelta(item_id=item_id, output_index=index, content_index=0, delta=delta))
        await self._item_done(OutputMessage(id=item_id, status="completed", content=[OutputText(text=text)]))

    async def call(self, name: str, arguments: str) -> str:
        """Sample a call; its call_id."""
        index = len(self._output)
        call = FunctionCall(id=f"fc_{index}", call_id=f"call_{self._number}_{index}", name=name, arguments="")
        await self.emit(OutputItemAdded(output_index=index, item=call))
        await self.emit(FunctionCallArgumentsDelta(item_id=call.id, output_index=index, delta=arguments))
        await self._item_done(FunctionCall(id=call.id, call_id=call.call_id, name=name, arguments=arguments))
        return call.call_id

    async def _item_done(self, item: OutputItem) -> None:
        self._output.append(item)
        await self.emit(OutputItemDone(output_index=len(self._output) - 1, item=item))

    async def pause(self) -> list[FunctionCallOutput]:
        """Send ``response.done``; what the client appends."""
        await self.emit(ResponseDone(response=DoneResponse(id=f"resp_{self._number}")))
        return await asyncio.wait_for(self.appended.get(), BOUND)

    async def complete(self, **fields: Any) -> None:
        usage = Usage(input_tokens=3, output_tokens=4, total_tokens=7)
        await self.emit(ResponseCompleted(response=self.response("completed", usage=usage, **fields)))

    async def cut(self, reason: str) -> None:
        details = {"reason": reason}
        await self.emit(ResponseIncomplete(response=self.response("incomplete", incomplete_details=details)))

    async def fail(self, code: str, message: str) -> None:
        error = {"code": code, "message": message}
        await self.emit(ResponseFailed(response=self.response("failed", error=error)))


Script = Callable[[FakeRollout], Awaitable[None]]


class FakeConnection:
    def __init__(self, socket: ServerSocket, script: Script, rejection: CaesuraError | None) -> None:
        self.socket = socket
        self.script = script
        self.rejection = rejection
        self.core = ServerConnection()
        self.rollouts: list[FakeRollout] = []
        self.frames: list[str | bytes] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def flush(self) -> None:
        for frame in self.core.data_to_send():
            await self.socket.send(frame)

    async def run(self) -> None:
        async for frame in self.socket:
            self.frames.append(frame)
            self.core.receive(frame, time.time())
            while (request := self.core.next_request()) is not None:
                self._answer(request)
            await self.flush()

    def _answer(self, request: object) -> None:
        match request:
            case CreateRequested() if self.rejection is not None:
                self.core.reject(request, self.rejection)
            case CreateRequested(response=machine, request=create):
                self.core.accept(request)
                rollout = FakeRollout(self, machine, create)
                self.rollouts.append(rollout)
                self.tasks.append(asyncio.create_task(self._play(rollout)))
            case AppendRequested(response=machine, items=items):
                rollout = next(each for each in self.rollouts if each.machine is machine)
                if rollout.refusal is not None:
                    self.core.reject(request, rollout.refusal)
                else:
                    self.core.accept(request)
                    rollout.appended.put_nowait([each for each in items if isinstance(each, FunctionCallOutput)])

    async def _play(self, rollout: FakeRollout) -> None:
        await rollout.created()
        await self.script(rollout)


class FakeServer:
    """``connections`` are all that were ever made; a script that raised makes leaving the server raise it too."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connections: list[FakeConnection] = []
        self.requests: list[Any] = []

    @property
    def rollouts(self) -> Sequence[FakeRollout]:
        return [rollout for connection in self.connections for rollout in connection.rollouts]


@asynccontextmanager
async def _fake_server(script: Script, *, rejection: CaesuraError | None = None) -> AsyncIterator[FakeServer]:
    async def handle(socket: ServerSocket) -> None:
        server.requests.append(socket.request)
        connection = FakeConnection(socket, script, rejection)
        server.connections.append(connection)
        await connection.run()

    async with serve(handle, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        server = FakeServer(f"ws://127.0.0.1:{port}")
        yield server
    for connection in server.connections:
        for task in connection.tasks:
            if not task.done():
                task.cancel()
            elif (error := task.exception()) and not isinstance(error, websockets.ConnectionClosed):
                raise error


@pytest.fixture
def fake_server() -> Callable[..., Any]:
    """``async with fake_server(script) as server``."""
    return _fake_server
