"""Servers that are wrong about the life of a Response: its numbers, its usage, what its pauses and its end say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol.events import (
    DoneResponse,
    FunctionCallArgumentsDone,
    OutputItemAdded,
    OutputItemDone,
    ResponseCompleted,
    ResponseCreated,
    ResponseDone,
    ResponseEvent,
    ResponseInProgress,
)
from caesura.protocol.items import FunctionCall
from caesura.protocol.resource import Usage
from caesura.protocol.response import ResponseMachine
from caesura.protocol.server import ServerProtocol
from caesura.runtime import postinference
from caesura.runtime.context import Context
from caesura.runtime.pending import Answers, LocalTools
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.turn_events import TurnEvents
from server_mutants import QUIET, Patches, mutant

replace = msgspec.structs.replace

LIFE = "life-of-a-response"

PAUSE = "what-a-pause-says"

USAGE = "usage-counts-each-token-once"


def _after_each_pause(on: Patches, do: Callable[[Context], None]) -> None:
    @on.around(Answers, "__call__")
    async def call(original: Any, self: Answers, calls: Any) -> Any:
        outputs = await original(self, calls)
        do(self._context)
        return outputs


# --- once a Response --------------------------------------------------------------------------------------------------


@mutant("preinference-once", by="counts-of-the-server")
def each_segment_is_prepared_anew(on: Patches) -> None:
    """The request is validated and rendered again after each pause."""

    def prepare(context: Context) -> None:
        context.accounting.preinference_runs += 1

    _after_each_pause(on, prepare)


@mutant("preinference-once", by="counts-of-the-server")
def each_segment_is_computed_anew(on: Patches) -> None:
    """The state of a paused Response is thrown away, and all of its tokens are fed to the model again."""

    def compute(context: Context) -> None:
        context.sequence.ledger.recomputed += context.sequence.ledger.decoded

    _after_each_pause(on, compute)


@mutant("postinference-once", by="counts-of-the-server")
def each_pause_is_followed_by_postinference(on: Patches) -> None:
    """The final Response is made at each pause, as if it were the end."""

    def make(context: Context) -> None:
        context.accounting.postinference_runs += 1
        postinference.final_response(context, "completed")

    _after_each_pause(on, make)


# --- events and their numbers -----------------------------------------------------------------------------------------


@mutant("created-first", by=LIFE)
def the_first_status_is_queued(on: Patches) -> None:
    """``response.created`` says that the Response waits."""
    on.events(
        lambda event: (
            replace(event, response=replace(event.response, status="queued"))
            if isinstance(event, ResponseCreated)
            else event
        )
    )


@mutant("created-first", by=LIFE)
def in_progress_comes_first(on: Patches) -> None:
    """The second event is sent before ``response.created``."""

    def change(event: ResponseEvent) -> ResponseEvent:
        fields = {name: getattr(event, name) for name in ("sequence_number", "stream_id", "response")}
        if isinstance(event, ResponseCreated):
            return ResponseInProgress(**fields)
        return ResponseCreated(**fields) if isinstance(event, ResponseInProgress) else event

    on.events(change)


@mutant("sequence-numbers", by=LIFE)
def numbers_begin_at_1(on: Patches) -> None:
    """The first event has the number 1."""
    on.events(lambda event: replace(event, sequence_number=event.sequence_number + 1))


@mutant("sequence-numbers", by=LIFE, wait=QUIET)
def numbers_begin_anew_after_a_pause(on: Patches) -> None:
    """Each segment is numbered for itself."""

    @on.around(ResponseMachine, "apply")
    def apply(original: Any, self: ResponseMachine, event: ResponseEvent) -> None:
        original(self, event)
        if isinstance(event, ResponseDone):
            self.next_sequence_number = 0


@mutant("sequence-numbers", by=LIFE)
def a_number_is_used_twice(on: Patches) -> None:
    """An item that is done has the number of the event before."""
    on.events(
        lambda event: (
            replace(event, sequence_number=event.sequence_number - 1) if isinstance(event, OutputItemDone) else event
        )
    )


@mutant("sequence-numbers", "append-resumes", by=f"{LIFE} append-ends-the-pause")
def an_append_uses_a_number(on: Patches) -> None:
    """The append that ends a pause is counted as an event."""

    @on.around(ResponseMachine, "apply_append")
    def apply_append(original: Any, self: ResponseMachine, append: Any) -> Any:
        stimulus = original(self, append)
        self.next_sequence_number += not self.is_paused
        return stimulus


@mutant("output-index", by=LIFE)
def indexes_begin_anew_after_a_pause(on: Patches) -> None:
    """Each turn's items are counted for themselves."""

    @on.around(TurnEvents, "__init__")
    def init(original: Any, self: TurnEvents, context: Context, *more: Any) -> None:
        original(self, context, *more)
        bases[self] = len(context.output)

    bases: dict[TurnEvents, int] = {}
    on.set(TurnEvents, "_index", property(lambda self: len(self._context.output) - bases[self]))


