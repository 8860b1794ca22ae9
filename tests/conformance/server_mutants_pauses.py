"""Servers that are wrong about usage, and about what a pause says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from caesura.protocol.events import (
    DoneResponse,
    ResponseDone,
    ResponseInProgress,
)
from caesura.protocol.items import FunctionCall
from caesura.protocol.resource import Usage
from caesura.protocol.response import ResponseMachine
from caesura.runtime.context import Context
from caesura.runtime.pending import LocalTools
from caesura.runtime.rollouts import Rollouts
from server_mutants import Patches, mutant

replace = msgspec.structs.replace

PAUSE = "what-a-pause-says"

USAGE = "usage-counts-each-token-once"

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
