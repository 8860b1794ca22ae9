"""Servers that are wrong about taking a Response over, and about creating twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol.codec import encode
from caesura.protocol.errors import (
    ResponseDetached,
)
from caesura.protocol.events import ResponseDetached as DetachedEvent
from caesura.protocol.events import ResponseEvent
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from server_mutants import QUIET, Event, Patches, mutant
from server_mutants_resume_refused import given_up_for

replace = msgspec.structs.replace

# --- taking over ------------------------------------------------------------------------------------------------------


@mutant("resume-told", by="taken-over", wait=QUIET)
def nobody_is_told_of_a_takeover(on: Patches) -> None:
    """The connection that loses a Response hears no more of it, and not why."""

    @on.around(ServerConnection, "give_up")
    def give_up(original: Any, self: ServerConnection, response: Any, now: float) -> None:
        self.lane_of(response).current = None
        self.hand_out(now)


@mutant("resume-told", by="taken-over")
def a_takeover_has_another_reason(on: Patches) -> None:
    """What is told is that the connection was replaced."""
    on.messages(DetachedEvent, lambda event: replace(event, reason="replaced"))


def _also_to_former(on: Patches, test: Callable[[Any], bool]) -> None:
    """Events go to connections that have lost the Response too."""
    former: list[tuple[Any, ServerConnection]] = []

    @on.around(ServerConnection, "give_up")
    def give_up(original: Any, self: ServerConnection, response: Any, now: float) -> None:
        original(self, response, now)
        former.append((response, self))

    @on.around(ServerProtocol, "emit")
    def emit(original: Any, self: ServerProtocol, response: Any, event: ResponseEvent, now: float) -> None:
        stamped = response.stamp(event)
        original(self, response, event, now)
        for lost, connection in former:
            if lost is response and test(event):
                connection.queue(encode(stamped), now)


@mutant("resume-takeover", by="taken-over taken-over-while-sampling")
def a_takeover_shares(on: Patches) -> None:
    """All connections that ever carried a Response are sent its events."""
    _also_to_former(on, lambda event: True)


@mutant("resume-takeover", by="taken-over taken-over-while-sampling")
def the_end_is_for_everybody(on: Patches) -> None:
    """The last event is sent to all connections that ever carried the Response."""
    _also_to_former(on, lambda event: event.__struct_config__.tag == "response.completed")


@mutant("resume-order", by="resume-on-an-older-connection", wait=QUIET)
def the_latest_resume_has_it(on: Patches) -> None:
    """A resume that is late takes the Response from a later connection."""
    on.set(ServerConnection, "_check_order", lambda self, response: None)


@mutant("resume-order", by="resume-on-an-older-connection")
def a_late_resume_takes_it_from_both(on: Patches) -> None:
    """It is refused, and the connection that carries the Response has lost it."""
    given_up_for(on, ResponseDetached)


# --- creating twice ---------------------------------------------------------------------------------------------------


@mutant("create-idempotent", by="create-with-a-known-key")
def keys_are_not_looked_at(on: Patches) -> None:
    """Each create begins a Response."""
    on.set(ServerProtocol, "find_by_key", lambda self, key, owner: None)


@mutant("create-idempotent", by="create-with-a-known-key")
def a_key_is_that_of_an_open_response(on: Patches) -> None:
    """The key of one that has ended is free again."""

    @on.around(ServerProtocol, "find_by_key")
    def find(original: Any, self: ServerProtocol, key: str | None, owner: str) -> Any:
        found = original(self, key, owner)
        return None if found is None or found.has_ended else found


@mutant("create-idempotent", by="create-with-a-known-key")
def a_known_key_resumes_at_the_end(on: Patches) -> None:
    """What was sent already is not replayed."""

    @on.around(ServerConnection, "_create")
    def create(original: Any, self: ServerConnection, message: ResponseCreate, about: Event, now: float) -> None:
        existing = self._server.find_by_key(message.idempotency_key, self.credential)
        if existing is not None and not existing.is_unborn:
            self._resume(existing, existing.log.last, now)
        else:
            original(self, message, about, now)
