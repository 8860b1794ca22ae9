"""Servers that are wrong about cancels."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol.errors import (
    MissingParameter,
    ResponseAlreadyEnded,
    ResponseNotFound,
)
from caesura.protocol.events import ResponseCancelled, ResponseEvent, ResponseInProgress
from caesura.protocol.messages import ResponseCancel
from caesura.protocol.response import ResponseMachine
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.protocol.server_lanes import ServerLane
from caesura.protocol.state import State
from caesura.runtime import postinference
from caesura.runtime.emitter import Emitter
from caesura.runtime.rollouts import Rollouts
from server_mutants import QUIET, Event, Patches, mutant
from server_mutants_refusals import addressed_or

replace = msgspec.structs.replace


@mutant("cancel-sampling", by="cancel-while-sampling")
def a_cancel_is_for_pauses(on: Patches) -> None:
    """What is being sampled is sampled to its end."""

    @on.around(Rollouts, "_end")
    def end(original: Any, self: Rollouts, request: Any) -> None:
        if not request.response.is_sampling:
            original(self, request)


@mutant("cancel-sampling", "cancel-paused", by="cancel-while-sampling cancel-in-a-pause")
def a_cancel_needs_an_id(on: Patches) -> None:
    """A cancel that names no Response is refused."""

    @on.around(ServerConnection, "_cancel")
    def cancel(original: Any, self: ServerConnection, message: ResponseCancel, about: Event, now: float) -> None:
        if message.response_id is None:
            raise MissingParameter("'response_id' is missing.", param="response_id")
        original(self, message, about, now)


@mutant("cancel-sampling", by="cancel-while-sampling", wait=QUIET)
def a_cancelled_response_keeps_its_lane(on: Patches) -> None:
    """The next create waits for its end for ever."""
    on.set(
        ServerLane,
        "is_free",
        property(
            lambda lane: (
                lane.requested is None
                and (lane.current is None or lane.current.state not in (State.IN_PROGRESS, State.CANCELLED))
            )
        ),
    )


@mutant("cancel-sampling", by="cancel-while-sampling")
def an_event_comes_after_the_cancel(on: Patches) -> None:
    """What was sampled meanwhile is sent behind the end."""

    @on.around(ServerProtocol, "emit")
    def emit(original: Any, self: ServerProtocol, cancelled: Any, event: ResponseEvent, now: float) -> None:
        connection = cancelled.connection
        original(self, cancelled, event, now)
        if isinstance(event, ResponseCancelled) and connection is not None:
            late = cancelled.stamp(ResponseInProgress(response=event.response))
            connection.queue(msgspec.json.encode(late).decode(), now)


@mutant("cancel-sampling", by="cancel-at-once")
def what_has_done_nothing_can_not_be_cancelled(on: Patches) -> None:
    """A cancel that comes before the first item is done is lost."""

    @on.around(ServerConnection, "_cancel")
    def cancel(original: Any, self: ServerConnection, message: ResponseCancel, about: Event, now: float) -> None:
        if self._addressed(message, about, unborn_too=True).output:
            original(self, message, about, now)


@mutant("cancel-sampling", by="cancel-at-once")
def what_has_not_begun_can_not_be_cancelled(on: Patches) -> None:
    """A cancel finds no create that is being looked at; and that takes a while."""

    @on.around(Emitter, "begin")
    async def begin(original: Any, self: Emitter) -> None:
        await asyncio.sleep(0.2)
        await original(self)

    @on.around(ServerConnection, "_addressed")
    def addressed(original: Any, self: ServerConnection, message: Any, about: Event, **more: Any) -> Any:
        return original(self, message, about)


@mutant("cancel-paused", by="cancel-in-a-pause")
def a_cancelled_pause_is_incomplete(on: Patches) -> None:
    """A paused Response that is cancelled ends as one that was cut short."""

    @on.around(ServerProtocol, "request_end")
    def request_end(original: Any, self: ServerProtocol, ended: Any, status: str, reason: str) -> None:
        original(self, ended, "incomplete" if ended.is_paused else status, reason)


@mutant("cancel-paused", by="cancel-in-a-pause", wait=QUIET)
def a_pause_is_cancelled_when_it_is_over(on: Patches) -> None:
    """A cancel is carried out at the next step of the model."""

    @on.around(Rollouts, "_end")
    def end(original: Any, self: Rollouts, request: Any) -> None:
        if not request.response.is_paused:
            original(self, request)


def _final(on: Patches, change: Callable[[Any, Any], Any]) -> None:
    """``change(context, final)`` is what a Response that was cancelled says of itself."""

    @on.around(postinference, "final_response")
    def final_response(original: Any, context: Any, status: str, *more: Any) -> Any:
        final = original(context, status, *more)
        return change(context, final) if status == "cancelled" else final


@mutant("cancel-final", by="what-a-cancelled-response-says")
def a_cancelled_response_has_no_reason(on: Patches) -> None:
    """``incomplete_details`` is for what is incomplete."""
    _final(on, lambda context, final: replace(final, incomplete_details=None))


@mutant("cancel-final", by="what-a-cancelled-response-says")
def a_cancelled_response_has_no_output(on: Patches) -> None:
    """What was sampled is thrown away."""
    _final(on, lambda context, final: replace(final, output=[]))


@mutant("cancel-final", by="what-a-cancelled-response-says")
def a_cancelled_response_lacks_its_last_item(on: Patches) -> None:
    """The calls that nobody answered are left out."""
    _final(on, lambda context, final: replace(final, output=final.output[:-1]))


@mutant("cancel-append", by="append-after-cancel")
def nobody_says_how_it_ended(on: Patches) -> None:
    """The error for an append to an ended Response has one message for all."""
    on.set(ResponseMachine, "_refused", lambda self, stimulus: ResponseAlreadyEnded("This Response has ended."))


@mutant("cancel-unknown", by="cancel-of-nothing", wait=QUIET)
def a_cancel_of_nothing_is_done(on: Patches) -> None:
    """What is not there needs no cancel."""

    @on.around(ServerConnection, "_cancel")
    def cancel(original: Any, self: ServerConnection, *more: Any) -> None:
        with contextlib.suppress(ResponseNotFound):
            original(self, *more)


@mutant("cancel-unknown", by="cancel-of-nothing")
def an_unknown_response_was_cancelled(on: Patches) -> None:
    """An id that is not known is that of a Response that was forgotten after its end."""
    addressed_or(
        on,
        ResponseCancel,
        lambda message: ResponseAlreadyEnded("It has ended.") if message.response_id else ResponseNotFound("None."),
    )


@mutant("cancel-ended", by="cancel-after-the-end", wait=QUIET)
def a_cancel_is_idempotent(on: Patches) -> None:
    """A Response that was cancelled can be cancelled again."""

    @on.around(ServerConnection, "_cancel")
    def cancel(original: Any, self: ServerConnection, message: ResponseCancel, about: Event, now: float) -> None:
        if self._addressed(message, about, unborn_too=True).state is not State.CANCELLED:
            original(self, message, about, now)


@mutant("cancel-ended", by="cancel-after-the-end")
def an_ended_response_can_not_be_named(on: Patches) -> None:
    """A cancel finds open Responses only."""

    @on.around(ServerConnection, "_cancel")
    def cancel(original: Any, self: ServerConnection, message: ResponseCancel, about: Event, now: float) -> None:
        if self._addressed(message, about, unborn_too=True).has_ended:
            raise ResponseNotFound("There is no such Response.")
        original(self, message, about, now)
