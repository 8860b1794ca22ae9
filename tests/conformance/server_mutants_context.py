"""Servers that are wrong about what an append may bring, and about what of it enters the context."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec
from caesura.protocol import append_items, items
from caesura.protocol.append_items import Append
from caesura.protocol.errors import InvalidValue
from caesura.protocol.response import ResponseMachine
from caesura.protocol.state import Stimulus
from caesura.runtime.context import Context
from caesura.runtime.pending import Call, LocalTools, Outputs
from caesura.sampler.chat_template import ChatTemplate
from server_mutants import QUIET, Event, Patches, mutant
from server_mutants_appends import acknowledgements

replace = msgspec.structs.replace

# --- messages ---------------------------------------------------------------------------------------------------------


@mutant("append-messages", by="messages-after-outputs")
def messages_are_read_and_dropped(on: Patches) -> None:
    """They are accepted, and nobody adds them."""

    @on.around(LocalTools, "resolve")
    def resolve(original: Any, self: LocalTools, append: Append) -> None:
        original(self, dataclasses.replace(append, messages=()))


@mutant("append-messages", by="messages-after-outputs")
def developers_may_not_steer(on: Patches) -> None:
    """Messages are taken from users alone."""
    on.set(append_items, "ROLES", ("user",))


@mutant("append-messages", by="messages-come-after-all-outputs")
def messages_of_the_last_append_alone(on: Patches) -> None:
    """Those that came with a call answered before are lost."""

    @on.around(LocalTools, "resolve")
    def resolve(original: Any, self: LocalTools, append: Append) -> None:
        self.messages = []
        original(self, append)


@mutant("append-messages", by="messages-come-after-all-outputs")
def the_latest_message_comes_first(on: Patches) -> None:
    """Messages that came later are put before those that came earlier."""

    @on.around(LocalTools, "resolve")
    def resolve(original: Any, self: LocalTools, append: Append) -> None:
        before, self.messages = self.messages, []
        original(self, append)
        self.messages += before


@mutant("append-messages", by="messages-come-after-all-outputs")
def a_message_follows_the_output_that_it_came_with(on: Patches) -> None:
    """It is in the context before the output of a call that was answered later."""
    early: dict[int, int] = {}

    @on.around(LocalTools, "resolve")
    def resolve(original: Any, self: LocalTools, append: Append) -> None:
        original(self, append)
        if append.messages and self.emit.response.is_paused:
            early[len(self.messages)] = len(self.messages)

    @on.around(ChatTemplate, "encode_suffix")
    def encode_suffix(original: Any, self: ChatTemplate, messages: list[Any], **more: Any) -> Any:
        num = max(early, default=0)
        results = [each for each in messages if each["role"] == "tool"]
        others = [each for each in messages if each["role"] != "tool"]
        return original(self, [*results[:1], *others[:num], *results[1:], *others[num:]], **more)


# --- outputs ----------------------------------------------------------------------------------------------------------


def _outputs(on: Patches, change: Any) -> None:
    """Change an output before it is read, or refuse it."""

    @on.around(items, "parse_item")
    def item(original: Any, raw: Any, at: str) -> Any:
        if isinstance(raw, dict) and raw.get("type") == "function_call_output":
            raw = change(raw)
        return original(raw, at)


def _refuse_output(test: Any) -> Any:
    def change(raw: Event) -> Event:
        if test(raw):
            raise InvalidValue("This output can't be used.", param="input")
        return raw

    return change


@mutant("append-parts", by="output-as-parts")
def an_output_is_a_string(on: Patches) -> None:
    """A list of parts is refused."""
    _outputs(on, _refuse_output(lambda raw: isinstance(raw.get("output"), list)))


@mutant("append-parts", by="output-as-parts")
def an_empty_output_is_none(on: Patches) -> None:
    """An empty string is taken for an output that is missing."""
    _outputs(on, _refuse_output(lambda raw: not raw.get("output")))


@mutant("append-parts", by="output-as-parts")
def the_first_part_is_the_output(on: Patches) -> None:
    """The other parts of a list are dropped."""
    _outputs(on, lambda raw: {**raw, "output": raw["output"][:1]} if isinstance(raw.get("output"), list) else raw)


@mutant("append-failed", by="failed-output")
def no_status_but_completed(on: Patches) -> None:
    """Outputs are taken for those of the Responses API."""
    _outputs(on, _refuse_output(lambda raw: raw.get("status", "completed") != "completed"))


@mutant("append-failed", by="failed-output", wait=QUIET)
def a_failed_call_stays_open(on: Patches) -> None:
    """A failed output is acknowledged, and the call has to be answered again."""

    @on.around(ResponseMachine, "apply_append")
    def apply_append(original: Any, self: ResponseMachine, append: Append) -> Stimulus:
        failed = {each.call_id for each in append.outputs if each.status == "failed"}
        kept = {call: item for call, item in self.pending_calls.items() if call in failed}
        stimulus = original(self, append)
        self.pending_calls.update(kept)
        return stimulus

    acknowledgements(
        on,
        lambda response, event: replace(
            event, answered=[each for each in event.answered if each not in response.pending_calls]
        ),
    )


# --- the context ------------------------------------------------------------------------------------------------------


def _arrivals(on: Patches, note: Any) -> None:
    """Outputs are rendered in an order of their own: ``note`` gives their calls' places in it."""
    places: dict[str, int] = {}

    @on.around(LocalTools, "resolve")
    def resolve(original: Any, self: LocalTools, append: Append) -> None:
        original(self, append)
        for call in note(self, append):
            places.setdefault(call, len(places))

    @on.around(Context, "render")
    def render(original: Any, self: Context, calls: Sequence[Call], outputs: Outputs) -> list[int]:
        order = sorted(range(len(calls)), key=lambda at: places.get(calls[at].call_id, len(places)))
        changed = dataclasses.replace(outputs, answers=tuple(outputs.answers[at] for at in order))
        return original(self, [calls[at] for at in order], changed)


@mutant("append-order", by="order-of-sampling")
def outputs_are_rendered_as_they_came(on: Patches) -> None:
    """The order of the appends, and in an append its own order."""
    _arrivals(on, lambda local, append: append.call_ids)


@mutant("append-order", by="order-of-sampling")
def outputs_are_ordered_within_an_append(on: Patches) -> None:
    """The order of the calls in each append; appends come one after the other."""
    _arrivals(on, lambda local, append: [call.call_id for call in local._calls if call.call_id in append.call_ids])
