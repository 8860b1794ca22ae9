"""Servers that are wrong about appends: which Response takes them, how they are answered, and when they come again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol.append_items import Append
from caesura.protocol.codec import encode
from caesura.protocol.errors import InvalidValue, ResponseNotPaused, ToolCallAlreadyAnswered
from caesura.protocol.events import RequiredInput, ResponseAppended, ResponseDone, ResponseEvent
from caesura.protocol.messages import ResponseAppend
from caesura.protocol.response import ResponseMachine
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.protocol.server_requests import AppendRequested
from caesura.protocol.state import Stimulus
from caesura.runtime.pending import LocalTools
from server_mutants import QUIET, Event, Patches, mutant

replace = msgspec.structs.replace

AGAIN = "same-output-again"

ONE_BY_ONE = "calls-answered-one-by-one"

# --- which Response ---------------------------------------------------------------------------------------------------


@mutant("append-response-id", by="append-names-its-response")
def an_append_is_for_its_lane_alone(on: Patches) -> None:
    """``response_id`` is not looked at."""

    @on.around(ServerConnection, "_named")
    def named(original: Any, self: ServerConnection, message: Any) -> Any:
        return None if isinstance(message, ResponseAppend) else original(self, message)


@mutant("append-response-id", by="append-names-its-response")
def an_append_is_for_the_last_pause(on: Patches) -> None:
    """It goes to the Response of the connection that paused last, whatever it names."""
    _addressed(on, lambda connection, message: _last(connection, only_paused=True))


@mutant("append-lane", by="append-goes-to-its-lane")
def an_append_without_id_is_for_the_latest(on: Patches) -> None:
    """The lane used last takes it, not its own."""
    _addressed(on, lambda connection, message: None if message.response_id else _last(connection))


@mutant("append-lane", by="append-goes-to-its-lane")
def an_append_without_id_is_for_the_default_lane(on: Patches) -> None:
    """Its ``stream_id`` is not looked at."""

    @on.around(ServerConnection, "_addressed")
    def addressed(original: Any, self: ServerConnection, message: Any, about: Event, **more: Any) -> Any:
        if isinstance(message, ResponseAppend):
            message = replace(message, stream_id=None)
        return original(self, message, about, **more)


def _addressed(on: Patches, find: Any) -> None:
    """Another Response for appends, unless ``find`` gives None."""

    @on.around(ServerConnection, "_addressed")
    def addressed(original: Any, self: ServerConnection, message: Any, about: Event, **more: Any) -> Any:
        found = find(self, message) if isinstance(message, ResponseAppend) else None
        return original(self, message, about, **more) if found is None else found


def _last(connection: ServerConnection, *, only_paused: bool = False) -> Any:
    found = [lane.open for lane in connection._lanes if lane.open is not None]
    return ([each for each in found if each.is_paused or not only_paused] or [None])[-1]


# --- the end of a pause -----------------------------------------------------------------------------------------------


def _stimulus(on: Patches, change: Callable[[ResponseMachine, int, Stimulus], Stimulus]) -> None:
    """Take an append for another stimulus. The function is given how many open calls it answers."""

    @on.around(ResponseMachine, "check_append")
    def check(original: Any, self: ResponseMachine, append: Append, **more: Any) -> Stimulus:
        found = original(self, append, **more)
        return change(self, sum(call in self.pending_calls for call in append.call_ids), found)


def _as_part(stimulus: Stimulus, test: bool) -> Stimulus:
    return Stimulus.APPEND_PART if stimulus is Stimulus.APPEND_LAST and test else stimulus


@mutant("append-resumes", by="append-ends-the-pause")
def the_last_append_is_acknowledged(on: Patches) -> None:
    """Every append that is accepted has its ``response.appended``."""

    @on.around(ServerProtocol, "accept")
    def accept(original: Any, self: ServerProtocol, request: Any, now: float) -> None:
        was_paused = request.response.is_paused
        original(self, request, now)
        if was_paused and not request.response.is_paused:
            answered = ResponseAppended(response_id=request.response.id, answered=request.append.call_ids, pending=[])
            self.emit(request.response, answered, now)


@mutant("append-resumes", by="append-ends-the-pause")
def an_append_answers_one_call(on: Patches) -> None:
    """One that answers two open calls at once is not seen to be the last."""
    _stimulus(on, lambda self, num_new, found: _as_part(found, num_new > 1))


@mutant("append-one-by-one", by=ONE_BY_ONE)
def a_pause_ends_by_an_append_of_all(on: Patches) -> None:
    """Outputs of former appends do not count."""

    def change(self: ResponseMachine, num_new: int, found: Stimulus) -> Stimulus:
        assert self.last_pause is not None
        return _as_part(found, num_new < len(self.last_pause.response.required_input))

    _stimulus(on, change)


@mutant("append-one-by-one", by=ONE_BY_ONE)
def calls_are_answered_in_their_order(on: Patches) -> None:
    """The second call can't be answered before the first."""

    @on.around(ResponseMachine, "check_append")
    def check(original: Any, self: ResponseMachine, append: Append, **more: Any) -> Stimulus:
        expected = [call for call in append.call_ids if call in self.pending_calls]
        if self.is_paused and expected != list(self.pending_calls)[: len(expected)]:
            raise InvalidValue("Answer the calls in their order.", param="input")
        return original(self, append, **more)


