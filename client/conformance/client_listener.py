"""The suite as a server: where the client under test connects to, and is turned away if a check says so."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from .peer import CLOSE_SECONDS
from .server_peer import APPEND_MODE, HEADER, MAX_FRAME_BYTES
from .transcript import Transcript


class Listener:
    """Listens on a port of its own of this machine.

    ``connections`` are those that were opened and nobody has taken yet; ``attempts`` the times of all handshakes, those
    that were turned away too; ``attempted`` is set at each.
    """

    def __init__(self, transcript: Transcript) -> None:
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.attempts: list[float] = []
        self.attempted = asyncio.Event()
        self._num_to_turn_away = 0.0
        self.lacks_append_mode = False
        self._transcript = transcript
        self._server: Server | None = None

    async def open(self) -> str:
        """Listen; the URL."""
        self._server = await serve(
            self._carry,
            "127.0.0.1",
            0,
            process_request=self._handshake,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        )
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1/responses"

    def turn_away(self, times: float) -> None:
        """So many handshakes fail from now on: with HTTP status 503 or, in turn, by breaking the TCP connection."""
        self._num_to_turn_away = times

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _carry(self, connection: ServerConnection) -> None:
        self.connections.put_nowait(connection)
        await connection.wait_closed()  # websockets closes it when this returns

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        self.attempts.append(time.monotonic())
        self.attempted.set()
        if self._num_to_turn_away > 0:
            self._num_to_turn_away -= 1
            if len(self.attempts) % 2:
                self._note("breaks a TCP connection in its handshake")
                connection.transport.abort()
            else:
                self._note("answers a handshake with HTTP status 503")
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Not now.\n")
        if not _asks_for_append_mode(request):
            self.lacks_append_mode = True
            self._note("answers a handshake that does not ask for append mode with HTTP status 426")
            body = {"error": {"type": "invalid_request_error", "code": "append_mode_required", "param": None}}
            return connection.respond(HTTPStatus.UPGRADE_REQUIRED, json.dumps(body))
        return None

    def _note(self, text: str) -> None:
        self._transcript.add(" ", "-", text)


def _asks_for_append_mode(request: Request) -> bool:
    asked = [value.strip() for each in request.headers.get_all(HEADER) for value in each.split(",")]
    name, _, value = APPEND_MODE.partition("=")
    return APPEND_MODE in asked or value in parse_qs(urlsplit(request.path).query).get(name, [])


class TextFrames:
    """A connection that tells of binary frames and hands them on as if they were text: what else the client does
    can be judged all the same."""

    def __init__(self, connection: Connection, on_binary: Callable[[], None]) -> None:
        self._connection = connection
        self._on_binary = on_binary

    async def recv(self) -> str:
        data = await self._connection.recv()
        if isinstance(data, str):
            return data
        self._on_binary()
        return data.decode(errors="replace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