@mutant("output-index", by=LIFE)
def calls_and_messages_are_counted_apart(on: Patches) -> None:
    """The index of a call is its place among the calls."""

    def change(event: ResponseEvent) -> ResponseEvent:
        item = getattr(event, "item", None)
        name = getattr(event, "item_id", "") if item is None else item.id
        if isinstance(event, OutputItemAdded):
            places[name] = sum(each[:2] == name[:2] for each in places)
        return replace(event, output_index=places[name]) if name in places else event

    places: dict[str, int] = {}
    on.events(change)


@mutant("event-order", by=LIFE)
def the_arguments_are_done_after_the_call(on: Patches) -> None:
    """``response.function_call_arguments.done`` is sent when the item is done already."""

    @on.around(ServerProtocol, "emit")
    def emit(original: Any, self: ServerProtocol, response: Any, event: ResponseEvent, now: float) -> None:
        if isinstance(event, FunctionCallArgumentsDone):
            held[response] = event
            return
        original(self, response, event, now)
        if response in held:
            original(self, response, held.pop(response), now)

    held: dict[Any, ResponseEvent] = {}


@mutant("event-order", by=LIFE)
def a_call_is_not_added(on: Patches) -> None:
    """What is said of a call begins with its arguments."""

    @on.around(ServerProtocol, "emit")
    def emit(original: Any, self: ServerProtocol, response: Any, event: ResponseEvent, now: float) -> None:
        if not (isinstance(event, OutputItemAdded) and isinstance(event.item, FunctionCall)):
            original(self, response, event, now)


def _final_output(on: Patches, change: Callable[[Context], list[Any]]) -> None:
    @on.around(postinference, "final_response")
    def final_response(original: Any, context: Context, *more: Any) -> Any:
        return replace(original(context, *more), output=change(context))


@mutant("final-output", by=LIFE)
def the_end_has_the_items_of_its_segment(on: Patches) -> None:
    """``response.completed`` is like a pause: what was there at a pause is not repeated."""
    said: dict[str, int] = {}

    def note(context: Context) -> None:
        said[context.response.id] = len(context.output)

    _after_each_pause(on, note)
    _final_output(on, lambda context: context.output[said.get(context.response.id, 0) :])


@mutant("final-output", by=LIFE)
def the_end_has_messages_before_calls(on: Patches) -> None:
    """The output is sorted by what the items are."""
    _final_output(on, lambda context: sorted(context.output, key=lambda item: isinstance(item, FunctionCall)))


@mutant("final-output", by=LIFE)
def something_comes_after_the_end(on: Patches) -> None:
    """The Response says once more that it is in progress, when it has ended."""

    @on.around(ServerProtocol, "emit")
    def emit(original: Any, self: ServerProtocol, response: Any, event: ResponseEvent, now: float) -> None:
        connection = response.connection
        original(self, response, event, now)
        if isinstance(event, ResponseCompleted) and connection is not None:
            late = response.stamp(ResponseInProgress(response=event.response))
            connection.queue(msgspec.json.encode(late).decode(), now)


# --- usage ------------------------------------------------------------------------------------------------------------


def _usage(on: Patches, change: Callable[[Context, Usage], tuple[int, int]]) -> None:
    """``change`` gives other counts of input and output tokens."""

    @on.around(Context, "usage")
    def usage(original: Any, self: Context) -> Usage:
        given, sampled = change(self, original(self))
        return Usage(input_tokens=given, output_tokens=sampled, total_tokens=given + sampled)


@mutant("usage-cumulative", by=USAGE)
def usage_is_that_of_the_segment(on: Patches) -> None:
    """Each pause counts what came since the one before."""
    before: dict[str, tuple[int, int]] = {}

    def change(context: Context, usage: Usage) -> tuple[int, int]:
        last = before.get(context.response.id, (0, 0))
        before[context.response.id] = usage.input_tokens, usage.output_tokens
        return usage.input_tokens - last[0], usage.output_tokens - last[1]

    _usage(on, change)


@mutant("usage-cumulative", by=USAGE)
def usage_counts_the_prompt_of_each_turn(on: Patches) -> None:
    """As a chain of requests would: each turn's whole context is its input."""
    sums: dict[str, int] = {}

    def change(context: Context, usage: Usage) -> tuple[int, int]:
        sums[context.response.id] = sums.get(context.response.id, 0) + usage.total_tokens
        return sums[context.response.id], usage.output_tokens

    _usage(on, change)


@mutant("usage-cumulative", by=USAGE)
def usage_leaves_out_what_is_appended(on: Patches) -> None:
    """Only the first input is counted."""
    _usage(on, lambda context, usage: (context.sequence.ledger.prefilled, usage.output_tokens))


