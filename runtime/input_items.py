"""Input items on their way to and from a store."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..protocol.errors import ItemNotFound
from ..protocol.items import InputItem, ItemReference, parse_item

Find = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""The stored item of an id, as JSON; None if there is none."""

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "caesura:hosted_call": "hc",
    "reasoning": "rs",
    "compaction": "cmp",
}
_WITH_STATUS = frozenset({"message", "function_call", "function_call_output", "caesura:hosted_call"})
MAX_ID = 256


async def resolve_references(items: Sequence[InputItem], find: Find) -> Sequence[InputItem]:
    """The items, each ``item_reference`` replaced by what it stands for; the same object if there is none.

    :raises ItemNotFound: nothing is stored under an id; ``param`` says which.
    """
    if not any(isinstance(item, ItemReference) for item in items):
        return items
    resolved: list[InputItem] = []
    for at, item in enumerate(items):
        if not isinstance(item, ItemReference):
            resolved.append(item)
            continue
        found = await find(item.id)
        if found is None:
            raise ItemNotFound(
                f"Item with id {item.id[:80]!r} not found: nothing is stored under it. Send the item itself.",
                param=f"input[{at}].id",
            )
        resolved.append(parse_item(found, f"input[{at}]"))
    return resolved


def stored_items(raw_input: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The input of a request as the Responses API lists it, for a store. :func:`..protocol.items.parse_input` reads it
    back as it read the request's.

    Every item gets a ``type`` and an ``id``, its own or a new one, and where its type has one a ``status``; a message's
    content is in parts. All else stays as it came.

    :param raw_input: decoded JSON that :func:`..protocol.items.parse_input` has let pass.
    """
    items = [{"role": "user", "content": raw_input}] if isinstance(raw_input, str) else raw_input
    return [_stored(item) for item in items]


def _stored(raw: Mapping[str, Any]) -> dict[str, Any]:
    kind = raw.get("type") or ("message" if "role" in raw else "item_reference")
    item = {**raw, "type": kind}
    own = raw.get("id")
    if not (isinstance(own, str) and 0 < len(own) <= MAX_ID):
        item["id"] = f"{_PREFIXES.get(kind, 'item')}_{uuid.uuid4().hex}"
    if kind in _WITH_STATUS and item.get("status") is None:
        item["status"] = "completed"
    if kind == "message":
        item["content"] = _parts(raw.get("content"), raw["role"])
    if kind == "reasoning" and not isinstance(item.get("summary"), list):
        item["summary"] = []
    return item


def _parts(content: Any, role: str) -> list[Any]:
    if content is None:
        return []
    if not isinstance(content, str):
        return list(content)
    if role == "assistant":
        return [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}]
    return [{"type": "input_text", "text": content}]
