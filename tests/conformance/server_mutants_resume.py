"""Servers that are wrong about losing a connection and resuming, and about creating twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol import server_connection
from caesura.protocol.codec import encode
from caesura.protocol.errors import (
    EventsLost,
    InvalidValue,
    ResponseDetached,
    ResponseNotFound,
    StreamBusy,
)
from caesura.protocol.event_log import EventLog
from caesura.protocol.events import ErrorEvent, ResponseEvent, ResponseResumed, Snapshot
from caesura.protocol.events import ResponseDetached as DetachedEvent
from caesura.protocol.messages import ResponseAppend, ResponseCancel, ResponseCreate
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.runtime.pending import LocalTools
from caesura.runtime.rollouts import Rollouts
from server_mutants import QUIET, Event, Patches, mutant

replace = msgspec.structs.replace


def _resumes(on: Patches, around: Callable[..., None]) -> None:
    """``around(original, connection, response, starting_after, now)`` instead of a resume."""
    on.around(ServerConnection, "_resume")(around)


def _said(on: Patches, kind: type, change: Callable[[Any], Any]) -> None:
    """Change messages of the connection as they are encoded."""
    on.set(server_connection, "encode", lambda event: encode(change(event) if isinstance(event, kind) else event))


# --- the replay -------------------------------------------------------------------------------------------------------


def _kept(on: Patches, change: Callable[[EventLog, int, list[str]], list[str] | None]) -> None:
    """Replay something else than the frames after this number, if they are all kept."""

    @on.around(EventLog, "after")
    def after(original: Any, self: EventLog, sequence_number: int) -> list[str] | None:
        frames = original(self, sequence_number)
        return None if frames is None else change(self, sequence_number, frames)


@mutant("resume-replay", by="replay-of-a-paused-response resumed-where-it-is")
def the_last_event_comes_again(on: Patches) -> None:
    """``starting_after`` is taken for the first event that is wanted."""

    def change(log: EventLog, number: int, frames: list[str]) -> list[str]:
        return ([log._frames[number]] if number >= 0 else []) + frames

    _kept(on, change)


@mutant("resume-replay", by="replay-of-a-paused-response")
def acknowledgements_are_not_kept(on: Patches) -> None:
    """They were for the connection that is lost."""
    _kept(on, lambda log, number, frames: [frame for frame in frames if '"response.appended"' not in frame])


@mutant("resume-replay", by="replay-of-a-paused-response")
def a_replay_is_written_anew(on: Patches) -> None:
    """The same events, in another text."""
    _kept(on, lambda log, number, frames: [json.dumps(json.loads(frame)) for frame in frames])


@mutant("resume-replay", by="replay-of-a-paused-response")
def the_last_event_is_not_replayed(on: Patches) -> None:
    """It was on its way when the connection was lost."""
    _kept(on, lambda log, number, frames: frames[:-1])


@mutant("resume-replay", by="resumed-where-it-is")
def a_connection_takes_over_from_itself(on: Patches) -> None:
    """Whoever carries the Response is told that it is lost, the one that resumes too."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        if response.connection is self:
            self.give_up(response, now)
        original(self, response, starting_after, now)

    _resumes(on, resume)


@mutant("resume-replay", by="resumed-where-it-is")
def what_was_sent_here_is_not_sent_again(on: Patches) -> None:
    """A resume on the connection that carries the Response replays nothing."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        if response.connection is self:
            starting_after = response.log.last
        original(self, response, starting_after, now)

    _resumes(on, resume)


@mutant("resume-replay", by="replay-while-sampling")
def an_event_is_lost_behind_the_replay(on: Patches) -> None:
    """The connection is attached one event too late."""
    attached: list[Any] = []

    @on.around(ServerProtocol, "attach")
    def attach(original: Any, self: ServerProtocol, response: Any, connection: ServerConnection) -> None:
        original(self, response, connection)
        attached.append(response)

    @on.around(ServerProtocol, "emit")
    def emit(original: Any, self: ServerProtocol, response: Any, event: ResponseEvent, now: float) -> None:
        connection = response.connection
        if response in attached:
            attached.remove(response)
            response.connection = None
        original(self, response, event, now)
        if not response.has_ended:
            response.connection = connection


@mutant("resume-replay", by="replay-while-sampling")
def the_replay_overlaps_what_follows(on: Patches) -> None:
    """The event before the next one is sent as a new one too."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        original(self, response, starting_after, now)
        if not response.has_ended:
            self.queue(response.log.after(response.log.last - 1)[0], now)

    _resumes(on, resume)


