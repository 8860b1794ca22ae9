"""Servers that are wrong about lanes: their names, and what runs on them one after the other or side by side."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol import lanes, server_outlet
from caesura.protocol.errors import StreamBusy
from caesura.protocol.events import ResponseAppended
from caesura.protocol.lanes import Lanes
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.protocol.server_lanes import ServerLane
from caesura.runtime import rollout
from caesura.runtime.rollouts import Rollouts
from server_mutants import QUIET, Event, Patches, mutant

replace = msgspec.structs.replace

# --- names ------------------------------------------------------------------------------------------------------------


def _names(on: Patches, test: Callable[[str], Any]) -> None:
    for module in (lanes, server_outlet):
        on.set(module, "is_lane_name", lambda name: isinstance(name, str) and bool(test(name)))


@mutant("lane-name", by="bad-lane-names", wait=QUIET)
def a_name_may_end_in_a_line(on: Patches) -> None:
    """``$`` matches before the last line feed."""
    _names(on, re.compile(r"^[A-Za-z0-9_.-]{1,256}$").match)


@mutant("lane-name", by="bad-lane-names", wait=QUIET)
def a_name_may_have_any_letter(on: Patches) -> None:
    r"""``\w`` is more than ASCII."""
    _names(on, re.compile(r"[\w.-]{1,256}").fullmatch)


@mutant("lane-name", by="bad-lane-names", wait=QUIET)
def a_name_may_be_too_long(on: Patches) -> None:
    """By one character."""
    _names(on, re.compile(r"[A-Za-z0-9_.-]{1,257}").fullmatch)


@mutant("lane-name", by="bad-lane-names")
def a_name_may_not_be_as_long_as_allowed(on: Patches) -> None:
    """By one character."""
    _names(on, re.compile(r"[A-Za-z0-9_.-]{1,255}").fullmatch)


@mutant("lane-name", by="bad-lane-names", wait=QUIET)
def an_empty_name_is_the_default_lane(on: Patches) -> None:
    """What is falsy is not there."""

    @on.around(ServerConnection, "_create")
    def create(original: Any, self: ServerConnection, message: ResponseCreate, about: Event, now: float) -> None:
        original(self, replace(message, stream_id=message.stream_id or None), about, now)


@mutant("lane-limit", by="one-name-too-many", limits="small", wait=QUIET)
def names_are_free_again(on: Patches) -> None:
    """A lane whose Response has ended does not count."""

    @on.around(Lanes, "open")
    def open_lane(original: Any, self: Any, stream_id: str | None) -> Any:
        for name, lane in list(self._lanes.items()):
            if name is not None and lane.open is None and lane.requested is None:
                del self._lanes[name]
        return original(self, stream_id)


@mutant("lane-limit", by="one-name-too-many", limits="small")
def the_default_lane_has_a_name(on: Patches) -> None:
    """It counts as one of those that may be used."""
    _most_names(on, -1)


@mutant("lane-limit", by="one-name-too-many", limits="small", wait=QUIET)
def one_more_name_may_be_used(on: Patches) -> None:
    """The bound is compared when the name is there already."""
    _most_names(on, 1)


def _most_names(on: Patches, more: int) -> None:
    @on.around(Lanes, "__init__")
    def init(original: Any, self: Any, make: Any, max_named: int) -> None:
        original(self, make, max_named + more)


# --- what events say --------------------------------------------------------------------------------------------------


@mutant("lane-echo", by="events-name-their-lane", wait=QUIET)
def an_acknowledgement_has_no_lane(on: Patches) -> None:
    """Its ``response_id`` is enough."""
    on.events(lambda event: replace(event, stream_id=msgspec.UNSET) if isinstance(event, ResponseAppended) else event)


@mutant("lane-echo", by="events-name-their-lane")
def deltas_have_no_lane(on: Patches) -> None:
    """Small events are kept small."""
    on.events(lambda event: replace(event, stream_id=msgspec.UNSET) if hasattr(event, "delta") else event)


@mutant("lane-default", by="events-name-their-lane", wait=QUIET)
def the_default_lane_is_called_default(on: Patches) -> None:
    """Every event has a ``stream_id``."""
    on.events(lambda event: replace(event, stream_id="default") if event.stream_id is msgspec.UNSET else event)


@mutant("lane-default", by="events-name-their-lane")
def the_default_lane_is_null(on: Patches) -> None:
    """Every event has a ``stream_id``, be it null."""
    on.frames(lambda: lambda event: [{"stream_id": None, **event}])


# --- one after the other ----------------------------------------------------------------------------------------------


@mutant("lane-order", by="creates-of-a-lane-wait")
def the_latest_create_begins_first(on: Patches) -> None:
    """Creates wait on a stack."""

    @on.around(ServerConnection, "hand_out")
    def hand_out(original: Any, self: ServerConnection, now: float) -> None:
        self._waiting.creates.reverse()
        original(self, now)
        self._waiting.creates.reverse()


@mutant("lane-order", by="creates-of-a-lane-wait")
def a_lane_is_only_a_name(on: Patches) -> None:
    """Creates of a lane all run beside each other."""
    _interrupting(on)
    on.set(ServerProtocol, "predecessor", lambda self, request: None)

    @on.around(ServerConnection, "begin")
    def begin(original: Any, self: ServerConnection, response: Any) -> None:
        self.lane_of(response).current = None
        original(self, response)


@mutant("lane-order", "supersede", by="creates-of-a-lane-wait create-that-waits-for-a-pause")
def a_create_interrupts_what_is_sampled(on: Patches) -> None:
    """It supersedes its predecessor, paused or not."""
    _interrupting(on)


def _interrupting(on: Patches) -> None:
    on.set(ServerLane, "is_free", property(lambda lane: lane.requested is None))


@mutant("lane-concurrent", by="lanes-beside-each-other")
def lanes_take_turns(on: Patches) -> None:
    """One Response of a connection is sampled at a time."""
    _sampling(on, lambda connection, num: 1000 * num)


@mutant("lane-concurrent", by="lanes-beside-each-other", wait=QUIET)
def a_pause_holds_up_all_lanes(on: Patches) -> None:
    """No create begins before a paused Response goes on."""
    _sampling(on, lambda connection, num: 1000 * any(_is_paused(lane) for lane in connection._lanes))


def _sampling(on: Patches, change: Callable[[ServerConnection, int], int]) -> None:
    """Count other Responses as those that are sampled at once."""

    @on.around(ServerConnection, "_num_sampling")
    def num_sampling(original: Any, self: ServerConnection) -> int:
        return change(self, original(self))


def _is_paused(lane: ServerLane) -> bool:
    return lane.open is not None and lane.open.is_paused


@mutant("lane-sampling", by="bound-on-sampling", limits="small")
def one_more_may_be_sampled(on: Patches) -> None:
    """The bound is compared before the create is counted."""
    _sampling(on, lambda connection, num: num - 1)


@mutant("lane-sampling", by="bound-on-sampling", limits="small")
def what_is_handed_out_is_not_counted(on: Patches) -> None:
    """Only Responses that have begun are."""
    _sampling(on, lambda connection, num: num - sum(lane.requested is not None for lane in connection._lanes))


@mutant("lane-sampling", by="bound-on-sampling", limits="small", wait=QUIET)
def a_paused_response_is_counted(on: Patches) -> None:
    """The bound is on those that are open."""
    _sampling(on, lambda connection, num: num + sum(_is_paused(lane) for lane in connection._lanes))


# --- superseding ------------------------------------------------------------------------------------------------------


@mutant("supersede", by="create-on-a-paused-lane")
def a_paused_lane_is_busy(on: Patches) -> None:
    """A create on it is refused."""

    @on.around(ServerConnection, "_create")
    def create(original: Any, self: ServerConnection, message: ResponseCreate, about: Event, now: float) -> None:
        lane = self._lanes.find(message.stream_id)
        if lane is not None and _is_paused(lane):
            raise StreamBusy("Answer the calls first.")
        original(self, message, about, now)


@mutant("supersede", by="create-on-a-paused-lane create-that-waits-for-a-pause")
def superseding_is_a_cancel(on: Patches) -> None:
    """The reason is that of a cancel by the client."""

    @on.around(ServerProtocol, "request_end")
    def request_end(original: Any, self: ServerProtocol, response: Any, status: str, reason: str) -> None:
        original(self, response, status, "client_request" if reason == "superseded" else reason)


@mutant("supersede", by="create-on-a-paused-lane create-that-waits-for-a-pause", wait=QUIET)
def a_pause_keeps_its_lane(on: Patches) -> None:
    """A create waits for the end of the paused Response."""
    on.set(ServerLane, "is_free", property(lambda lane: lane.requested is None and lane.open is None))


@mutant("supersede", by="create-on-a-paused-lane")
def a_superseded_response_is_dropped(on: Patches) -> None:
    """Nobody is told that it is over."""

    @on.around(Rollouts, "supersede")
    async def supersede(original: Any, self: Rollouts, request: Any) -> bool:
        predecessor = self._core.predecessor(request)
        if predecessor is not None:
            request.response.connection.lane_of(predecessor).current = None
            predecessor.connection = None
        return predecessor is not None


@mutant("supersede", by="create-on-a-paused-lane create-that-waits-for-a-pause")
def a_superseded_response_ends_later(on: Patches) -> None:
    """The new one is created before the old one has ended."""

    @on.around(Rollouts, "supersede")
    async def supersede(original: Any, self: Rollouts, request: Any) -> bool:
        predecessor = self._core.predecessor(request)
        if predecessor is not None:
            request.response.connection.lane_of(predecessor).current = None
            self._core.request_end(predecessor, "cancelled", "superseded")
        return predecessor is not None


@mutant("supersede-rejected", by="bad-create-on-a-paused-lane")
def room_is_made_before_the_create_is_read(on: Patches) -> None:
    """The paused Response is ended first, and then the create is looked at."""

    @on.around(rollout, "preinference")
    async def preinference(original: Any, request: Any, service: Any, emit: Any) -> Any:
        await emit.make_room()
        return await original(request, service, emit)
