"""A client core joined to a :class:`.peers.Server` in memory. The test says when frames are delivered."""

from __future__ import annotations

import json
from typing import Any

from caesura.protocol.client import ClientProtocol, ClientResponse, Outcome, Received
from caesura.protocol.items import FunctionCallOutput
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.server import ServerResponse
from peers import Server


class Pair:
    """``seen`` is all that the client was given; ``sent``, every frame that it sent, as JSON."""

    def __init__(self, server: Server | None = None) -> None:
        self.server = server or Server()
        self.client = ClientProtocol()
        self.seen: list[Received] = []
        self.sent: list[dict[str, Any]] = []
        self.connect()

    def connect(self) -> None:
        self.connection = self.server.core.connect(self.server.now)
        self.client.connected()

    def lose(self, *, is_noticed: bool = True) -> None:
        """The link is gone with all that was on its way."""
        if is_noticed:
            self.connection.lost(self.server.now)
        self.client.disconnected()

    def reconnect(self) -> None:
        self.lose()
        self.connect()

    def up(self) -> list[dict[str, Any]]:
        """Deliver what the client has to send."""
        fresh = []
        while (frame := self.client.next_frame()) is not None:
            fresh.append(json.loads(frame))
            self.connection.receive(frame, self.server.now)
        self.sent += fresh
        return fresh

    def down(self, most: int = 10_000) -> list[Received]:
        """Deliver what the server has to send."""
        fresh: list[Received] = []
        while len(fresh) < most and (frame := self.connection.next_frame()) is not None:
            received = self.client.receive(frame)
            assert received is not None
            fresh.append(received)
        self.seen += fresh
        return fresh

    def exchange(self) -> list[Outcome]:
        """Both, until nothing moves."""
        outcomes: list[Outcome] = []
        while True:
            asked, news = self.up(), self.down()
            if not asked and not news:
                return outcomes
            outcomes += [received.outcome for received in news]

    def create(self, **fields: Any) -> tuple[ClientResponse, ServerResponse]:
        """A Response in progress, as its client and as its server see it."""
        mine = self.client.create(ResponseCreate(model="m", input="hi", **fields))
        self.up()
        theirs = self.server.begin()
        self.down()
        return mine, theirs

    def paused(self, *call_ids: str, **fields: Any) -> tuple[ClientResponse, ServerResponse]:
        mine, theirs = self.create(**fields)
        self.server.pause(theirs, *(call_ids or ("a",)))
        self.down()
        return mine, theirs

    def answer(self, mine: ClientResponse, *call_ids: str, text: str = "ok") -> None:
        self.client.append(mine, [result(call_id, text) for call_id in call_ids])

    def numbers(self, mine: ClientResponse) -> list[int]:
        """The sequence numbers that its user was given, in order."""
        return [
            received.event.sequence_number  # type: ignore[union-attr]
            for received in self.seen
            if received.response is mine and received.outcome is Outcome.EVENT
        ]


def result(call_id: str, text: str = "ok") -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=text)
