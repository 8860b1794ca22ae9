"""One Response, as both ends see it: its state, its open calls, its output, its sequence numbers.

The machine has no role. The server applies an event when it sends it, the client when it receives it, and likewise
the append the other way round; both then agree on where the Response stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from .errors import (
    ConflictingOutput,
    InvalidValue,
    ProtocolViolation,
    ResponseAlreadyEnded,
    ResponseNotPaused,
    UnknownCallId,
)
from .items import FunctionCall, FunctionCallOutput, InputItem, InputMessage, OutputItem, Reasoning
from .messages import (
    OutputItemDone,
    ResponseCompleted,
    ResponseCreated,
    ResponseDone,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
)
from .state import ENDED, PAUSED, TRANSITIONS, UNBORN, State, Stimulus

E = TypeVar("E", bound=ResponseEvent)

_STIMULI: dict[type, Stimulus] = {
    ResponseCreated: Stimulus.CREATED,
    ResponseDone: Stimulus.DONE,
    ResponseCompleted: Stimulus.COMPLETE,
    ResponseFailed: Stimulus.FAIL,
    ResponseIncomplete: Stimulus.CUT,
}
"""Every other event is ``STREAM``."""


@dataclass(slots=True, eq=False)
class ResponseMachine:
    """The state of one Response.

    :ivar pending_calls: calls of local tools that wait for an output, by ``call_id``, in the order of sampling.
    :ivar outputs: what has been appended for the others, by ``call_id``.
    :ivar output: the items that are done, in order.
    :ivar num_pauses: how often ``response.done`` was sent.
    """

    stream_id: str | None = None
    id: str | None = None
    state: State = State.NEW
    next_sequence_number: int = 0
    num_pauses: int = 0
    pending_calls: dict[str, FunctionCall] = field(default_factory=dict)
    outputs: dict[str, FunctionCallOutput] = field(default_factory=dict)
    output: list[OutputItem] = field(default_factory=list)
    _answered: dict[str, FunctionCall] = field(default_factory=dict)

    @property
    def is_paused(self) -> bool:
        """It waits for ``response.append``."""
        return self.state in PAUSED

    @property
    def has_ended(self) -> bool:
        """No message can concern it any more."""
        return self.state in ENDED

    @property
    def is_unborn(self) -> bool:
        """``response.created`` has not come yet."""
        return self.state in UNBORN

    def advance(self, stimulus: Stimulus) -> None:
        """Follow the table.

        :raises ProtocolViolation: it has no entry for this pair. Nothing changes.
        """
        row = TRANSITIONS[self.state]
        if stimulus not in row:
            raise ProtocolViolation(
                f"Response {self.id or '(not created yet)'} is {self.state.value}: "
                f"{stimulus.value!r} is not allowed. See the state table in spec/states.md."
            )
        self.state = row[stimulus]

    # --- events ---------------------------------------------------------------------------------------------------

    def stamp(self, event: E) -> E:
        """The event with this Response's next sequence number and its lane, ready for :meth:`apply`."""
        lane = msgspec.UNSET if self.stream_id is None else self.stream_id
        return msgspec.structs.replace(event, sequence_number=self.next_sequence_number, stream_id=lane)

    def apply(self, event: ResponseEvent) -> None:
        """Take in an event that is being sent or was received.

        :raises ProtocolViolation: not allowed in this state, or its sequence number is not the next one.
        """
        if event.sequence_number != self.next_sequence_number:
            raise ProtocolViolation(
                f"Response {self.id}: sequence_number is {event.sequence_number}, expected {self.next_sequence_number}."
            )
        self.advance(_STIMULI.get(type(event), Stimulus.STREAM))
        self.next_sequence_number += 1
        match event:
            case ResponseCreated():
                self.id = event.response.id
            case OutputItemDone():
                self.output.append(event.item)
                if isinstance(event.item, FunctionCall) and event.item.status == "completed":
                    self.pending_calls[event.item.call_id] = event.item
            case ResponseDone():
                self.num_pauses += 1

    # --- appends --------------------------------------------------------------------------------------------------

    def check_append(self, items: Sequence[InputItem], *, param: str = "input") -> Stimulus:
        """Which stimulus an append of these items is. Changes nothing.

        :raises UnknownCallId: an output's ``call_id`` is none of this Response's calls.
        :raises ConflictingOutput: a call that is answered already gets another output.
        :raises InvalidValue: an item is neither an output nor a message.
        :raises ResponseNotPaused: it brings something new while the model still samples.
        :raises ResponseAlreadyEnded: there is nothing left to append to.
        """
        known = {call_id: output.output for call_id, output in self.outputs.items()}
        news = 0
        for at, item in enumerate(items):
            match item:
                case FunctionCallOutput(call_id=call_id, output=output):
                    if call_id in known:
                        if known[call_id] != output:
                            raise ConflictingOutput(
                                f"Call {call_id!r} is answered already, with a different output. The first one "
                                "stands; leave this one out, or send the same text.",
                                param=f"{param}[{at}].output",
                            )
                    elif call_id in self.pending_calls:
                        known[call_id] = output
                        news += 1
                    else:
                        raise UnknownCallId(
                            f"No call {call_id!r} waits for an output. Open calls: "
                            f"{', '.join(self.pending_calls) or 'none'}.",
                            param=f"{param}[{at}].call_id",
                        )
                case InputMessage():
                    news += 1
                case Reasoning():
                    pass  # the model's own, sent back: it is where it belongs already
                case _:
                    raise InvalidValue(
                        "An append takes function_call_output items and messages only.", param=f"{param}[{at}].type"
                    )
        stimulus = self._append_stimulus(news, len(self.pending_calls.keys() - known.keys()))
        if stimulus not in TRANSITIONS[self.state]:
            if self.has_ended:
                raise ResponseAlreadyEnded(
                    f"Response {self.id} has ended ({self.state.value}). Begin a new one with response.create.",
                    param=param,
                )
            raise ResponseNotPaused(
                f"Response {self.id} is {self.state.value}. Append after response.done.", param=param
            )
        return stimulus

    @staticmethod
    def _append_stimulus(num_new: int, num_left: int) -> Stimulus:
        if not num_new:
            return Stimulus.APPEND_AGAIN
        return Stimulus.APPEND_PART if num_left else Stimulus.APPEND_LAST

    def apply_append(self, items: Sequence[InputItem]) -> Stimulus:
        """Take in an append that is being sent or was received. Raises as :meth:`check_append` does."""
        stimulus = self.check_append(items)
        self.advance(stimulus)
        for item in items:
            if isinstance(item, FunctionCallOutput) and item.call_id in self.pending_calls:
                self._answered[item.call_id] = self.pending_calls.pop(item.call_id)
                self.outputs[item.call_id] = item
        return stimulus

    def refuse_append(self, call_ids: Sequence[str]) -> None:
        """The server refused outputs of these calls, which this side had counted as answered: they are open again.

        :raises ProtocolViolation: the Response has gone on since, so nothing can have been refused.
        """
        self.advance(Stimulus.APPEND_REFUSED)
        for call_id in call_ids:
            if call_id in self._answered:
                self.pending_calls[call_id] = self._answered.pop(call_id)
                del self.outputs[call_id]
