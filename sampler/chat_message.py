"""The messages of a conversation, as they are given to a chat template."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .utf8 import encode_utf8

Message = Mapping[str, Any]
"""`role` (system, user, assistant or tool) and `content` (str); an assistant's may have `reasoning` (str) and
`tool_calls`, a list of ToolCall; a tool's has `tool_call_id` and `name`. `assistant_message` and `tool_message` make
them."""

_SHORT_ID = re.compile("[A-Za-z0-9]{9}")
_ALPHABET = string.digits + string.ascii_letters


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model made it: `arguments` is JSON text, exactly as sampled."""

    name: str
    arguments: str
    call_id: str = ""


def assistant_message(text: str, calls: Sequence[ToolCall] = (), *, reasoning: str = "") -> Message:
    return {"role": "assistant", "content": text, "tool_calls": list(calls), "reasoning": reasoning}


def tool_message(output: str, *, call_id: str = "", name: str = "") -> Message:
    return {"role": "tool", "content": output, "tool_call_id": call_id, "name": name}


def short_id(call_id: str) -> str:
    """Nine letters and digits, as Mistral's templates want an id: always the same ones for the same id."""
    if _SHORT_ID.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(encode_utf8(call_id)).digest())
    digits = []
    for _ in range(9):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def one_call_each(messages: Sequence[Message]) -> list[Message]:
    """The conversation with every assistant turn of several calls split up: one call and its result after the other.

    A result belongs to the call of its id, or to the one in its place if no call has that id.
    """
    result: list[Message] = []
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        calls: list[ToolCall] = list(message.get("tool_calls") or ())
        if len(calls) < 2:
            result.append(message)
            continue
        results: list[Message] = []
        while at < len(messages) and messages[at].get("role") == "tool":
            results.append(messages[at])
            at += 1
        for number, call in enumerate(calls):
            result.append({**message, "tool_calls": [call]} if number == 0 else assistant_message("", [call]))
            own = [each for each in results if call.call_id and each.get("tool_call_id") == call.call_id]
            own = own[:1] or results[:1]
            result += own
            results = [each for each in results if not any(each is one for one in own)]
        result += results
    return result
