"""What the scripted model says: the Responses API's events of an item, without their sequence numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .events import Event

CREATED_AT = 1767225600


def message_events(index: int, text: str) -> list[Event]:
    """Those of an assistant message, a delta a word."""
    name = f"msg_{index}"
    place = {"item_id": name, "output_index": index, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    words = text.split(" ")
    deltas = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
    return [
        _item_added(index, {**_message(name, []), "status": "in_progress"}),
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": delta, "logprobs": []} for delta in deltas),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        _item_done(index, _message(name, [part])),
    ]


def call_events(
    index: int, name: str, arguments: str | Mapping[str, Any], *, call_id: str, status: str = "completed"
) -> list[Event]:
    """Those of a call of a local tool. Arguments that are text are taken as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(dict(arguments))
    item = {"type": "function_call", "id": f"fc_{index}", "call_id": call_id, "name": name}
    place = {"item_id": item["id"], "output_index": index}
    return [
        _item_added(index, {**item, "arguments": "", "status": "in_progress"}),
        {"type": "response.function_call_arguments.delta", **place, "delta": text},
        {"type": "response.function_call_arguments.done", **place, "name": name, "arguments": text},
        _item_done(index, {**item, "arguments": text, "status": status}),
    ]


def hosted_call_events(index: int, call_id: str) -> list[Event]:
    """Those of a call that the server has run itself."""
    item = {
        "type": "caesura:hosted_call",
        "id": f"hc_{index}",
        "call_id": call_id,
        "name": "calculate",
        "arguments": '{"expression": "6 * 7"}',
    }
    return [
        _item_added(index, {**item, "output": None, "status": "in_progress"}),
        _item_done(index, {**item, "output": "42", "status": "completed"}),
    ]


def response_object(response_id: str, model: str, status: str, **fields: Any) -> Event:
    return {
        "id": response_id,
        "object": "response",
        "created_at": CREATED_AT,
        "status": status,
        "model": model,
        "output": [],
        "usage": None,
        "error": None,
        "incomplete_details": None,
        **fields,
    }


def usage(num_events: int) -> Event:
    """Counts that rise, as those of a real Response do."""
    return {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": num_events,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 100 + num_events,
    }


def _message(name: str, content: list[Event]) -> Event:
    return {"type": "message", "id": name, "status": "completed", "role": "assistant", "content": content}


def _item_added(index: int, item: Event) -> Event:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _item_done(index: int, item: Event) -> Event:
    return {"type": "response.output_item.done", "output_index": index, "item": item}
