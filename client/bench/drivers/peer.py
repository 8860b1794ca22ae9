"""An outside server to compare with: what it speaks, and under which name it has its model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from ..driver import BenchError
from ..records import DesignInfo
from .address import Address, address_of
from .events import reason_of
from .http import HttpConnection
from .link import TIMEOUT
from .requests import encode

PeerKind = Literal["responses", "chat", "websocket"]

_FORCED: dict[str, PeerKind] = {"responses+": "responses", "chat+": "chat"}
_SPOKEN = {
    "responses": "Responses API, full history",
    "chat": "chat completions, full history",
    "websocket": "Responses API over WebSocket, previous_response_id",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """``fields`` are merged into each of its requests, last."""

    name: str
    kind: PeerKind
    address: Address
    model: str
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def info(self) -> DesignInfo:
        return DesignInfo(self.name, f"{self.name} ({_SPOKEN[self.kind]})", "peer", self.address.http_url)


def parse_peer(argument: str) -> tuple[str, str]:
    """Name and URL from ``NAME=URL``.

    :raises BenchError: it is not of that form.
    """
    name, _, url = argument.partition("=")
    if not name or not url:
        raise BenchError(f"a peer is given as NAME=URL, not {argument!r}")
    return name, url


async def detect_peer(name: str, url: str) -> Peer:
    """Ask a server what it speaks: a tiny request for a Response, then one for a chat completion.

    :param url: http(s)://HOST:PORT[/v1]; ``responses+`` or ``chat+`` before it says what to speak, and nothing is asked
        but the model's name; ws(s)://HOST:PORT/v1/responses for OpenAI's WebSocket mode. After ``#``, a JSON object:
        the peer's ``fields``; null takes a field out that it refuses.
    :raises BenchError: nobody is there, or neither request is answered; with what was said instead.
    """
    url, _, fragment = url.partition("#")
    fields = _fields(name, fragment)
    forced: PeerKind | None = None
    for prefix, kind in _FORCED.items():
        if url.startswith(prefix):
            forced, url = kind, url.removeprefix(prefix)
    address = address_of(url)
    if url.startswith("ws"):
        forced = "websocket"
    http = HttpConnection(address)
    try:
        async with asyncio.timeout(TIMEOUT):
            model = await _model(http)
            return Peer(name, forced or await _kind(http, name, model), address, model, fields)
    except TimeoutError:
        raise BenchError(f"{name} did not answer in {TIMEOUT:g} s") from None
    finally:
        await http.close()


def _fields(name: str, fragment: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(fragment or "{}", type=dict[str, object])
    except msgspec.DecodeError as error:
        raise BenchError(f"the fields for {name}'s requests, {fragment!r}, are no JSON object: {error}") from None


class _Answer:
    """Waits for an answer that is JSON."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self._error: BenchError | None = None
        self._over = asyncio.Event()

    def event(self, data: bytes) -> None:
        pass

    def answered(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body
        self._over.set()

    def fail(self, error: BenchError) -> None:
        self._error = error
        self._over.set()

    async def wait(self) -> None:
        await self._over.wait()
        if self._error is not None:
            raise self._error


class _ModelCard(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_ModelCard] = []


async def _model(http: HttpConnection) -> str:
    """The first one that the server lists. Those that list none take any name."""
    answer = _Answer()
    await http.send("GET", "/models", b"", answer)
    await answer.wait()
    try:
        models = msgspec.json.decode(answer.body, type=_Models).data
    except msgspec.DecodeError:
        models = []
    return models[0].id if models else "default"


async def _kind(http: HttpConnection, name: str, model: str) -> PeerKind:
    tries: dict[PeerKind, tuple[str, object]] = {
        # 16 is the least that the API allows.
        "responses": ("/responses", {"model": model, "input": "Hi", "max_output_tokens": 16, "store": False}),
        "chat": (
            "/chat/completions",
            {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
        ),
    }
    refusals = []
    for kind, (path, body) in tries.items():
        answer = _Answer()
        await http.send("POST", path, encode(body), answer)
        await answer.wait()
        if answer.status == 200:
            return kind
        refusals.append(f"{path}: HTTP {answer.status}: {reason_of(answer.body)}")
    raise BenchError(f"{name} speaks neither the Responses API nor chat completions ({'; '.join(refusals)})")
