"""A bare client of the Responses API: what goes over the wire, and nothing that helps a server out."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from compliance_checks import TERMINAL
from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]

SECONDS = 30
"""Bound on every wait."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: Json


@dataclass(frozen=True)
class Turn:
    """What came back for one create over a WebSocket: ``error`` is the last event if that was one."""

    events: list[Json]
    error: Json | None


class Socket:
    def __init__(self, connection: ClientConnection, model: str) -> None:
        self._connection = connection
        self._model = model

    def create(self, **fields: Any) -> Turn:
        """Send ``response.create`` and read up to the Response's end, or an error."""
        self._connection.send(json.dumps({"type": "response.create", "model": self._model, **fields}))
        events: list[Json] = []
        while not events or events[-1]["type"] not in (*TERMINAL, "error"):
            events.append(json.loads(self._connection.recv(SECONDS)))
        return Turn(events, events[-1] if events[-1]["type"] == "error" else None)


class Api:
    def __init__(self, url: str, model: str) -> None:
        self.model = model
        self._parts = urlsplit(url)

    def request(self, method: str, path: str, body: Json | None = None) -> Answer:
        connection = http.client.HTTPConnection(self._parts.netloc, timeout=SECONDS)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            data = None if body is None else json.dumps(body)
            connection.request(method, f"{self._parts.path}{path}", data, headers)
            answer = connection.getresponse()
            assert answer.headers["content-type"].split(";")[0] == "application/json"
            return Answer(answer.status, json.load(answer))
        finally:
            connection.close()

    def create(self, **fields: Any) -> Answer:
        return self.request("POST", "/responses", {"model": self.model, **fields})

    def stream(self, **fields: Any) -> list[Json]:
        """The events of a streamed create. Every chunk of the body must hold whole events: some clients, the suite's
        among them, forget what they have of an event when a chunk ends."""
        body = json.dumps({"model": self.model, "stream": True, **fields}).encode()
        head = (
            f"POST {self._parts.path}/responses HTTP/1.1\r\nHost: {self._parts.netloc}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        address = (self._parts.hostname or "", self._parts.port or 80)
        with socket.create_connection(address, SECONDS) as connection, connection.makefile("rb") as answer:
            connection.sendall(head.encode() + body)
            assert answer.readline().split()[1] == b"200"
            headers = {}
            while (line := answer.readline().strip()) != b"":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            assert headers["content-type"].split(";")[0] == "text/event-stream"
            assert headers["transfer-encoding"] == "chunked"
            blocks: list[str] = []
            while (size := int(answer.readline(), 16)) > 0:
                chunk = answer.read(size).decode()
                assert chunk.endswith("\n\n")
                blocks += chunk.removesuffix("\n\n").split("\n\n")
                answer.readline()
        assert blocks.pop() == "data: [DONE]"
        return [_event(block) for block in blocks]

    @contextmanager
    def websocket(self) -> Iterator[Socket]:
        with connect(f"ws://{self._parts.netloc}{self._parts.path}/responses", max_size=None) as connection:
            yield Socket(connection, self.model)


def _event(block: str) -> Json:
    name, data = block.split("\n")
    event: Json = json.loads(data.removeprefix("data: "))
    assert name == f"event: {event['type']}"
    return event


@pytest.fixture(scope="session")
def api(served: Any) -> Api:
    return Api(served.url, served.model)