@mutant("resume-continues", by="replay-while-sampling", wait=QUIET)
def a_resume_is_only_a_replay(on: Patches) -> None:
    """What is sampled after it goes to nobody."""

    @on.around(ServerProtocol, "attach")
    def attach(original: Any, self: ServerProtocol, response: Any, connection: ServerConnection) -> None:
        original(self, response, connection)
        if response.is_sampling:
            response.connection = None


# --- going on ---------------------------------------------------------------------------------------------------------


@mutant("resume-continues", by="goes-on-where-it-was-resumed")
def a_resumed_response_has_no_lane(on: Patches) -> None:
    """It is found by its id alone."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        original(self, response, starting_after, now)
        self.lane_of(response).current = None

    _resumes(on, resume)


@mutant("resume-continues", by="goes-on-where-it-was-resumed")
def a_resumed_response_is_read_only(on: Patches) -> None:
    """Its events come, and appends to it are refused as if nobody carried it."""

    @on.around(ServerConnection, "_addressed")
    def addressed(original: Any, self: ServerConnection, message: Any, about: Event, **more: Any) -> Any:
        response = original(self, message, about, **more)
        if response in resumed:
            raise ResponseDetached("Another connection began it.")
        return response

    def resume(original: Any, self: ServerConnection, response: Any, *more: Any) -> None:
        original(self, response, *more)
        resumed.append(response)

    resumed: list[Any] = []
    _resumes(on, resume)


@mutant("detached-lives", by="sampled-on-to-its-pause sampled-on-to-its-end", wait=QUIET)
def a_lost_connection_cancels(on: Patches) -> None:
    """Its Responses end with it."""

    @on.around(ServerProtocol, "detach")
    def detach(original: Any, self: ServerProtocol, response: Any, now: float) -> None:
        original(self, response, now)
        self.request_end(response, "cancelled", "connection_lost")


@mutant("detached-lives", by="sampled-on-to-its-pause")
def a_pause_that_nobody_sees_is_the_end(on: Patches) -> None:
    """A Response that pauses while nobody is attached is cancelled."""

    @on.around(LocalTools, "announce")
    def announce(original: Any, self: LocalTools) -> None:
        original(self)
        if self.emit.response.connection is None:
            self.emit._rollouts._core.request_end(self.emit.response, "cancelled", "abandoned")
            self.emit.flush()


@mutant("resume-ended", by="sampled-on-to-its-end")
def what_ends_unseen_is_forgotten(on: Patches) -> None:
    """A Response that ends while nobody is attached is not kept."""

    @on.around(ServerProtocol, "_ended_now")
    def ended(original: Any, self: ServerProtocol, response: Any, now: float) -> None:
        was_lost = response.connection is None
        original(self, response, now)
        if was_lost:
            self._forget(response)


@mutant("resume-ended", "resume-first", by="sampled-on-to-its-end what-comes-first")
def an_ended_response_is_resumed_as_open(on: Patches) -> None:
    """``response.resumed`` always says ``in_progress``."""
    _said(on, ResponseResumed, lambda event: replace(event, status="in_progress"))


# --- response.resumed -------------------------------------------------------------------------------------------------


@mutant("resume-first", by="what-comes-first")
def the_answer_comes_behind_the_replay(on: Patches) -> None:
    """``response.resumed`` says that the replay is over."""

    def make() -> Callable[[Event], list[Event]]:
        held: list[Event] = []

        def change(event: Event) -> list[Event]:
            if event["type"] == "response.resumed" and event["last_sequence_number"] > event["starting_after"]:
                held.append(event)
                return []
            if held and event.get("sequence_number") == held[0]["last_sequence_number"]:
                return [event, held.pop()]
            return [event]

        return change

    on.frames(make)


@mutant("resume-first", by="what-comes-first")
def the_last_number_is_the_next_one(on: Patches) -> None:
    """``last_sequence_number`` is how many events there are."""
    _said(on, ResponseResumed, lambda event: replace(event, last_sequence_number=event.last_sequence_number + 1))


@mutant("resume-first", by="what-comes-first")
def a_resume_asks_for_nothing(on: Patches) -> None:
    """``required_input`` is what ``response.done`` said, and is not said again."""
    _said(on, ResponseResumed, lambda event: replace(event, required_input=()))


@mutant("resume-first", by="what-comes-first")
def a_paused_response_is_paused(on: Patches) -> None:
    """The status of ``response.resumed`` is none of the Responses API."""
    _said(
        on,
        ResponseResumed,
        lambda event: replace(event, status="paused") if event.required_input else event,
    )


@mutant("resume-decided", by="append-before-a-resume")
def an_append_is_decided_later(on: Patches) -> None:
    """Messages that come behind it are answered before it."""

    @on.around(Rollouts, "_append")
    def append(original: Any, self: Rollouts, request: Any) -> None:
        asyncio.get_running_loop().call_later(0.05, lambda: (original(self, request), self.settle()))


@mutant("resume-decided", by="append-before-a-resume")
def a_resume_shows_the_last_pause(on: Patches) -> None:
    """``required_input`` is that of ``response.done``, whatever was answered since."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        if response.is_paused:
            asked.append(response.last_pause.response.required_input)
        original(self, response, starting_after, now)
        asked.clear()

    asked: list[Any] = []
    _resumes(on, resume)
    _said(on, ResponseResumed, lambda event: replace(event, required_input=asked[0]) if asked else event)


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
    _said(on, DetachedEvent, lambda event: replace(event, reason="replaced"))


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
    _given_up_for(on, ResponseDetached)


