"""Calling an ASGI application without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = 10
HOST = {"host": "127.0.0.1:8080"}


@dataclass
class Answer:
    """What a client sees. ``status`` is 101 for a WebSocket that was accepted."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def error(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/json"
        error: dict[str, Any] = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


class App:
    """It reads the whole body and answers 200, or accepts the handshake; with ``hold`` only when that is set."""

    def __init__(self) -> None:
        self.calls = 0
        self.body = b""
        self.news = asyncio.Event()
        self.hold: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        self.news.set()
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await self._read(receive)
        if self.hold is not None:
            await self.hold.wait()
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

    async def _read(self, receive: Receive) -> None:
        while True:
            message = await receive()
            self.body += message["body"]
            if not message["more_body"]:
                return


def http_scope(method: str, path: str, headers: dict[str, str]) -> Scope:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}


async def call(app: ASGIApp, scope: Scope, chunks: Iterable[bytes] = ()) -> Answer:
    answer = Answer()
    parts = list(chunks) or [b""]

    async def receive() -> Message:
        body = parts.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        kind = message["type"].removeprefix("websocket.")
        if kind == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif kind == "http.response.body":
            answer.body += message["body"]
        else:
            assert kind == "accept"
            answer.status = 101

    async with asyncio.timeout(SECONDS):
        await app(scope, receive, send)
    return answer


def request(
    app: ASGIApp,
    method: str = "GET",
    path: str = "/v1/models",
    *,
    headers: dict[str, str] | None = None,
    chunks: Iterable[bytes] = (),
) -> Answer:
    return asyncio.run(call(app, http_scope(method, path, HOST | (headers or {})), chunks))


def handshake(app: ASGIApp, *, headers: dict[str, str] | None = None) -> Answer:
    scope = http_scope("GET", "/v1/responses", HOST | (headers or {})) | {"type": "websocket"}
    return asyncio.run(call(app, scope))


async def until(app: App, calls: int) -> None:
    async with asyncio.timeout(SECONDS):
        while app.calls < calls:
            app.news.clear()
            await app.news.wait()
