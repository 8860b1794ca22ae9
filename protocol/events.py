"""What a server sends: the Responses API's stream events, and those of append mode.

Field names and families are those of the Responses API, so existing clients parse them; required fields are always
present because several clients end silently or loop without them.

Naming clash: in the Realtime API ``response.done`` is terminal. Here it means "sampled to a tool call, append now".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from .items import OutputItem, OutputText, ReasoningText, TokenLogprob
from .resource import Response, Usage


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """``sequence_number`` rises by one from 0 over a Response, pauses included; the machine stamps it on sending.
    ``stream_id`` is echoed on named lanes only."""

    sequence_number: int = -1
    stream_id: str | UnsetType = UNSET


class ResponseCreated(_Event, frozen=True, kw_only=True, tag="response.created"):
    response: Response


class ResponseInProgress(_Event, frozen=True, kw_only=True, tag="response.in_progress"):
    response: Response


class OutputItemAdded(_Event, frozen=True, kw_only=True, tag="response.output_item.added"):
    output_index: int
    item: OutputItem


class OutputItemDone(_Event, frozen=True, kw_only=True, tag="response.output_item.done"):
    output_index: int
    item: OutputItem


class ContentPartAdded(_Event, frozen=True, kw_only=True, tag="response.content_part.added"):
    item_id: str
    output_index: int
    content_index: int
    part: OutputText | ReasoningText


class ContentPartDone(_Event, frozen=True, kw_only=True, tag="response.content_part.done"):
    item_id: str
    output_index: int
    content_index: int
    part: OutputText | ReasoningText


class OutputTextDelta(_Event, frozen=True, kw_only=True, tag="response.output_text.delta"):
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: Sequence[TokenLogprob] = ()


class OutputTextDone(_Event, frozen=True, kw_only=True, tag="response.output_text.done"):
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: Sequence[TokenLogprob] = ()


class ReasoningTextDelta(_Event, frozen=True, kw_only=True, tag="response.reasoning_text.delta"):
    item_id: str
    output_index: int
    content_index: int
    delta: str


class ReasoningTextDone(_Event, frozen=True, kw_only=True, tag="response.reasoning_text.done"):
    item_id: str
    output_index: int
    content_index: int
    text: str


class FunctionCallArgumentsDelta(_Event, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"):
    item_id: str
    output_index: int
    delta: str


class FunctionCallArgumentsDone(_Event, frozen=True, kw_only=True, tag="response.function_call_arguments.done"):
    item_id: str
    output_index: int
    name: str
    arguments: str


class RequiredInput(msgspec.Struct, frozen=True, kw_only=True):
    """An open call: what the client is asked for."""

    call_id: str
    name: str
    type: str = "function_call_output"


class DoneResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What ``response.done`` says of its Response. ``output`` has the items of this segment alone, those that were done
    since the pause before: a pause costs the same at turn 1 and at turn 500."""

    id: str | None = None
    status: str = "in_progress"
    usage: Usage | None = None
    output: Sequence[OutputItem] = ()
    required_input: Sequence[RequiredInput] = ()


class ResponseDone(_Event, frozen=True, kw_only=True, tag="response.done"):
    """The pause: everything up to a tool call is sampled; the server waits for ``response.append``."""

    response: DoneResponse = DoneResponse()


class ResponseAppended(_Event, frozen=True, kw_only=True, tag="response.appended"):
    """An append was accepted and the Response is where it was: calls are still open, or the model still samples.

    ``answered`` are the calls that the append has outputs for, ``pending`` those that are open after it. The append
    that ends a pause is not acknowledged so: what the Response sends next is its acknowledgement.
    """

    response_id: str
    answered: Sequence[str]
    pending: Sequence[str]


class ResponseCompleted(_Event, frozen=True, kw_only=True, tag="response.completed"):
    response: Response


class ResponseFailed(_Event, frozen=True, kw_only=True, tag="response.failed"):
    response: Response


class ResponseIncomplete(_Event, frozen=True, kw_only=True, tag="response.incomplete"):
    response: Response


class ResponseCancelled(_Event, frozen=True, kw_only=True, tag="response.cancelled"):
    response: Response


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A Response as of ``sequence_number``: all its items, one that is being sampled without its content; the final
    Response if it has ended. ``required_input`` are the open calls, in a pause or before it."""

    sequence_number: int
    paused: bool
    response: Response
    required_input: Sequence[RequiredInput] = ()


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The inner object of an ``error`` event; the names are the Responses API's."""

    type: str
    code: str
    message: str
    param: str | None = None


class ErrorEvent(_Event, frozen=True, kw_only=True, tag="error"):
    """An answer to a message that can't be carried out. ``status`` is always there: Codex CLI ignores an error
    without one and hangs. Not a stream event of a Response: its ``sequence_number`` counts the connection's errors,
    so that a Response's own numbers rise by one whatever goes wrong beside it.

    ``response_id`` names the Response that it is about, if one was found; ``idempotency_key`` the create; ``input`` is
    that of an append, as it was sent; ``snapshot`` comes with ``events_lost``.
    """

    status: int
    error: ErrorBody
    response_id: str | UnsetType = UNSET
    idempotency_key: str | UnsetType = UNSET
    input: Any = UNSET
    snapshot: Snapshot | UnsetType = UNSET


class ResponseResumed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="response.resumed"):
    """The answer to ``response.resume``: the Response is attached here, the events after ``starting_after`` up to
    ``last_sequence_number`` follow as they were first sent, and then the new ones. It has no number itself.

    ``status`` and ``required_input``, the open calls, say where the Response stands now, after those events.
    """

    response_id: str
    starting_after: int
    last_sequence_number: int
    status: str
    required_input: Sequence[RequiredInput] = ()
    stream_id: str | UnsetType = UNSET


class ResponseDetached(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="response.detached"):
    """Another connection has resumed this Response: nothing more of it comes here. It has no number itself."""

    response_id: str
    reason: str = "taken_over"
    stream_id: str | UnsetType = UNSET


class WebsocketTiming(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="responsesapi.websocket_timing"):
    """Before the last event of a Response, on connections that ask for it: what the server spent on it, by place.
    Milliseconds; None where there is nothing to tell. It has no number itself."""

    timing_metrics: dict[str, float | None]


StreamEvent = (
    ResponseInProgress
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | OutputTextDone
    | ReasoningTextDelta
    | ReasoningTextDone
    | FunctionCallArgumentsDelta
    | FunctionCallArgumentsDone
)
"""What may come while a Response is in progress, and changes no state."""

EndEvent = ResponseCompleted | ResponseFailed | ResponseIncomplete | ResponseCancelled
"""The last event of a Response."""

ResponseEvent = ResponseCreated | StreamEvent | ResponseDone | ResponseAppended | EndEvent
"""All that belongs to one Response and carries its sequence numbers."""

ServerEvent = ResponseEvent | ErrorEvent | ResponseResumed | ResponseDetached
"""All that a server sends. The last three belong to the connection."""
