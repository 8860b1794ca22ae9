"""Servers that are wrong about what outlives a connection, and about what a resume begins with and sends again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol.errors import (
    ResponseDetached,
)
from caesura.protocol.event_log import EventLog
from caesura.protocol.events import ResponseEvent, ResponseResumed
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.runtime.pending import LocalTools
from caesura.runtime.rollouts import Rollouts
from server_mutants import QUIET, Event, Patches, mutant

replace = msgspec.structs.replace

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

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        if response.connection is self:
            self.give_up(response, now)
        original(self, response, starting_after, now)


@mutant("resume-replay", by="resumed-where-it-is")
def what_was_sent_here_is_not_sent_again(on: Patches) -> None:
    """A resume on the connection that carries the Response replays nothing."""

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        if response.connection is self:
            starting_after = response.log.last
        original(self, response, starting_after, now)


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

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        original(self, response, starting_after, now)
        if not response.has_ended:
            self.queue(response.log.after(response.log.last - 1)[0], now)


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

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        original(self, response, starting_after, now)
        self.lane_of(response).current = None


@mutant("resume-continues", by="goes-on-where-it-was-resumed")
def a_resumed_response_is_read_only(on: Patches) -> None:
    """Its events come, and appends to it are refused as if nobody carried it."""

    @on.around(ServerConnection, "_addressed")
    def addressed(original: Any, self: ServerConnection, message: Any, about: Event, **more: Any) -> Any:
        response = original(self, message, about, **more)
        if response in resumed:
            raise ResponseDetached("Another connection began it.")
        return response

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, *more: Any) -> None:
        original(self, response, *more)
        resumed.append(response)

    resumed: list[Any] = []


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
    on.messages(ResponseResumed, lambda event: replace(event, status="in_progress"))


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
    on.messages(ResponseResumed, lambda event: replace(event, last_sequence_number=event.last_sequence_number + 1))


@mutant("resume-first", by="what-comes-first")
def a_resume_asks_for_nothing(on: Patches) -> None:
    """``required_input`` is what ``response.done`` said, and is not said again."""
    on.messages(ResponseResumed, lambda event: replace(event, required_input=()))


@mutant("resume-first", by="what-comes-first")
def a_paused_response_is_paused(on: Patches) -> None:
    """The status of ``response.resumed`` is none of the Responses API."""
    on.messages(
        ResponseResumed,
        lambda event: replace(event, status="paused") if event.required_input else event,
    )


@mutant("resume-decided", by="append-before-a-resume")
def an_append_is_decided_later(on: Patches) -> None:
    """Messages that come behind it are answered before it."""

    @on.around(Rollouts, "_append")
    def append(original: Any, self: Rollouts, request: Any) -> None:
        def decide() -> None:
            if not request.response.has_ended:
                original(self, request)
                self.settle()

        asyncio.get_running_loop().call_later(0.05, decide)


@mutant("resume-decided", by="append-before-a-resume")
def a_resume_shows_the_last_pause(on: Patches) -> None:
    """``required_input`` is that of ``response.done``, whatever was answered since."""

    @on.around(ServerConnection, "_resume")
    def resume(original: Any, self: ServerConnection, response: Any, starting_after: int, now: float) -> None:
        if response.is_paused:
            asked.append(response.last_pause.response.required_input)
        original(self, response, starting_after, now)
        asked.clear()

    asked: list[Any] = []
    on.messages(ResponseResumed, lambda event: replace(event, required_input=asked[0]) if asked else event)