@mutant("usage-cumulative", by=USAGE)
def calls_are_counted_as_input_too(on: Patches) -> None:
    """What was sampled before a pause is the input of what comes after it."""
    _usage(on, lambda context, usage: (usage.input_tokens + usage.output_tokens, usage.output_tokens))


@mutant("usage-cumulative", by=USAGE)
def the_total_leaves_out_what_was_copied(on: Patches) -> None:
    """``total_tokens`` has no cached tokens in it."""

    @on.around(Context, "usage")
    def usage(original: Any, self: Context) -> Usage:
        return replace(original(self), total_tokens=self.sequence.ledger.sampled + self.sequence.ledger.appended)


# --- pauses -----------------------------------------------------------------------------------------------------------


def _pauses(on: Patches, change: Callable[[ResponseMachine, DoneResponse], Any]) -> None:
    @on.around(ResponseMachine, "pause")
    def pause(original: Any, self: ResponseMachine, usage: Usage | None = None) -> ResponseDone:
        return ResponseDone(response=change(self, original(self, usage).response))


@mutant("done-fields", by=PAUSE)
def a_pause_has_no_usage(on: Patches) -> None:
    """What it cost is told at the end."""
    _pauses(on, lambda machine, done: replace(done, usage=None))


@mutant("done-fields", by=PAUSE)
def a_pause_requires_action(on: Patches) -> None:
    """The status is that of a paused run of the Assistants API."""
    _pauses(on, lambda machine, done: replace(done, status="requires_action"))


@mutant("done-fields", by=PAUSE)
def a_pause_has_no_id(on: Patches) -> None:
    """The lane says which Response it is."""
    _pauses(on, lambda machine, done: replace(done, id=None))


@mutant("done-segment", by=PAUSE)
def a_pause_has_its_calls_alone(on: Patches) -> None:
    """The text before the calls is left out."""
    _pauses(
        on,
        lambda machine, done: replace(done, output=[item for item in done.output if isinstance(item, FunctionCall)]),
    )


@mutant("done-segment", "done-size", by=f"{PAUSE} pauses-do-not-grow")
def a_pause_repeats_all_items(on: Patches) -> None:
    """The output is that of the whole Response so far."""
    _pauses(on, lambda machine, done: replace(done, output=machine.output))


@mutant("done-size", by="pauses-do-not-grow")
def a_pause_asks_for_answered_calls(on: Patches) -> None:
    """``required_input`` has every call of the Response."""

    def change(machine: ResponseMachine, done: DoneResponse) -> DoneResponse:
        calls = [item for item in machine.output if isinstance(item, FunctionCall)]
        form = type(done.required_input[0])
        return replace(done, required_input=[form(call_id=call.call_id, name=call.name) for call in calls])

    _pauses(on, change)


@mutant("done-required-input", by=PAUSE)
def the_last_call_is_asked_first(on: Patches) -> None:
    """``required_input`` is a stack."""
    _pauses(on, lambda machine, done: replace(done, required_input=done.required_input[::-1]))


@mutant("done-required-input", by=PAUSE)
def calls_are_asked_by_the_id_of_their_item(on: Patches) -> None:
    """``call_id`` is the ``id`` of the item."""

    def change(machine: ResponseMachine, done: DoneResponse) -> DoneResponse:
        ids = {call.call_id: call.id for call in machine.pending_calls.values()}
        return replace(done, required_input=[replace(each, call_id=ids[each.call_id]) for each in done.required_input])

    _pauses(on, change)


@mutant("done-required-input", by=PAUSE)
def calls_are_asked_by_the_type_of_their_item(on: Patches) -> None:
    """The type is that of the call, not of its output."""
    _pauses(
        on,
        lambda machine, done: replace(
            done, required_input=[replace(each, type="function_call") for each in done.required_input]
        ),
    )


@mutant("done-silence", by="nothing-comes-in-a-pause")
def a_pause_keeps_the_client_awake(on: Patches) -> None:
    """A little after ``response.done`` the Response says that it is in progress."""

    @on.around(LocalTools, "announce")
    def announce(original: Any, self: LocalTools) -> None:
        original(self)
        asyncio.get_running_loop().call_later(0.05, _say_in_progress, self.emit.response)


def _say_in_progress(response: Any) -> None:
    if response.is_paused and response.connection is not None:
        event = response.stamp(ResponseInProgress(response=response.announced))
        response.next_sequence_number += 1
        response.connection.queue(msgspec.json.encode(event).decode(), 0.0)


@mutant("done-silence", by="nothing-comes-in-a-pause")
def an_answered_call_is_shown_again(on: Patches) -> None:
    """After an append that leaves a call open, the Response says that it is in progress."""

    @on.around(Rollouts, "_append")
    def append(original: Any, self: Rollouts, request: Any) -> None:
        original(self, request)
        _say_in_progress(request.response)
