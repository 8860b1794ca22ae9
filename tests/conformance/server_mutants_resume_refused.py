"""Servers that are wrong about what is refused because of where a Response is, whose it is, or what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol.errors import (
    EventsLost,
    InvalidValue,
    ResponseDetached,
    ResponseNotFound,
    StreamBusy,
)
from caesura.protocol.event_log import EventLog
from caesura.protocol.events import ErrorEvent, Snapshot
from caesura.protocol.messages import ResponseAppend, ResponseCancel
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from server_mutants import QUIET, Event, Patches, mutant

replace = msgspec.structs.replace


def given_up_for(on: Patches, error: type[Exception]) -> None:
    """A resume that is refused so takes the Response from the connection that has it."""

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        try:
            original(self, response, starting_after, now)
        except error:
            if response.connection not in (None, self):
                response.connection.give_up(response, now)
                self._server.detach(response, now)
            raise


# --- what is refused --------------------------------------------------------------------------------------------------


def _found_elsewhere(on: Patches, test: Callable[[Any, Any], bool]) -> None:
    """Appends and cancels find Responses that their connection does not carry, where the test says so."""

    @on.around(ServerConnection, "_addressed")
    def addressed(original: Any, self: ServerConnection, message: Any, about: Event, **more: Any) -> Any:
        try:
            return original(self, message, about, **more)
        except ResponseDetached:
            response = self._named(message)
            if not test(message, response):
                raise
            return response


@mutant("resume-elsewhere", by="append-and-cancel-elsewhere", wait=QUIET)
def anyone_may_append(on: Patches) -> None:
    """An append needs the id of its Response, and no connection that carries it."""
    _found_elsewhere(on, lambda message, response: isinstance(message, ResponseAppend))


@mutant("resume-elsewhere", by="append-and-cancel-elsewhere", wait=QUIET)
def anyone_may_cancel(on: Patches) -> None:
    """A cancel needs the id of its Response, and no connection that carries it."""
    _found_elsewhere(on, lambda message, response: isinstance(message, ResponseCancel))


@mutant("resume-elsewhere", by="append-and-cancel-elsewhere", wait=QUIET)
def what_nobody_carries_is_for_all(on: Patches) -> None:
    """A Response that nobody is attached to takes appends and cancels from anywhere."""
    _found_elsewhere(on, lambda message, response: response.connection is None)


def _find(on: Patches, make: Callable[[Any], Exception | None]) -> None:
    """Another error than ``response_not_found``, or the Response all the same."""

    @on.around(ServerProtocol, "find")
    def find(original: Any, self: ServerProtocol, response_id: str, owner: str) -> Any:
        try:
            return original(self, response_id, owner)
        except ResponseNotFound:
            response = self._responses.get(response_id)
            error = make(response)
            if error is None:
                return response
            raise error from None


@mutant("resume-unknown", by="resume-of-nothing")
def an_unknown_id_is_a_bad_value(on: Patches) -> None:
    """``response_id`` has a value that can't be used."""
    _find(on, lambda response: InvalidValue("There is no such Response.", param="response_id"))


@mutant("resume-credential", by="other-credential", wait=QUIET)
def an_id_is_enough(on: Patches) -> None:
    """Credentials are not compared."""
    _find(on, lambda response: ResponseNotFound("There is none.") if response is None else None)


@mutant("resume-credential", by="other-credential")
def other_credentials_are_told_that_it_is_there(on: Patches) -> None:
    """The error tells an id that exists from one that does not."""
    _find(
        on,
        lambda response: (
            ResponseNotFound("There is none.") if response is None else ResponseDetached("It is another's.")
        ),
    )


@mutant("resume-credential", by="other-credential")
def a_key_is_everybodys(on: Patches) -> None:
    """An idempotency key finds the Response of any owner."""

    @on.around(ServerProtocol, "find_by_key")
    def find(original: Any, self: ServerProtocol, key: str | None, owner: str) -> Any:
        return next((found for (_, each), found in self._keys.items() if each == key), None)


@mutant("resume-position", by="resume-beyond-the-end", wait=QUIET)
def a_position_beyond_the_end_is_the_end(on: Patches) -> None:
    """It is cut to the last event."""

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        original(self, response, min(starting_after, response.log.last), now)


