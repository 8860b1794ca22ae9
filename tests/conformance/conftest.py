"""A small raw server that does what a test says: none of the project's own protocol code."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

Handler = Callable[["RawServer"], Awaitable[None]]
Serving = Callable[[Handler], AbstractAsyncContextManager[str]]


class RawServer:
    """The server's end of a connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.num_errors = 0

    async def send(self, *events: dict[str, Any]) -> None:
        for event in events:
            await self.socket.send(json.dumps(event))

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.socket.recv())
        return message

    async def refuse(self, code: str, **fields: Any) -> None:
        body = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None}
        await self.send({"type": "error", "status": 400, "sequence_number": self.num_errors, "error": body, **fields})
        self.num_errors += 1

    async def refuse_all(self) -> None:
        """Every message, as if its type were unknown, until the connection closes."""
        while True:
            await self.receive()
            await self.refuse("unknown_message_type")


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The address of a server whose connections the handler carries."""

    async def handle(socket: ServerConnection) -> None:
        await handler(RawServer(socket))

    async with serve(handle, "127.0.0.1", 0, close_timeout=0.1) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        yield f"ws://{host}:{port}/v1/responses"


@pytest.fixture(name="serving")
def _serving() -> Serving:
    return serving
