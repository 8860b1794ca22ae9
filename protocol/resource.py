"""The Response object, as the events that begin and end a Response carry it, and as a snapshot does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from .items import OutputItem


class InputTokensDetails(msgspec.Struct, frozen=True):
    """``cached_tokens``: those whose state was there, or was copied from another sequence that began alike.
    ``cache_write_tokens`` is the API's count of what is paid for being cached: nothing is, here."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


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
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    caesura: dict[str, Any] | UnsetType = UNSET