@mutant("append-ack", by=ONE_BY_ONE, wait=QUIET)
def it_resumes_after_a_partial_append(on: Patches) -> None:
    """The first append of a pause ends it; the calls that it leaves open have no output."""
    _stimulus(on, lambda self, num_new, found: Stimulus.APPEND_LAST if num_new and self.is_paused else found)

    @on.around(LocalTools, "resolve")
    def resolve(original: Any, self: LocalTools, append: Append) -> None:
        original(self, append)
        for future in self._futures.values():
            if not future.done():
                future.set_result("")


# --- acknowledgements -------------------------------------------------------------------------------------------------


@mutant("append-ack", by=ONE_BY_ONE, wait=QUIET)
def an_append_in_a_pause_is_not_acknowledged(on: Patches) -> None:
    """Only early outputs are."""
    acknowledgements(on, lambda response, event: None if response.is_paused else event)


@mutant("append-ack", by=ONE_BY_ONE)
def pending_is_what_was_open_before(on: Patches) -> None:
    """An acknowledgement is made before its append is taken in."""
    acknowledgements(on, lambda response, event: replace(event, pending=[*event.answered, *event.pending]))


@mutant("append-ack", by=ONE_BY_ONE)
def answered_is_all_that_was_ever(on: Patches) -> None:
    """An acknowledgement has the calls of former appends too."""
    acknowledgements(on, lambda response, event: replace(event, answered=list(response.answers)))


@mutant("append-ack-numbered", by=ONE_BY_ONE)
def an_acknowledgement_has_the_number_before(on: Patches) -> None:
    """It is no event of the Response, and says after which one it came."""

    def change(response: Any, event: ResponseAppended) -> None:
        stamped = response.stamp(event)
        frame = encode(replace(stamped, sequence_number=stamped.sequence_number - 1))
        response.connection.queue(frame, 0.0)

    acknowledgements(on, change)


@mutant("append-ack-numbered", by=ONE_BY_ONE, wait=QUIET)
def an_acknowledgement_has_no_number(on: Patches) -> None:
    """It belongs to the connection."""

    def change(response: Any, event: ResponseAppended) -> None:
        stamped = msgspec.to_builtins(response.stamp(event))
        del stamped["sequence_number"]
        response.connection.queue(msgspec.json.encode(stamped).decode(), 0.0)

    acknowledgements(on, change)


def acknowledgements(on: Patches, change: Any) -> None:
    """What is sent as one, or None if nothing more is."""

    @on.around(ServerProtocol, "emit")
    def emit(original: Any, self: ServerProtocol, response: Any, event: ResponseEvent, now: float) -> None:
        changed = change(response, event) if isinstance(event, ResponseAppended) else event
        if changed is not None:
            original(self, response, changed, now)


# --- early outputs ----------------------------------------------------------------------------------------------------