# --- creating twice ---------------------------------------------------------------------------------------------------


def _keys(on: Patches, around: Callable[..., Any]) -> None:
    on.around(ServerProtocol, "find_by_key")(around)


@mutant("create-idempotent", by="create-with-a-known-key")
def keys_are_not_looked_at(on: Patches) -> None:
    """Each create begins a Response."""
    _keys(on, lambda original, self, key, owner: None)


@mutant("create-idempotent", by="create-with-a-known-key")
def a_key_is_that_of_an_open_response(on: Patches) -> None:
    """The key of one that has ended is free again."""

    def find(original: Any, self: ServerProtocol, key: str | None, owner: str) -> Any:
        found = original(self, key, owner)
        return None if found is None or found.has_ended else found

    _keys(on, find)


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

    def find(original: Any, self: ServerProtocol, key: str | None, owner: str) -> Any:
        return next((found for (_, each), found in self._keys.items() if each == key), None)

    _keys(on, find)


@mutant("resume-position", by="resume-beyond-the-end", wait=QUIET)
def a_position_beyond_the_end_is_the_end(on: Patches) -> None:
    """It is cut to the last event."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        original(self, response, min(starting_after, response.log.last), now)

    _resumes(on, resume)


@mutant("resume-position", by="resume-beyond-the-end", wait=QUIET)
def a_position_may_be_the_next_event(on: Patches) -> None:
    """One beyond the last event is taken."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        original(self, response, starting_after - (starting_after == response.log.last + 1), now)

    _resumes(on, resume)


@mutant("resume-position", by="resume-beyond-the-end")
def a_bad_position_takes_over_first(on: Patches) -> None:
    """The former connection is told before the position is looked at."""
    _given_up_for(on, InvalidValue)


@mutant("resume-busy", by="resume-onto-a-busy-lane", wait=QUIET)
def a_resume_supersedes(on: Patches) -> None:
    """The Response on the lane is ended for the one that is resumed."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        lane = self._lanes.find(response.stream_id)
        if lane is not None and lane.open not in (None, response):
            self._server.request_end(lane.open, "cancelled", "superseded")
            lane.current = None
        original(self, response, starting_after, now)

    _resumes(on, resume)


@mutant("resume-busy", by="resume-onto-a-busy-lane")
def a_busy_lane_takes_over_first(on: Patches) -> None:
    """The former connection is told before the lane is looked at."""
    _given_up_for(on, StreamBusy)


def _given_up_for(on: Patches, error: type[Exception]) -> None:
    """A resume that is refused so takes the Response from the connection that has it."""

    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        try:
            original(self, response, starting_after, now)
        except error:
            if response.connection not in (None, self):
                response.connection.give_up(response, now)
                self._server.detach(response, now)
            raise

    _resumes(on, resume)


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
    _given_up_for(on, EventsLost)


def _snapshots(on: Patches, change: Callable[[Snapshot], Any]) -> None:
    _said(
        on,
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
