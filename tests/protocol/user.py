"""A client core with its end of a link that can be lost, and the check of all that the core gives to its user."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping

import msgspec
from caesura.protocol.client import ClientProtocol, ClientResponse, Outcome
from caesura.protocol.errors import (
    ConnectionResponseLimitReached,
    ContextLengthExceeded,
    CredentialResponseLimitReached,
    ModelNotFound,
    Overloaded,
    ResponseAlreadyEnded,
    ResponseDetached,
    ResponseNotPaused,
    StreamBusy,
    ToolCallAlreadyAnswered,
)
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from oracle import Rollout

REFUSES_CREATE = {
    error.code
    for error in (ConnectionResponseLimitReached, CredentialResponseLimitReached, ModelNotFound, Overloaded, StreamBusy)
}
REFUSES_APPEND = {
    error.code
    for error in (
        ContextLengthExceeded,
        ResponseAlreadyEnded,
        ResponseDetached,
        ResponseNotPaused,
        ToolCallAlreadyAnswered,
    )
}


class User:
    """``up`` are frames on their way to the server; what is on its way back waits in the server's core."""

    def __init__(self, server: ServerProtocol, rollouts: Mapping[str, Rollout]) -> None:
        self.client = ClientProtocol()
        self.connection: ServerConnection | None = None
        self.up: deque[str] = deque()
        self.responses: list[ClientResponse] = []
        self.num_events = 0
        self.num_gaps = 0
        self._server = server
        self._rollouts = rollouts
        self._next: dict[ClientResponse, int] = {}

    @property
    def open(self) -> list[ClientResponse]:
        """Its Responses that have not ended, as far as it knows."""
        return [each for each in self.responses if not each.has_ended]

    def connect(self, now: float) -> None:
        self.connection = self._server.connect(now, credential="user")
        self.client.connected()
        self.send()

    def disconnect(self) -> ServerConnection:
        """This side knows that the link is gone. The server's end is given back: it does not know yet."""
        connection, self.connection = self.connection, None
        assert connection is not None
        self.up.clear()
        self.client.disconnected()
        return connection

    def send(self) -> None:
        """Put what the core wants to send on its way."""
        while (frame := self.client.next_frame()) is not None:
            self.up.append(frame)
        for ended in [each for each in self.responses if each.has_ended]:
            self.responses.remove(ended)
            self._next.pop(ended, None)

    def receive(self, frame: str) -> None:
        """A frame has come. It must be the very next one, or say that something is missing."""
        event = json.loads(frame)
        received = self.client.receive(frame)
        assert received is not None
        response = received.response
        code = event["error"]["code"] if event["type"] == "error" else None
        match received.outcome:
            case Outcome.EVENT:
                assert response is not None
                at = self._next.get(response, 0)
                assert frame == self._rollouts[str(response.id)].frames[at], "not the next event"
                self._next[response] = at + 1
                self.num_events += 1
            case Outcome.RESUMED:
                assert response is not None
                assert event["starting_after"] == self._next.get(response, 0) - 1 or response.has_ended
            case Outcome.SNAPSHOT:
                assert response is not None
                assert code == "events_lost"
                self._rollouts[str(response.id)].check_snapshot(event["snapshot"])
                assert event["snapshot"]["sequence_number"] >= self._next.get(response, 0)
                self._next[response] = event["snapshot"]["sequence_number"] + 1
                self.num_gaps += 1
            case Outcome.LOST:
                assert response is not None
                known = self._rollouts.get(str(response.id))
                assert code == StreamBusy.code or known is None or not known.is_open, "it could have been resumed"
            case Outcome.DETACHED:
                assert response is not None
                carrier = self._rollouts[str(response.id)].response.connection
                assert carrier is not self.connection, "it was not taken away"
            case Outcome.REFUSED:
                assert code in REFUSES_APPEND
            case Outcome.REJECTED:
                assert code in REFUSES_CREATE
        self.send()

    def check_settled(self) -> None:
        """Nothing is under way: both ends agree. Only of an append that ended a pause may this side know nothing yet,
        since the event that says so has not been sampled."""
        assert self.connection is not None
        for mine in self.open:
            rollout = self._rollouts.get(str(mine.id))
            if mine.is_unborn or rollout is None or rollout.response.connection is not self.connection:
                continue
            theirs = rollout.response
            assert mine.next_sequence_number == theirs.next_sequence_number
            if mine.is_paused and theirs.is_sampling:
                assert {call for append in mine.under_way for call in append.call_ids} >= mine.pending_calls.keys()
                continue
            assert mine.state is theirs.state
            assert mine.pending_calls == theirs.pending_calls
            assert list(mine.pending_calls) == list(theirs.pending_calls)
            assert mine.answers.keys() == theirs.answers.keys()
            assert msgspec.json.encode(mine.all_items) == msgspec.json.encode(theirs.all_items)
            if not self.connection._expired:  # an old connection takes none: it is sent again on the next one
                assert not mine.under_way, "an append that is neither accepted nor refused"
