"""What drivers share that go over the same transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

from ..driver import BenchError, Output
from ..script import Json
from .address import Address
from .http import HttpConnection
from .link import TIMEOUT
from .requests import encode
from .turn import PendingTurn
from .websocket import WebSocketConnection


class OverHttp:
    """A request a turn, on a connection that is kept alive."""

    early_tools = False

    def __init__(self, address: Address, model: str, *, timeout: float = TIMEOUT) -> None:
        self.model = model
        self.http = HttpConnection(address, timeout=timeout)
        self._timeout = timeout

    async def open(self) -> None:
        await self.http.open()

    def answer(self, output: Output) -> None:
        raise BenchError("a design with a request a turn has nothing to answer while the turn goes on")

    async def close(self) -> None:
        await self.http.close()

    async def play(self, path: str, body: Json, turn: PendingTurn) -> None:
        """:raises BenchError: the turn has no good end."""
        await self.http.send("POST", path, encode(body), turn)
        await turn.wait(self._timeout)


TurnT = TypeVar("TurnT", bound=PendingTurn)


class OverWebSocket(Generic[TurnT]):
    """One message after the other; what comes goes to the turn that is under way.

    :ivar headers: of the handshake.
    """

    early_tools = False
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, address: Address, model: str, *, timeout: float = TIMEOUT) -> None:
        self.model = model
        self.socket = WebSocketConnection(address, self._take, self._lost)
        self.current: TurnT | None = None
        self._timeout = timeout

    async def open(self) -> None:
        await self.socket.open(self.headers)

    def answer(self, output: Output) -> None:
        raise BenchError("this design answers when the turn is over")

    async def close(self) -> None:
        await self.socket.close()

    async def play(self, body: Json, turn: TurnT) -> None:
        """:raises BenchError: the turn has no good end."""
        self.current = turn
        self.socket.send(encode(body))
        await turn.wait(self._timeout)

    def _take(self, message: bytes) -> None:
        if self.current is not None:
            self.current.event(message)

    def _lost(self, error: BenchError) -> None:
        if self.current is not None:
            self.current.fail(error)
