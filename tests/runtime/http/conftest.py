"""HTTP without sockets: calls of the ASGI application, on the real engine and the demo model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.limits import DEFAULT_LIMITS, Limits
from caesura.runtime.app import create_app
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.sqlite_store import SqliteStore
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model
from caesura.sampler.replay import ReplayScript
from starlette.types import ASGIApp, Message

SECONDS = 20
"""Bound on every wait."""

Json = dict[str, Any]


class Call:
    """One request to an ASGI application."""

    def __init__(self, app: ASGIApp, method: str, target: str, body: bytes, headers: dict[str, str]) -> None:
        path, _, query = target.partition("?")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        self._body: list[bytes] = [body]
        self._is_gone = asyncio.Event()
        self._is_reading = asyncio.Event()
        self._is_reading.set()
        self._news = asyncio.Event()
        self.messages: list[Message] = []
        self.task = asyncio.create_task(self._run(app))

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self._receive, self._send)
        finally:
            self._news.set()

    async def _receive(self) -> Message:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self._is_gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._is_reading.wait()
        self.messages.append(message)
        self._news.set()

    def leave(self) -> None:
        """The client closes its connection."""
        self._is_gone.set()

    def stall(self) -> None:
        """The client reads nothing any more."""
        self._is_reading.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                assert not self.task.done(), self.messages
                self._news.clear()
                await self._news.wait()

    async def ended(self) -> Call:
        """The application has returned."""
        async with asyncio.timeout(SECONDS):
            await asyncio.wait([self.task])
        self.task.result()
        return self

    @property
    def is_answered(self) -> bool:
        """All of an answer has come."""
        return bool(self.chunks) and not self.messages[-1].get("more_body", False)

    @property
    def is_done(self) -> bool:
        """A stream has come to its end."""
        return self.chunks[-1] == b"data: [DONE]\n\n"

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def chunks(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:]]

    @property
    def json(self) -> Json:
        body: Json = json.loads(b"".join(self.chunks))
        return body

    @property
    def events(self) -> list[Json]:
        """The events that have come, without the comments."""
        chunks = [chunk.decode() for chunk in self.chunks if chunk]
        return [_event(chunk) for chunk in chunks if not chunk.startswith(":") and chunk != "data: [DONE]\n\n"]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def error(self) -> Json:
        assert self.headers["content-type"] == "application/json"
        assert set(self.json) == {"error"}
        error: Json = self.json["error"]
        assert {"type", "code", "message", "param"} <= set(error)
        return error


def _event(chunk: str) -> Json:
    name, data = chunk.removesuffix("\n\n").split("\n")
    event: Json = json.loads(data.removeprefix("data: "))
    assert name == f"event: {event['type']}"
    return event


class Server:
    """A server without a socket."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self.service = service
        self.rollouts = Rollouts(service, limits)
        self.app = create_app(service, self.rollouts)
        self.key = "me"

    def call(self, method: str, target: str, body: Any = None, **headers: str) -> Call:
        """Begin a request; as ``key``, which may be changed."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return Call(self.app, method, target, raw, {"authorization": f"Bearer {self.key}", **headers})

    async def request(self, method: str, target: str, body: Any = None, **headers: str) -> Call:
        """The same, answered."""
        return await self.call(method, target, body, **headers).ended()

    def begin(self, **fields: Any) -> Call:
        """Begin to create a Response."""
        return self.call("POST", "/v1/responses", {"model": "test", "input": "hi", **fields})

    async def create(self, **fields: Any) -> Call:
        """The same, answered."""
        return await self.begin(**fields).ended()

    async def get(self, target: str) -> Call:
        return await self.request("GET", target)

    async def until_something_runs(self) -> str:
        """A Response has begun; its id."""
        async with asyncio.timeout(SECONDS):
            while not self.rollouts._core._responses:  # noqa: ASYNC110  (nothing signals it to anybody)
                await asyncio.sleep(0)
        return next(iter(self.rollouts._core._responses))

    async def until_nothing_runs(self) -> None:
        """Every rollout has ended."""
        async with asyncio.timeout(SECONDS):
            while self.rollouts._running:
                await asyncio.wait([running.task for running in self.rollouts._running.values()])

    async def all_sequences_are_free(self) -> None:
        engine = self.service.engine
        async with asyncio.timeout(SECONDS):
            opened = [await engine.open([1]) for _ in range(engine.max_sequences)]
            for sequence in opened:
                await sequence.close()


Scenario = Callable[[Server], Awaitable[None]]
Serve = Callable[..., None]


@pytest.fixture
def serve(model: Model, script: Callable[[Sequence[Json]], ReplayScript], tmp_path: Path) -> Serve:
    """``serve(scenario, turns)`` runs an async scenario against a server that says these turns; afterwards every
    sequence must be free. ``stores=False`` for a server without a store."""

    def run(
        scenario: Scenario,
        turns: Sequence[Json] | None = None,
        *,
        ctx: int = 2048,
        stores: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        replay = None if turns is None else script(turns)

        async def main() -> None:
            engine = LlamaEngine(model, context_length=ctx, sequences=2, max_sequences=8)
            store = SqliteStore(tmp_path / "responses.db") if stores else None
            service = Service(model, engine, frozenset({"test", "other"}), replay, store=store)
            try:
                server = Server(service, limits)
                await scenario(server)
                assert not server.rollouts._wakers  # every connection is given up
                await server.rollouts.close()
                await server.all_sequences_are_free()
            finally:
                await engine.close()
                if store is not None:
                    await store.close()

        asyncio.run(main())

    return run
