"""A server core, its runtime and two clients, joined in memory by links that can be lost.

What may happen next is in ``actions.py``; what must hold after it, in ``oracle.py`` and ``invariants.py``.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import replace
from typing import Any

from caesura.protocol.client import ClientResponse
from caesura.protocol.errors import ContextLengthExceeded
from caesura.protocol.events import (
    ResponseCancelled,
    ResponseCompleted,
    ResponseCreated,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
)
from caesura.protocol.limits import Limits
from caesura.protocol.server import AppendRequested, CreateRequested, EndRequested, ServerProtocol, ServerResponse
from caesura.protocol.server_connection import ServerConnection
from invariants import check_server
from oracle import Rollout
from peers import resource
from user import User

GAPS = Limits(
    max_waiting=2,
    max_sampling=2,
    max_open_per_connection=4,
    max_open_per_credential=6,
    max_ended=3,
    max_replay_events=3,
    pause_timeout=100.0,
    grace=50.0,
    lifetime=300.0,
)
PROFILES = {
    "gaps": GAPS,
    "slow": replace(GAPS, max_replay_events=8, max_unsent_events=6),
    "little memory": replace(GAPS, max_replay_events=1000, max_replay_bytes_in_all=3000, max_unsent_bytes=6000),
    "defaults": Limits(),
}
LANES = (None, "one", "two")
TOO_LONG = "far too long"


class World:
    """``counts`` says how often each thing happened. ``zombies`` are connections that their client has given up and the
    server has not, each with what is still on its way there."""

    def __init__(self, profile: str) -> None:
        self.now = 0.0
        self.server = ServerProtocol(PROFILES[profile])
        self.rollouts: dict[str, Rollout] = {}
        self.users = [User(self.server, self.rollouts) for _ in range(2)]
        self.zombies: dict[ServerConnection, deque[str]] = {}
        self.creating: list[CreateRequested] = []
        self.ending: list[EndRequested] = []
        self.counts: Counter[str] = Counter()
        self.awake: set[ServerConnection] = set()
        self.others = [self.server.connect(0.0, credential=credential) for credential in ("stranger", "user")]
        for connection in self.others:
            self.server.deadlines.cancel(connection)  # they are there for ever
        self.accepted: list[tuple[str, list[Any]]] = []
        self.bad: set[str] = set()
        self._begun: dict[str, str] = {}
        self._num = 0

    def check(self) -> None:
        """Everything that always holds."""
        for rollout in self.rollouts.values():
            rollout.check()
        check_server(self)

    def number(self) -> int:
        self._num += 1
        return self._num

    # --- the runtime ----------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Do what the server core asks for: appends at once; creates and ends take their time."""
        while (request := self.server.next_request()) is not None:
            match request:
                case CreateRequested():
                    self._check_turn(request)
                    self.creating.append(request)
                case AppendRequested():
                    self._answer(request)
                case EndRequested():
                    self._check_reason(request)
                    self.ending.append(request)
        self.awake.update(self.server.take_ready())
        assert all(rollout.id in self.server._responses for rollout in self.live), "an open Response was forgotten"
        self.creating = [each for each in self.creating if not each.response.has_ended]
        self.ending = [each for each in self.ending if not each.response.has_ended]

    def _check_turn(self, request: CreateRequested) -> None:
        connection = request.response.connection
        assert connection is not None
        assert connection._num_sampling() <= self.server.limits.max_sampling + 1  # an append may add to the bound

    def _check_reason(self, request: EndRequested) -> None:
        response, limits = request.response, self.server.limits
        rollout = self.rollouts.get(str(response.id))
        match request.reason:
            case "append_timeout":
                assert rollout is not None
                assert rollout.state == "paused"
                assert self.now >= rollout.since + limits.pause_timeout
            case "abandoned":
                assert response.connection is None
            case "connection_lost":
                assert response.has_ended
            case reason:
                assert reason == "client_request"

    def _answer(self, request: AppendRequested) -> None:
        rollout = self.rollouts[str(request.response.id)]
        assert rollout.state != "ended"
        rollout.judge(request)
        if any(TOO_LONG in (item.get("output"), item.get("content")) for item in request.raw) and not request.is_repeat:
            self.server.reject(request, ContextLengthExceeded("It does not fit.", param="input"), self.now)
            self.counts["append refused"] += 1
            return
        if set(request.append.call_ids) & set(rollout.open):  # messages that come without are not safe to repeat
            self.accepted = [*self.accepted[-7:], (rollout.id, request.raw)]
        self.server.accept(request, self.now)
        rollout.accept(request, self.now)
        self.counts["append accepted"] += 1

    def emit(self, response: ServerResponse, event: ResponseEvent) -> None:
        self.server.emit(response, event, self.now)
        rollout = self.rollouts.setdefault(str(response.id), Rollout(response))
        rollout.take(self.now)

    def end(self, response: ServerResponse, status: str, reason: str | None = None) -> None:
        """Emit the last event."""
        response_id = response.id or f"resp_{self.number()}"
        details = {"reason": reason} if reason else None
        final = resource(response_id, status, output=response.output, incomplete_details=details)
        events: dict[str, ResponseEvent] = {
            "completed": ResponseCompleted(response=final),
            "failed": ResponseFailed(response=final),
            "incomplete": ResponseIncomplete(response=final),
            "cancelled": ResponseCancelled(response=final),
        }
        self.emit(response, events[status])

    def begin(self, request: CreateRequested) -> None:
        """The create is found good."""
        self.creating.remove(request)
        predecessor = self.server.predecessor(request)
        if predecessor is not None:
            self.end(predecessor, "cancelled", "superseded")
        if request.response.has_ended:
            return  # that was one event too many for a slow reader
        self.server.accept(request, self.now)
        response_id = f"resp_{self.number()}"
        if (key := request.request.idempotency_key) is not None:
            assert self._begun.get(key) not in self.server._responses, "a create was carried out twice"
            self._begun[key] = response_id
        self.emit(request.response, ResponseCreated(response=resource(response_id)))

    # --- who is there ---------------------------------------------------------------------------------------------

    @property
    def sampling(self) -> list[Rollout]:
        return [rollout for rollout in self.rollouts.values() if rollout.state == "sampling"]

    @property
    def live(self) -> list[Rollout]:
        return [rollout for rollout in self.rollouts.values() if rollout.is_open]

    @property
    def linked(self) -> list[User]:
        return [user for user in self.users if user.connection is not None]

    def born(self) -> list[tuple[User, ClientResponse]]:
        return [(user, each) for user in self.users for each in user.open if not each.is_unborn]

    def connections(self) -> list[ServerConnection]:
        """All that the server believes to be there."""
        return [*self.zombies, *(user.connection for user in self.users if user.connection is not None), *self.others]

    # --- the links ------------------------------------------------------------------------------------------------

    def pull(self, user: User) -> bool:
        """Move one frame from the server to the user, or close the link as the server wants. Whether there was one."""
        connection = user.connection
        assert connection is not None
        frame = connection.next_frame()
        if frame is not None:
            user.receive(frame)
            return True
        self.awake.discard(connection)
        if connection.closing is not None:
            user.disconnect()
            connection.lost(self.now)
        return False

    def push(self, user: User) -> None:
        """Move one frame from the user to the server."""
        assert user.connection is not None
        self.deliver(user.connection, user.up.popleft())

    def deliver(self, connection: ServerConnection, frame: str) -> None:
        connection.receive(frame, self.now)
        if frame not in self.bad:
            self.serve()
            return
        before = self.counts["append accepted"], self.counts["append refused"]
        answer = connection._outbox._frames[-1] if len(connection._outbox) else None
        self.serve()
        assert before == (self.counts["append accepted"], self.counts["append refused"]), "a bad append got through"
        if connection.closing is None:
            assert answer is not None
            error = json.loads(answer)
            assert error["type"] == "error"
            assert error["input"] == json.loads(frame)["input"]

    def settle(self, user: User) -> None:
        """Deliver until nothing moves on this link."""
        while user.connection is not None and (user.up or len(user.connection._outbox) or user.connection.closing):
            if user.up:
                self.push(user)
            self.pull(user)
            self.check()
        if user.connection is not None:
            user.check_settled()

    def ask(self, connection: ServerConnection, message: str) -> dict[str, Any]:
        """Send a frame that has to be refused, past every client core. The error."""
        connection.receive(message, self.now)
        assert self.server.next_request() is None
        frame = connection.next_frame()
        assert frame is not None
        assert connection.next_frame() is None
        event: dict[str, Any] = json.loads(frame)
        assert event["type"] == "error"
        return event