@mutant("append-early", by="call-answered-while-sampling")
def outputs_are_taken_in_a_pause_alone(on: Patches) -> None:
    """An output that is early is refused."""

    @on.around(ServerConnection, "_append")
    def append(original: Any, self: ServerConnection, message: Any, about: Event, now: float) -> None:
        if self._addressed(message, about).is_sampling:
            raise ResponseNotPaused("Wait for response.done.")
        original(self, message, about, now)


@mutant("append-early", by="call-answered-while-sampling")
def a_pause_asks_for_early_answers_again(on: Patches) -> None:
    """``required_input`` has all calls of the turn."""

    @on.around(ResponseMachine, "pause")
    def pause(original: Any, self: ResponseMachine, usage: Any = None) -> ResponseDone:
        done = original(self, usage).response
        calls = [RequiredInput(call_id=item.call_id, name=item.name) for item in done.output]
        return ResponseDone(response=replace(done, required_input=calls))


@mutant("append-early-no-pause", by="no-pause-without-open-calls")
def every_call_is_followed_by_a_pause(on: Patches) -> None:
    """``response.done`` comes whatever was answered before."""

    @on.around(LocalTools, "announce")
    def announce(original: Any, self: LocalTools) -> None:
        assert self.context is not None
        self.emit(self.emit.response.pause(self.context.usage()))
        self.emit.flush()


# --- repeating --------------------------------------------------------------------------------------------------------


def _repeats(on: Patches, do: Any) -> None:
    """Do this, before an append that is a repetition is taken, or raise."""

    @on.around(ResponseMachine, "check_append")
    def check(original: Any, self: ResponseMachine, append: Append, **more: Any) -> Stimulus:
        stimulus = original(self, append, **more)
        if stimulus is Stimulus.APPEND_AGAIN:
            do(self)
        return stimulus


@mutant("append-idempotent", by=AGAIN)
def a_call_is_answered_once(on: Patches) -> None:
    """The same output again is a conflict."""

    def refuse(response: ResponseMachine) -> None:
        raise ToolCallAlreadyAnswered("It is answered already.")

    _repeats(on, refuse)


@mutant("append-idempotent", by=AGAIN)
def nothing_is_repeated_while_sampling(on: Patches) -> None:
    """A repetition that comes when the pause is over is refused."""

    def refuse(response: ResponseMachine) -> None:
        if response.is_sampling:
            raise ResponseNotPaused("The Response goes on already.")

    _repeats(on, refuse)


@mutant("append-idempotent", by=AGAIN, wait=QUIET)
def a_repetition_is_passed_over(on: Patches) -> None:
    """It changes nothing, so there is nothing to say."""

    @on.around(ServerProtocol, "request")
    def request(original: Any, self: ServerProtocol, request: Any) -> None:
        if not (isinstance(request, AppendRequested) and request.is_repeat):
            original(self, request)


@mutant("append-idempotent", by=AGAIN)
def messages_are_repeated_too(on: Patches) -> None:
    """The messages of an append that comes again are added again."""

    @on.around(ServerProtocol, "request")
    def request(original: Any, self: ServerProtocol, request: Any) -> None:
        if isinstance(request, AppendRequested) and request.append.messages:
            request = dataclasses.replace(request, is_repeat=False)
        original(self, request)


@mutant("append-idempotent", by=AGAIN)
def an_output_comes_again_alone(on: Patches) -> None:
    """Behind a known output, a new one is refused."""

    @on.around(ResponseMachine, "check_append")
    def check(original: Any, self: ResponseMachine, append: Append, **more: Any) -> Stimulus:
        stimulus = original(self, append, **more)
        if stimulus is not Stimulus.APPEND_AGAIN and any(call in self.answers for call in append.call_ids):
            raise ToolCallAlreadyAnswered("It is answered already.")
        return stimulus


@mutant("append-idempotent", "append-conflict", by=f"{AGAIN} other-output-for-an-answered-call")
def answers_are_forgotten_at_the_next_pause(on: Patches) -> None:
    """A call of a former pause is as unknown as one that never was."""

    @on.around(ResponseMachine, "apply")
    def apply(original: Any, self: ResponseMachine, event: ResponseEvent) -> None:
        original(self, event)
        if isinstance(event, ResponseDone):
            self.answers.clear()
