"""One Response, as both ends see it: its state, its open calls, its output, its sequence numbers.

The machine has no role. The server applies an event when it sends it, the client when it receives it; the server takes
an append in when it accepts it, the client when it hears of that. Both then agree on where the Response stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard, TypeVar

import msgspec

from .append_items import Append
from .errors import InvalidRequest, ProtocolViolation, ToolCallAlreadyAnswered, ToolCallNotFound
from .events import (
    DoneResponse,
    OutputItemAdded,
    OutputItemDone,
    RequiredInput,
    ResponseAppended,
    ResponseCancelled,
    ResponseCompleted,
    ResponseCreated,
    ResponseDone,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
    Snapshot,
)
from .items import FunctionCall, FunctionCallOutput, InputMessage, OutputItem
from .resource import Response, Usage
from .state import ENDED, PAUSED, SAMPLING, TRANSITIONS, UNBORN, State, Stimulus, refusal

E = TypeVar("E", bound=ResponseEvent)

_STIMULI: dict[type, Stimulus] = {
    ResponseCreated: Stimulus.CREATED,
    ResponseDone: Stimulus.DONE,
    ResponseAppended: Stimulus.ACKNOWLEDGE,
    ResponseCompleted: Stimulus.COMPLETE,
    ResponseFailed: Stimulus.FAIL,
    ResponseIncomplete: Stimulus.CUT,
    ResponseCancelled: Stimulus.CANCELLED,
}
"""Every other event is ``STREAM``."""

IN_PROGRESS = "in_progress"
"""The status of an item or a Response that is not done."""

_ENDS = {
    "completed": State.COMPLETED,
    "failed": State.FAILED,
    "incomplete": State.INCOMPLETE,
    "cancelled": State.CANCELLED,
}

_GOES_ON = frozenset({Stimulus.STREAM, Stimulus.DONE, Stimulus.COMPLETE})
"""What only a Response that is not paused sends."""


def _is_to_answer(item: OutputItem) -> TypeGuard[FunctionCall]:
    """Whether it is a call whose output somebody has to give; one that was cut is not."""
    return isinstance(item, FunctionCall) and item.status == "completed"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered with. ``messages`` came with it; None where only the answer's acceptance is known."""

    output: FunctionCallOutput | None = None
    messages: tuple[InputMessage, ...] = ()


