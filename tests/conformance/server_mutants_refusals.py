"""Servers that are wrong about appends that have to be refused."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol import append_items, response
from caesura.protocol.append_items import Append
from caesura.protocol.errors import (
    CaesuraError,
    ResponseAlreadyEnded,
    ResponseNotFound,
    ResponseNotPaused,
    ToolCallAlreadyAnswered,
    ToolCallNotFound,
)
from caesura.protocol.items import FunctionCallOutput, InputMessage, parse_input
from caesura.protocol.messages import ResponseAppend
from caesura.protocol.response import Answer, ResponseMachine
from caesura.protocol.server_connection import ServerConnection
from caesura.protocol.server_requests import AppendRequested
from caesura.protocol.state import TRANSITIONS, State, Stimulus
from caesura.runtime.rollouts import Rollouts
from server_mutants import QUIET, Event, Patches, mutant

replace = msgspec.structs.replace


def _checks(on: Patches, around: Callable[..., Stimulus]) -> None:
    """``around(original, response, append)`` instead of checking an append against its Response."""

    @on.around(ResponseMachine, "check_append")
    def check(original: Any, self: ResponseMachine, append: Append, **more: Any) -> Stimulus:
        return around(original, self, append)


# --- all or nothing ---------------------------------------------------------------------------------------------------


@mutant("append-atomic", by="one-bad-item-refuses-all refused-appends-leave-no-trace")
def what_is_good_is_taken(on: Patches) -> None:
    """Outputs are taken one by one up to the first that is bad."""

    @on.around(ServerConnection, "_append")
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
                self._server.request(AppendRequested(found, Append(tuple(good)), False, message.input))
            raise


@mutant("append-atomic", by="refused-appends-leave-no-trace")
def messages_of_refused_appends_are_kept(on: Patches) -> None:
    """Messages are put aside before the outputs are looked at."""
    all_rollouts: list[Rollouts] = []

    @on.around(Rollouts, "__init__")
    def init(original: Any, self: Rollouts, *more: Any) -> None:
        original(self, *more)
        all_rollouts.append(self)

    @on.around(ServerConnection, "_append")
    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        try:
            original(self, message, about, now)
        except (ToolCallNotFound, ToolCallAlreadyAnswered):
            messages = [item for item in parse_input(message.input) if isinstance(item, InputMessage)]
            all_rollouts[0]._running[self._addressed(message, {})].local.messages += messages
            raise


@mutant("append-atomic", by="one-bad-item-refuses-all")
def refused_outputs_are_remembered(on: Patches) -> None:
    """What a call was once answered with stands, though the append was refused."""

    @on.around(ServerConnection, "_append")
    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        try:
            original(self, message, about, now)
        except (ToolCallNotFound, ToolCallAlreadyAnswered):
            found = self._addressed(message, {})
            for item in parse_input(message.input):
                if isinstance(item, FunctionCallOutput) and item.call_id in found.pending_calls:
                    found.answers.setdefault(item.call_id, Answer(item))
            raise


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

    @on.around(ServerConnection, "_append")
    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        append_items.parse_append(message.input, max_items=self._server.limits.max_append_items)
        original(self, message, about, now)


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

    @on.around(ServerConnection, "_append")
    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        for each in self._server._responses.values():
            if each.pending_calls.keys() & {item.get("call_id") for item in message.input}:
                message = replace(message, response_id=each.id)
        original(self, message, about, now)


@mutant("append-ended", "cancel-append", by="append-after-the-end append-after-cancel")
def what_has_ended_is_not_found(on: Patches) -> None:
    """A Response that has ended is no Response any more."""

    @on.around(ServerConnection, "_append")
    def append(original: Any, self: ServerConnection, message: ResponseAppend, about: Event, now: float) -> None:
        if self._addressed(message, about).has_ended:
            raise ResponseNotFound("There is no such Response.")
        original(self, message, about, now)


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
    addressed_or(on, ResponseAppend, lambda message: ToolCallNotFound("There is no such call."))


@mutant("append-no-response", by="append-to-nothing")
def an_unknown_response_has_ended(on: Patches) -> None:
    """An id that is not known is that of a Response that was forgotten after its end."""
    addressed_or(
        on,
        ResponseAppend,
        lambda message: ResponseAlreadyEnded("It has ended.") if message.response_id else ResponseNotFound("None."),
    )


def addressed_or(on: Patches, kind: type, error: Callable[[Any], CaesuraError]) -> None:
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
