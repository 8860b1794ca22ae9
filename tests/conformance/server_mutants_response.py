"""Servers that are wrong about the life of a Response: its events, their numbers, and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol.events import (
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
from caesura.protocol.response import ResponseMachine
from caesura.protocol.server import ServerProtocol
from caesura.runtime import postinference
from caesura.runtime.context import Context
from caesura.runtime.pending import Answers
from caesura.runtime.turn_events import TurnEvents
from server_mutants import QUIET, Patches, mutant

replace = msgspec.structs.replace

LIFE = "life-of-a-response"


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
        others = {ResponseCreated: ResponseInProgress, ResponseInProgress: ResponseCreated}
        if type(event) not in others:
            return event
        return others[type(event)](**{name: getattr(event, name) for name in event.__struct_fields__})

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
