"""Servers that are wrong about appends that have to be refused, and about cancels."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol import append_items, response
from caesura.protocol.append_items import Append
from caesura.protocol.errors import (
    CaesuraError,
    MissingParameter,
    ResponseAlreadyEnded,
    ResponseNotFound,
    ResponseNotPaused,
    ToolCallAlreadyAnswered,
    ToolCallNotFound,
)
from caesura.protocol.events import ResponseCancelled, ResponseEvent, ResponseInProgress
from caesura.protocol.items import FunctionCallOutput, InputMessage, parse_input
from caesura.protocol.messages import ResponseAppend, ResponseCancel
from caesura.protocol.response import ResponseMachine
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.protocol.server_lanes import ServerLane
from caesura.protocol.server_requests import AppendRequested
from caesura.protocol.state import TRANSITIONS, State, Stimulus
from caesura.runtime import postinference
from caesura.runtime.emitter import Emitter
from caesura.runtime.rollouts import Rollouts
from server_mutants import QUIET, Event, Patches, mutant

replace = msgspec.structs.replace


def _appends(on: Patches, around: Callable[..., None]) -> None:
    """``around(original, connection, message, about, now)`` instead of taking an append."""
    on.around(ServerConnection, "_append")(around)


def _checks(on: Patches, around: Callable[..., Stimulus]) -> None:
    """``around(original, response, append)`` instead of checking an append against its Response."""

    @on.around(ResponseMachine, "check_append")
    def check(original: Any, self: ResponseMachine, append: Append, **more: Any) -> Stimulus:
        return around(original, self, append)


# --- all or nothing ---------------------------------------------------------------------------------------------------


@mutant("append-atomic", by="one-bad-item-refuses-all refused-appends-leave-no-trace")
def what_is_good_is_taken(on: Patches) -> None:
    """Outputs are taken one by one up to the first that is bad."""

    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        try:
            original(self, message, about, now)
        except (ToolCallNotFound, ToolCallAlreadyAnswered):
            found = self._addressed(message, {})
            good: list[FunctionCallOutput] = []
            for item in parse_input(message.input):
                known = {each.call_id for each in good}
                if not isinstance(item, FunctionCallOutput) or item.call_id not in found.pending_calls.keys() - known:
                    break
                good.append(item)
            if good:
                self._server.request(AppendRequested(found, Append(tuple(good)), False, message.input, now))
            raise

    _appends(on, append)


@mutant("append-atomic", by="refused-appends-leave-no-trace")
def messages_of_refused_appends_are_kept(on: Patches) -> None:
    """Messages are put aside before the outputs are looked at."""
    all_rollouts: list[Rollouts] = []

    @on.around(Rollouts, "__init__")
    def init(original: Any, self: Rollouts, *more: Any) -> None:
        original(self, *more)
        all_rollouts.append(self)

    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        try:
            original(self, message, about, now)
        except (ToolCallNotFound, ToolCallAlreadyAnswered):
            messages = [item for item in parse_input(message.input) if isinstance(item, InputMessage)]
            all_rollouts[0]._running[self._addressed(message, {})].local.messages += messages
            raise

    _appends(on, append)


@mutant("append-error-input", by="one-bad-item-refuses-all")
def the_input_is_echoed_as_it_was_read(on: Patches) -> None:
    """Fields that are not known are lost in the error."""

    @on.around(ServerConnection, "refuse")
    def refuse(original: Any, self: ServerConnection, *more: Any, raw: Any = msgspec.UNSET, **about: Any) -> None:
        with contextlib.suppress(CaesuraError):
            raw = msgspec.to_builtins(parse_input(raw))
        original(self, *more, raw=raw, **about)


@mutant("append-error-input", by="one-bad-item-refuses-all")
def what_can_not_be_read_has_no_response(on: Patches) -> None:
    """An append is read before its Response is looked for."""

    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        append_items.parse_append(message.input, max_items=self._server.limits.max_append_items)
        original(self, message, about, now)

    _appends(on, append)


@mutant("append-conflict", by="other-output-for-an-answered-call", wait=QUIET)
def the_status_is_not_compared(on: Patches) -> None:
    """The same text is the same output, failed or not."""
    _known_outputs(on, lambda known, given: known.output == given.output)


@mutant("append-conflict", by="other-output-for-an-answered-call", wait=QUIET)
def the_first_output_stands_in_silence(on: Patches) -> None:
    """Another output for an answered call is acknowledged and thrown away."""
    _known_outputs(on, lambda known, given: True)


def _known_outputs(on: Patches, same: Callable[[FunctionCallOutput, FunctionCallOutput], bool]) -> None:
    """An output that is the ``same`` as the known one is taken for a repetition."""

    def check(original: Any, self: ResponseMachine, append: Append) -> Stimulus:
        outputs = []
        for given in append.outputs:
            answer = self.answers.get(given.call_id)
            known = answer.output if answer is not None else None
            outputs.append(known if known is not None and same(known, given) else given)
        stimulus: Stimulus = original(self, dataclasses.replace(append, outputs=tuple(outputs)))
        return stimulus

    _checks(on, check)


@mutant("append-unknown-call", by="forged-call", wait=QUIET)
def unknown_calls_are_passed_over(on: Patches) -> None:
    """An output for no call is dropped, and the append is accepted."""

    def check(original: Any, self: ResponseMachine, append: Append) -> Stimulus:
        known = [each for each in append.outputs if each.call_id in self.pending_calls or each.call_id in self.answers]
        if not known and not append.messages:
            return Stimulus.APPEND_AGAIN
        stimulus: Stimulus = original(self, dataclasses.replace(append, outputs=tuple(known)))
        return stimulus

    _checks(on, check)


@mutant("append-unknown-call", by="forged-call", wait=QUIET)
def a_call_finds_its_response(on: Patches) -> None:
    """An output goes to the Response that has its call, whatever the append names."""

    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        for each in self._server._responses.values():
            if each.pending_calls.keys() & {item.get("call_id") for item in message.input}:
                message = replace(message, response_id=each.id)
        original(self, message, about, now)

    _appends(on, append)


@mutant("append-ended", "cancel-append", by="append-after-the-end append-after-cancel")
def what_has_ended_is_not_found(on: Patches) -> None:
    """A Response that has ended is no Response any more."""

    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        if self._addressed(message, about).has_ended:
            raise ResponseNotFound("There is no such Response.")
        original(self, message, about, now)

    _appends(on, append)


@mutant("append-ended", by="append-after-the-end")
def calls_are_looked_for_first(on: Patches) -> None:
    """An unknown call is found before the end of the Response is."""

    def check(original: Any, self: ResponseMachine, append: Append) -> Stimulus:
        if any(each.call_id not in self.answers for each in append.outputs) and self.has_ended:
            raise ToolCallNotFound("There is no such call.")
        stimulus: Stimulus = original(self, append)
        return stimulus

    _checks(on, check)


@mutant("append-no-response", by="append-to-nothing")
def an_empty_lane_has_no_calls(on: Patches) -> None:
    """Without a Response it is the call that is not found."""
    _addressed_or(on, ResponseAppend, lambda message: ToolCallNotFound("There is no such call."))


@mutant("append-no-response", by="append-to-nothing")
def an_unknown_response_has_ended(on: Patches) -> None:
    """An id that is not known is that of a Response that was forgotten after its end."""
    _addressed_or(
        on,
        ResponseAppend,
        lambda message: ResponseAlreadyEnded("It has ended.") if message.response_id else ResponseNotFound("None."),
    )


def _addressed_or(on: Patches, kind: type, error: Callable[[Any], CaesuraError]) -> None:
    """Another error where a message has no Response."""

    @on.around(ServerConnection, "_addressed")
    def addressed(original: Any, self: ServerConnection, message: Any, about: Event, **more: Any) -> Any:
        try:
            return original(self, message, about, **more)
        except ResponseNotFound as found:
            raise (error(message) if isinstance(message, kind) else found) from None


# --- messages ---------------------------------------------------------------------------------------------------------


@mutant("append-messages-last", by="output-after-a-message", wait=QUIET)
def outputs_are_put_first(on: Patches) -> None:
    """An append is sorted in place of being refused."""

    @on.around(append_items, "as_append")
    def as_append(original: Any, found: Any, **more: Any) -> Append:
        return original(sorted(found, key=lambda item: isinstance(item, InputMessage)), **more)


@mutant("append-messages-last", by="output-after-a-message", wait=QUIET)
def what_is_before_a_message_is_taken(on: Patches) -> None:
    """Only an append that begins with a message is refused."""

    @on.around(append_items, "as_append")
    def as_append(original: Any, found: Any, **more: Any) -> Append:
        if isinstance(found[0], FunctionCallOutput):
            found = sorted(found, key=lambda item: isinstance(item, InputMessage))
        return original(found, **more)


@mutant("append-messages-role", by="assistant-message", wait=QUIET)
def every_role_may_steer(on: Patches) -> None:
    """An append takes the messages that a create takes."""
    on.set(append_items, "ROLES", InputMessage.ROLES)


@mutant("append-messages-paused", by="message-while-sampling", wait=QUIET)
def messages_are_taken_at_any_time(on: Patches) -> None:
    """The state table has an entry too many."""
    row = {**TRANSITIONS[State.IN_PROGRESS], Stimulus.MESSAGES: State.IN_PROGRESS}
    on.set(response, "TRANSITIONS", {**TRANSITIONS, State.IN_PROGRESS: row})


@mutant("append-messages-paused", by="message-while-sampling", wait=QUIET)
def a_message_with_a_known_output_is_known(on: Patches) -> None:
    """An append without a new output is a repetition, whatever else it brings."""

    def check(original: Any, self: ResponseMachine, append: Append) -> Stimulus:
        try:
            stimulus: Stimulus = original(self, append)
        except ResponseNotPaused:
            if not append.outputs:
                raise
            return Stimulus.APPEND_AGAIN
        return stimulus

    _checks(on, check)


# --- cancelling -------------------------------------------------------------------------------------------------------


def _cancels(on: Patches, around: Callable[..., None]) -> None:
    """``around(original, connection, message, about, now)`` instead of taking a cancel."""
    on.around(ServerConnection, "_cancel")(around)


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

    def cancel(original: Any, self: ServerConnection, message: ResponseCancel, about: Event, now: float) -> None:
        if message.response_id is None:
            raise MissingParameter("'response_id' is missing.", param="response_id")
        original(self, message, about, now)

    _cancels(on, cancel)


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

    def cancel(original: Any, self: ServerConnection, message: ResponseCancel, about: Event, now: float) -> None:
        if self._addressed(message, about, unborn_too=True).output:
            original(self, message, about, now)

    _cancels(on, cancel)


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

    def cancel(original: Any, self: ServerConnection, *more: Any) -> None:
        with contextlib.suppress(ResponseNotFound):
            original(self, *more)

    _cancels(on, cancel)


@mutant("cancel-unknown", by="cancel-of-nothing")
def an_unknown_response_was_cancelled(on: Patches) -> None:
    """An id that is not known is that of a Response that was forgotten after its end."""
    _addressed_or(
        on,
        ResponseCancel,
        lambda message: ResponseAlreadyEnded("It has ended.") if message.response_id else ResponseNotFound("None."),
    )


@mutant("cancel-ended", by="cancel-after-the-end", wait=QUIET)
def a_cancel_is_idempotent(on: Patches) -> None:
    """A Response that was cancelled can be cancelled again."""

    def cancel(original: Any, self: ServerConnection, message: ResponseCancel, about: Event, now: float) -> None:
        if self._addressed(message, about, unborn_too=True).state is not State.CANCELLED:
            original(self, message, about, now)

    _cancels(on, cancel)


@mutant("cancel-ended", by="cancel-after-the-end")
def an_ended_response_can_not_be_named(on: Patches) -> None:
    """A cancel finds open Responses only."""

    def cancel(original: Any, self: ServerConnection, message: ResponseCancel, about: Event, now: float) -> None:
        if self._addressed(message, about, unborn_too=True).has_ended:
            raise ResponseNotFound("There is no such Response.")
        original(self, message, about, now)

    _cancels(on, cancel)