@mutant("resume-position", by="resume-beyond-the-end", wait=QUIET)
def a_position_may_be_the_next_event(on: Patches) -> None:
    """One beyond the last event is taken."""

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        original(self, response, starting_after - (starting_after == response.log.last + 1), now)


@mutant("resume-position", by="resume-beyond-the-end")
def a_bad_position_takes_over_first(on: Patches) -> None:
    """The former connection is told before the position is looked at."""
    given_up_for(on, InvalidValue)


@mutant("resume-busy", by="resume-onto-a-busy-lane", wait=QUIET)
def a_resume_supersedes(on: Patches) -> None:
    """The Response on the lane is ended for the one that is resumed."""

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        lane = self._lanes.find(response.stream_id)
        if lane is not None and lane.open not in (None, response):
            self._server.request_end(lane.open, "cancelled", "superseded")
            lane.current = None
        original(self, response, starting_after, now)


@mutant("resume-busy", by="resume-onto-a-busy-lane")
def a_busy_lane_takes_over_first(on: Patches) -> None:
    """The former connection is told before the lane is looked at."""
    given_up_for(on, StreamBusy)


# --- events that are gone ---------------------------------------------------------------------------------------------

GONE = "events-that-are-gone"


@mutant("resume-gap", by=GONE, limits="small", wait=QUIET)
def what_is_left_is_replayed(on: Patches) -> None:
    """The events that are gone are passed over."""

    @on.around(EventLog, "after")
    def after(original: Any, self: EventLog, sequence_number: int) -> list[str]:
        frames = original(self, sequence_number)
        return list(self._frames) if frames is None else frames


@mutant("resume-gap", by=GONE, limits="small", wait=QUIET)
def one_event_may_be_missing(on: Patches) -> None:
    """The bound of what is kept is off by one."""

    @on.around(EventLog, "after")
    def after(original: Any, self: EventLog, sequence_number: int) -> list[str] | None:
        frames = original(self, sequence_number)
        return original(self, sequence_number + 1) if frames is None else frames


@mutant("resume-gap", by=GONE, limits="small")
def a_gap_takes_over_first(on: Patches) -> None:
    """The former connection is told before the events are looked for."""
    given_up_for(on, EventsLost)


def _snapshots(on: Patches, change: Callable[[Snapshot], Any]) -> None:
    on.messages(
        ErrorEvent,
        lambda event: replace(event, snapshot=change(event.snapshot)) if event.snapshot else event,
    )


@mutant("resume-snapshot", by=GONE, limits="small")
def a_gap_has_no_snapshot(on: Patches) -> None:
    """The error is all that is said."""
    _snapshots(on, lambda snapshot: msgspec.UNSET)


@mutant("resume-snapshot", by=GONE, limits="small")
def a_snapshot_is_of_the_next_event(on: Patches) -> None:
    """Its ``sequence_number`` is one too high."""
    _snapshots(on, lambda snapshot: replace(snapshot, sequence_number=snapshot.sequence_number + 1))


@mutant("resume-snapshot", by=GONE, limits="small")
def a_snapshot_has_the_last_item(on: Patches) -> None:
    """Items before it are left out."""
    _snapshots(
        on,
        lambda snapshot: replace(
            snapshot, response=replace(snapshot.response, output=list(snapshot.response.output)[-1:])
        ),
    )


@mutant("resume-snapshot", by=GONE, limits="small")
def a_snapshot_is_never_paused(on: Patches) -> None:
    """It says of a paused Response that it is sampled."""
    _snapshots(on, lambda snapshot: replace(snapshot, paused=False))


@mutant("resume-snapshot", by=GONE, limits="small")
def a_snapshot_asks_for_nothing(on: Patches) -> None:
    """It has no ``required_input``."""
    _snapshots(on, lambda snapshot: replace(snapshot, required_input=()))


@mutant("resume-snapshot", by=GONE, limits="small")
def a_snapshot_is_always_open(on: Patches) -> None:
    """That of an ended Response says that it is in progress."""
    _snapshots(on, lambda snapshot: replace(snapshot, response=replace(snapshot.response, status="in_progress")))
