"""A real uvicorn with the access layer before a small application, and a client of raw bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import ClassVar

import uvicorn
from caesura.protocol.limits import DEFAULT_LIMITS
from caesura.runtime.access.api_keys import ApiKeys
from caesura.runtime.access.guard import Access, Bounds, guarded
from caesura.runtime.access.transport import HEADER_SLACK_BYTES, HttpProtocol, WebSocketProtocol
from caesura.runtime.http_errors import exception_handlers, not_found
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

SECONDS = 20
KEY = "sk-0123456789abcdef"
MAX_BODY = 1 << 20
MAX_HEADERS = 4 << 10
ACCESS = Access(keys=ApiKeys([KEY]), bounds=Bounds(MAX_BODY, MAX_HEADERS))

WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")


async def length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def mirror(request: Request) -> Response:
    return JSONResponse([(await request.body()).decode(), dict(request.headers)])


async def hold(request: Request) -> Response:
    """Until the client is gone, or it is to be answered."""
    app = request.app
    released = asyncio.create_task(app.state.release.wait())
    gone = asyncio.create_task(_until_gone(request))
    await asyncio.wait((released, gone), return_when=asyncio.FIRST_COMPLETED)
    if gone.done():
        app.state.gone.set()
    released.cancel()
    gone.cancel()
    return PlainTextResponse("")


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()


class Noted(HttpProtocol):
    """Says what it reads. ``timers`` has, for each read, the one for headers that there was before and after it."""

    last: ClassVar[HttpProtocol]
    sizes: ClassVar[asyncio.Queue[int]]
    timers: ClassVar[list[tuple[asyncio.TimerHandle | None, asyncio.TimerHandle | None]]]

    def data_received(self, data: bytes) -> None:
        before = self._header_timer
        super().data_received(data)
        Noted.last = self
        Noted.timers.append((before, self._header_timer))
        Noted.sizes.put_nowait(len(data))


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {KEY}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """And wait until :class:`Noted` has read it."""
    Noted.sizes = asyncio.Queue()
    writer.write(data)
    unread = len(data)
    while unread:
        unread -= await Noted.sizes.get()


async def answers_of(reader: asyncio.StreamReader) -> list[tuple[int, bytes]]:
    """Status and body of all that come until the connection ends."""
    stream = await reader.read()
    answers = []
    while stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        match = re.search(rb"\r\ncontent-length: (\d+)", head)
        assert match is not None
        length = int(match[1])
        answers.append((int(head.split()[1]), stream[:length]))
        stream = stream[length:]
    return answers


@dataclass(frozen=True)
class Client:
    """``gone`` is set when the client of ``/hold`` is, ``release`` lets it be answered."""

    port: int
    gone: asyncio.Event
    release: asyncio.Event

    async def conversation(self, *pieces: bytes) -> list[tuple[int, bytes]]:
        """Send these, each when the one before is read, and read all answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces[:-1]:
            await send(writer, piece)
        writer.write(pieces[-1])
        answers = await answers_of(reader)
        writer.close()
        return answers

    async def raw(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send this, and read one answer, or none (status 0), to its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            return int(status.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
        except asyncio.IncompleteReadError as error:
            return 0, {}, error.partial
        finally:
            writer.close()

    async def request(
        self, method: str, path: str, *headers: str, body: bytes = b"", key: str = KEY
    ) -> tuple[int, dict[str, str], bytes]:
        return await self.raw(request(method, path, *headers, body=body).replace(KEY.encode(), key.encode()))

    async def handshake(self, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        return await self.request(
            method, "/v1/responses", *WEBSOCKET, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *headers
        )


Scenario = Callable[[Client], Awaitable[None]]


@asynccontextmanager
async def serving(access: Access, http: type[HttpProtocol] = Noted) -> AsyncIterator[Client]:
    app = Starlette(
        routes=[
            Route("/v1/responses", length, methods=["POST"]),
            Route("/mirror", mirror, methods=["POST"]),
            Route("/hold", hold),
            WebSocketRoute("/v1/responses", echo),
        ],
        exception_handlers=exception_handlers,
    )
    app.router.default = not_found
    app.state.gone = asyncio.Event()
    app.state.release = asyncio.Event()
    Noted.sizes = asyncio.Queue()
    Noted.timers = []
    config = uvicorn.Config(
        guarded(app, access),
        port=0,
        http=http,
        ws=WebSocketProtocol,
        h11_max_incomplete_event_size=access.bounds.max_header_bytes + HEADER_SLACK_BYTES,
        ws_max_size=DEFAULT_LIMITS.max_message_bytes,
        lifespan="off",
        log_config=None,
        log_level="warning",
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield Client(server.servers[0].sockets[0].getsockname()[1], app.state.gone, app.state.release)
    finally:
        server.force_exit = True
        await server.shutdown()


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def play(scenario: Scenario, access: Access = ACCESS, http: type[HttpProtocol] = Noted) -> None:
    """Run a scenario against a server. Nothing that a client does is an error in its log."""

    async def main() -> None:
        async with asyncio.timeout(SECONDS), serving(access, http) as client:
            await scenario(client)

    log = _Log()
    logging.getLogger().addHandler(log)
    try:
        asyncio.run(main())
    finally:
        logging.getLogger().removeHandler(log)
    assert [message for message in log.messages if "without completing handshake" not in message] == []


def error_of(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    status, headers, body = answer
    assert headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return status, error["code"]
