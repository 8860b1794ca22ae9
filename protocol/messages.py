"""The messages of the done/append dialect: one tagged union a direction.

Client to server: :data:`ClientMessage`. Server to client: :data:`ServerEvent`, the Responses API's stream events plus
``response.done``. Field names and families are those of the Responses API, so existing clients parse them; required
fields are always present because several clients end silently or loop without them.

Naming clash: in the Realtime API ``response.done`` is terminal. Here it means "sampled to a tool call, append now".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from .items import OutputItem, OutputText, ReasoningText, TokenLogprob


class InputTokensDetails(msgspec.Struct, frozen=True):
    """``cached_tokens``: those whose state was copied from another sequence that began alike."""

    cached_tokens: int = 0


class OutputTokensDetails(msgspec.Struct, frozen=True):
    """``reasoning_tokens``: those that the text of reasoning items was sampled in."""

    reasoning_tokens: int = 0


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a whole Response. ``input_tokens`` are those that were given (first input and appends)."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()


def plain_text() -> dict[str, Any]:
    """The ``text`` of a request that says nothing about it."""
    return {"format": {"type": "text"}}


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The Response object that ``response.created``, ``.completed``, ``.failed`` and ``.incomplete`` carry.

    ``caesura`` is this project's extension: what the rollout cost, counted and timed by the server (see
    ``runtime/accounting.py``); it is there once the Response has ended.
    """

    id: str
    created_at: float
    status: str
    model: str
    object: str = "response"
    output: Sequence[OutputItem] = ()
    usage: Usage | None = None
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, str] | None = None
    completed_at: float | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: Sequence[dict[str, Any]] = ()
    tool_choice: Any = "auto"
    parallel_tool_calls: bool = True
    temperature: float = 1.0
    top_p: float = 1.0
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = {}
    text: dict[str, Any] = msgspec.field(default_factory=plain_text)
    reasoning: dict[str, Any] | None = None
    truncation: str = "disabled"
    store: bool = False
    background: bool = False
    service_tier: str = "default"
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: int = 0
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    caesura: dict[str, Any] | UnsetType = UNSET


# --- client to server -----------------------------------------------------------------------------------------------


class ResponseCreate(msgspec.Struct, frozen=True, kw_only=True, tag="response.create", omit_defaults=True):
    """Begin a Response. Fields that are not here are accepted and ignored, as clients of the Responses API expect.

    ``input`` and ``tools`` stay as decoded JSON: clients differ too much in them for one strict type. See
    :func:`.items.parse_input`. ``top_k``, ``min_p``, ``seed`` and ``stop`` are extensions.
    """

    model: str | None = None
    input: Any = None
    instructions: str | None = None
    tools: list[Any] | None = None
    tool_choice: Any = "auto"
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    include: list[Any] | None = None
    top_logprobs: int | None = None
    metadata: dict[str, str] | None = None
    previous_response_id: str | None = None
    stream_id: str | None = None


class ResponseAppend(msgspec.Struct, frozen=True, kw_only=True, tag="response.append", omit_defaults=True):
    """New items for a paused Response, which the outputs' ``call_id`` find. There is no response id in this dialect."""

    input: Any = None
    stream_id: str | None = None


ClientMessage = ResponseCreate | ResponseAppend


# --- server to client -----------------------------------------------------------------------------------------------


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


class DoneResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What ``response.done`` says of its Response: clients of this dialect expect no more than id and usage."""

    id: str | None = None
    usage: Usage | None = None


class ResponseDone(_Event, frozen=True, kw_only=True, tag="response.done"):
    """The pause: everything up to a tool call is sampled; the server waits for ``response.append``."""

    response: DoneResponse = DoneResponse()


class ResponseCompleted(_Event, frozen=True, kw_only=True, tag="response.completed"):
    response: Response


class ResponseFailed(_Event, frozen=True, kw_only=True, tag="response.failed"):
    response: Response


class ResponseIncomplete(_Event, frozen=True, kw_only=True, tag="response.incomplete"):
    response: Response


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

    ``refused_call_ids`` is this project's extension: the calls whose outputs it refuses, open again. A client that has
    several appends under way could not know which one is meant, since an accepted append has no answer of its own."""

    status: int
    error: ErrorBody
    refused_call_ids: Sequence[str] | UnsetType = UNSET


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

ResponseEvent = ResponseCreated | StreamEvent | ResponseDone | ResponseCompleted | ResponseFailed | ResponseIncomplete
"""All that belongs to one Response and carries its sequence numbers."""

ServerEvent = ResponseEvent | ErrorEvent
