"""What a client sends: one tagged union. What a server sends is in :mod:`.events`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ResponseCreate(msgspec.Struct, frozen=True, kw_only=True, tag="response.create", omit_defaults=True):
    """Begin a Response. Fields that are not here are accepted and ignored, as clients of the Responses API expect.

    ``input`` and ``tools`` stay as decoded JSON: clients differ too much in them for one strict type. See
    :func:`.items.parse_input`. ``top_k``, ``min_p``, ``seed``, ``stop`` and ``caesura`` are extensions.

    ``background``, ``conversation``, ``prompt``, ``store``, ``stream``, ``stream_options`` and ``truncation`` are those
    of the Responses API; ``generate``, false for a Response that ends without output, is that of its WebSocket mode.
    What a server doesn't have it refuses, or, where the outcome is the same, passes over.

    ``idempotency_key`` makes the create safe to repeat: with the key of a Response that this owner still has it begins
    none, and resumes that one from its start.
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
    conversation: Any = None
    prompt: Any = None
    truncation: str | None = None
    store: bool | None = None
    background: bool | None = None
    generate: bool | None = None
    stream: bool | None = None
    stream_options: Any = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    caesura: dict[str, Any] | None = None
    idempotency_key: Key | None = None
    stream_id: str | None = None


class ResponseAppend(msgspec.Struct, frozen=True, kw_only=True, tag="response.append", omit_defaults=True):
    """Outputs of open calls, and after them messages, for a Response.

    Without ``response_id`` it is for the open Response of the lane. See :func:`.append_items.parse_append`.
    """

    input: Any = None
    response_id: str | None = None
    stream_id: str | None = None


class ResponseCancel(msgspec.Struct, frozen=True, kw_only=True, tag="response.cancel", omit_defaults=True):
    """End a Response now. One that has no id yet may be named by its create's ``idempotency_key``. Without either it is
    the open one of the lane, else the create that waits there longest."""

    response_id: str | None = None
    idempotency_key: Key | None = None
    stream_id: str | None = None


class ResponseResume(msgspec.Struct, frozen=True, kw_only=True, tag="response.resume", omit_defaults=True):
    """Attach a Response to this connection and send its events after ``starting_after``, the last
    ``sequence_number`` that this side has; -1 is none. ``stream_id`` is for errors alone: a Response keeps its lane."""

    response_id: str
    starting_after: int = -1
    stream_id: str | None = None


ClientMessage = ResponseCreate | ResponseAppend | ResponseCancel | ResponseResume