@dataclass(slots=True, eq=False)
class ResponseMachine:
    """The state of one Response.

    :ivar pending_calls: calls of local tools that wait for an output, by ``call_id``, in the order of sampling.
    :ivar answers: what the others were answered with, by ``call_id``.
    :ivar items: the output items, by ``output_index``; one that is not done as it was added.
    :ivar segment: those that were done since the last pause.
    :ivar num_pauses: how often ``response.done`` was sent.
    :ivar final: the Response as it ended.
    """

    stream_id: str | None = None
    id: str | None = None
    state: State = State.NEW
    next_sequence_number: int = 0
    num_pauses: int = 0
    pending_calls: dict[str, FunctionCall] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    items: dict[int, OutputItem] = field(default_factory=dict)
    segment: list[OutputItem] = field(default_factory=list)
    announced: Response | None = None
    last_pause: ResponseDone | None = None
    final: Response | None = None

    @property
    def is_paused(self) -> bool:
        """It waits for ``response.append``."""
        return self.state in PAUSED

    @property
    def is_sampling(self) -> bool:
        """It is neither paused nor ended, and has begun."""
        return self.state in SAMPLING

    @property
    def has_ended(self) -> bool:
        """It changes no more."""
        return self.state in ENDED

    @property
    def is_unborn(self) -> bool:
        """``response.created`` has not come yet."""
        return self.state in UNBORN

    @property
    def all_items(self) -> list[OutputItem]:
        """In the order of ``output_index``."""
        return [self.items[index] for index in sorted(self.items)]

    @property
    def output(self) -> list[OutputItem]:
        """Those that are done."""
        return [item for item in self.all_items if item.status != IN_PROGRESS]

    @property
    def required_input(self) -> list[RequiredInput]:
        """The open calls, as the wire names them."""
        return [RequiredInput(call_id=call.call_id, name=call.name) for call in self.pending_calls.values()]

    @property
    def standing(self) -> str:
        """The wire's ``status``, and for one that was cut short its reason: for messages to people."""
        details = self.final.incomplete_details if self.final is not None else None
        return f"{self.state.value} ({details['reason']})" if details else self.state.value

    def allows(self, stimulus: Stimulus) -> bool:
        return stimulus in TRANSITIONS[self.state]

    def advance(self, stimulus: Stimulus) -> None:
        """Follow the table.

        :raises ProtocolViolation, InvalidRequest: it has no entry for this pair; the table names the error. Nothing
            changes.
        """
        row = TRANSITIONS[self.state]
        if stimulus not in row:
            raise self._refused(stimulus)
        self.state = row[stimulus]

    def _refused(self, stimulus: Stimulus) -> InvalidRequest | ProtocolViolation:
        return refusal(self.state, stimulus)(
            f"Response {self.id or '(not created yet)'} is {self.standing}: {stimulus.value!r} is not possible. "
            "See the state table in spec/PROTOCOL.md."
        )

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
            case OutputItemAdded():
                self.items[event.output_index] = event.item
            case OutputItemDone():
                self.items[event.output_index] = event.item
                self.segment.append(event.item)
                if _is_to_answer(event.item):
                    self.pending_calls[event.item.call_id] = event.item
            case ResponseCreated():
                self.id = event.response.id
                self.announced = event.response
            case ResponseDone():
                self.num_pauses += 1
                self.last_pause = event
                self.segment = []
            case ResponseAppended():
                self._note_answered(event.answered)
            case ResponseCompleted() | ResponseFailed() | ResponseIncomplete() | ResponseCancelled():
                self.id = event.response.id
                self.final = event.response
                self.segment = []

    def pause(self, usage: Usage | None = None) -> ResponseDone:
        """The event that pauses this Response now."""
        done = DoneResponse(
            id=self.id, usage=usage, output=tuple(self.segment), required_input=tuple(self.required_input)
        )
        return ResponseDone(response=done)

    def goes_on_with(self, event: ResponseEvent) -> bool:
        """Whether this event, received in a pause, says that the pause is over: its last append was accepted."""
        return self.is_paused and _STIMULI.get(type(event), Stimulus.STREAM) in _GOES_ON

    def restore(self, snapshot: Snapshot) -> None:
        """Stand where the server says that the Response stands. What came between is not known."""
        response = snapshot.response
        self.id, self.announced = response.id, response
        self.next_sequence_number = snapshot.sequence_number + 1
        self.items = dict(enumerate(response.output))
        self.segment = []
        calls = {item.call_id: item for item in response.output if _is_to_answer(item)}
        opened = [call.call_id for call in snapshot.required_input if call.call_id in calls]
        self.pending_calls = {call_id: calls[call_id] for call_id in opened}
        for call_id in calls.keys() - self.pending_calls.keys():
            self.answers.setdefault(call_id, Answer())
        self.final = None if response.status == IN_PROGRESS else response
        live = State.PAUSED if snapshot.paused else State.IN_PROGRESS
        self.state = _ENDS.get(response.status, live)

    # --- appends --------------------------------------------------------------------------------------------------

    def check_append(self, append: Append, *, param: str = "input") -> Stimulus:
        """Which stimulus this append is. Changes nothing.

        :raises ToolCallNotFound: an output's ``call_id`` is none of this Response's calls.
        :raises ToolCallAlreadyAnswered: a call that is answered already gets another output.
        :raises InvalidRequest: what the table names for a Response that takes no such append now.
        """
        if not self.allows(Stimulus.APPEND_AGAIN):
            raise self._refused(Stimulus.APPEND_AGAIN)
        news: dict[str, FunctionCallOutput] = {}
        for at, item in enumerate(append.outputs):
            call_id = item.call_id
            known = self.answers[call_id].output if call_id in self.answers else news.get(call_id)
            if known is not None:
                if known != item:
                    raise ToolCallAlreadyAnswered(
                        f"Call {call_id!r} is answered already, with a different output. The first one stands; leave "
                        "this one out, or send the same again.",
                        param=f"{param}[{at}].output",
                    )
            elif call_id in self.pending_calls:
                news[call_id] = item
            else:
                raise ToolCallNotFound(
                    f"No call {call_id!r} waits for an output. Open calls: {', '.join(self.pending_calls) or 'none'}.",
                    param=f"{param}[{at}].call_id",
                )
        stimulus = self._append_stimulus(append, len(news))
        if not self.allows(stimulus):
            raise self._refused(stimulus)
        return stimulus

    def _append_stimulus(self, append: Append, num_new: int) -> Stimulus:
        if num_new:
            ends_pause = self.is_paused and num_new == len(self.pending_calls)
            return Stimulus.APPEND_LAST if ends_pause else Stimulus.APPEND_PART
        known = [self.answers[output.call_id].messages for output in append.outputs]
        if known and (not append.messages or append.messages in known):
            return Stimulus.APPEND_AGAIN
        return Stimulus.MESSAGES

    def apply_append(self, append: Append) -> Stimulus:
        """Take in an append that is accepted. Raises as :meth:`check_append` does."""
        stimulus = self.check_append(append)
        self.advance(stimulus)
        for item in append.outputs:
            if self.pending_calls.pop(item.call_id, None) is not None:
                self.answers[item.call_id] = Answer(item, append.messages)
        return stimulus

    def end_pause(self) -> None:
        """The append that answered the last open call is known to have been accepted, though not what it said.

        :raises ProtocolViolation: it is not paused.
        """
        self.advance(Stimulus.APPEND_LAST)
        self._note_answered(list(self.pending_calls))

    def _note_answered(self, call_ids: Sequence[str]) -> None:
        for call_id in call_ids:
            if self.pending_calls.pop(call_id, None) is not None:
                self.answers.setdefault(call_id, Answer())
