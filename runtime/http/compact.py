"""``POST /v1/responses/compact``: a conversation made short, by the model itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from ...protocol.codec import decode_create
from ...protocol.errors import InvalidValue, MissingParameter
from ...protocol.items import InputItem, InputMessage, parse_input, parse_item
from ...protocol.messages import ResponseCreate
from ..access.api_keys import credential_of
from ..compaction import encode_summary
from ..input_items import resolve_references
from ..service import Service
from . import frames
from .api import Api, json_response
from .exchange import exchange
from .responses import first_frame, refusal
from .server_timing import timing_headers, timing_of

MAX_SUMMARY_TOKENS = 1024
"""And never more than a quarter of the context: the summary is to leave room for what comes after it."""

_KEPT_ROLES = ("user", "system", "developer")

_INSTRUCTION = (
    "Summarise the conversation so far for someone who goes on with it and sees nothing of it but your summary and the "
    "user's own messages. Say what was found out, what was done and with what result, what was decided, and what is "
    "still to do. Keep names, paths, numbers and ids exactly. Write plain text, call no tool, and answer nothing else."
)

_NO_SUMMARY = "(Earlier turns of this conversation are left out; there is no summary of them.)"
"""Stands in where the model wrote nothing. The new chain has to begin with something."""


class _Summarised(msgspec.Struct, frozen=True):
    status: str
    usage: msgspec.Raw
    output: list[dict[str, Any]]
    error: dict[str, Any] | None = None


async def compact(api: Api, request: Request, send: Send) -> Response:
    """Have the model write a summary, and answer with what a new conversation begins with: all that was not the model's
    own, word for word, and a ``compaction`` item with the summary of the rest.

    The Responses API keeps the user's messages. Messages of a system or developer in the input are kept here too: a
    summary of rules that a small model has written is no rule.
    """
    asked = decode_create(await request.body(), api.rollouts.limits)
    if asked.model is None:
        raise MissingParameter("'model' is missing.", param="model")
    if not asked.input and asked.previous_response_id is None:
        raise MissingParameter("Nothing to compact: give 'input' or 'previous_response_id'.", param="input")
    if not isinstance(asked.input, str | list | None):
        raise InvalidValue("'input' must be a string or a list of items.", param="input")
    owner = credential_of(request)
    async with exchange(api.rollouts, owner, request.receive, send) as line:
        api.rollouts.create(line.connection, _summary_request(asked, api.service), time.perf_counter_ns())
        last = await first_frame(line)
    if frames.type_of(last) == frames.ERROR:
        return refusal(last)
    response = frames.parts_of(last).response
    summarised = msgspec.json.decode(response, type=_Summarised)
    if summarised.status == "failed":
        error = {"type": "server_error", "param": None, **(summarised.error or {})}
        return json_response(msgspec.json.encode({"error": error}), status=500)
    kept = [*await _inherited(api, asked.previous_response_id, owner), *await _given(api, asked.input, owner)]
    answer = {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [
            *(_message(item) for item in kept if isinstance(item, InputMessage) and item.role in _KEPT_ROLES),
            {
                "type": "compaction",
                "id": f"cmp_{uuid.uuid4().hex}",
                "encrypted_content": encode_summary(_text(summarised.output) or _NO_SUMMARY),
            },
        ],
        "usage": summarised.usage,
    }
    return json_response(msgspec.json.encode(answer), timing_headers(timing_of(response)))


def _summary_request(asked: ResponseCreate, service: Service) -> ResponseCreate:
    """An ordinary request for the summary. What doesn't fit the context is left out: a conversation that has become too
    long is what this is for. A model that calls a tool all the same has written its summary."""
    given = asked.input if isinstance(asked.input, list) else [{"role": "user", "content": asked.input}]
    instruction = {"type": "message", "role": "user", "content": _INSTRUCTION}
    syntax = service.model.tool_format.syntax
    return ResponseCreate(
        model=asked.model,
        instructions=asked.instructions,
        previous_response_id=asked.previous_response_id,
        input=[*(given if asked.input else []), instruction],
        max_output_tokens=max(1, min(MAX_SUMMARY_TOKENS, service.engine.context_length // 4)),
        stop=(syntax.begin or syntax.before_name).splitlines()[0],
        truncation="auto",
        store=False,
    )


async def _inherited(api: Api, previous_response_id: str | None, owner: str) -> list[InputItem]:
    """What the Responses before were given and gave."""
    if previous_response_id is None or api.service.store is None:
        return []
    history = await api.service.store.history(previous_response_id, owner) or []
    items = [item for response in history for item in response.items]
    return [parse_item(msgspec.json.decode(item.body), item.id) for item in items]


async def _given(api: Api, given: Any, owner: str) -> Sequence[InputItem]:
    """The input, what it refers to in place of the references. It was read once already, so it can be."""

    async def find(item_id: str) -> Any:
        item = None if api.service.store is None else await api.service.store.item(item_id, owner)
        return None if item is None else msgspec.json.decode(item.body)

    return await resolve_references(parse_input(given), find) if given else []


def _message(item: InputMessage) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "status": "completed",
        "role": item.role,
        "content": [{"type": "input_text", "text": item.text}],
    }


def _text(output: list[dict[str, Any]]) -> str:
    """What the model said; what it thought or called is no summary."""
    messages = [item for item in output if item["type"] == "message"]
    return "".join(part.get("text", "") for item in messages for part in item["content"]).strip()
