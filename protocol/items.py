"""Items: what a Response is made of, in (``input``) and out (``output``).

Output items are written by us, so they are strict tagged structs. Input items come from many clients, each with its
own habits (a message without ``type``, content as a string or as parts, their own ``reasoning`` items sent back), so
they are read leniently by :func:`parse_input` and come out as one of a few plain structs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from .errors import InvalidValue, MissingParameter


class TopLogprob(msgspec.Struct, frozen=True):
    """A token that could have come at a place, and its log-probability there.

    ``token`` is its text, ``bytes`` what it really is: a token may end inside a character.
    """

    token: str
    logprob: float
    bytes: Sequence[int] | None = None


class TokenLogprob(msgspec.Struct, frozen=True):
    """The same for the token that came, and the likeliest ones in ``top_logprobs``."""

    token: str
    logprob: float
    bytes: Sequence[int] | None = None
    top_logprobs: Sequence[TopLogprob] = ()


class OutputText(msgspec.Struct, frozen=True, tag="output_text"):
    """Text that the model sampled. ``logprobs`` has its tokens if they were asked for."""

    text: str
    annotations: Sequence[Any] = ()
    logprobs: Sequence[TokenLogprob] = ()


class OutputMessage(msgspec.Struct, frozen=True, kw_only=True, tag="message"):
    """An assistant message."""

    id: str
    status: str
    role: str = "assistant"
    content: Sequence[OutputText] = ()


class ReasoningText(msgspec.Struct, frozen=True, tag="reasoning_text"):
    """Text that the model thought before it spoke or called."""

    text: str


class Reasoning(msgspec.Struct, frozen=True, kw_only=True, tag="reasoning"):
    """What the model thought in a turn. Clients may send it back in a history."""

    id: str = ""
    summary: Sequence[Any] = ()
    content: Sequence[ReasoningText] | None = ()
    status: str | None = "completed"

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content or ())


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True, tag="function_call"):
    """A call of a local tool: the client runs it and appends a :class:`FunctionCallOutput` with this ``call_id``.

    ``arguments`` is JSON text exactly as it was sampled.
    """

    call_id: str
    name: str
    arguments: str
    id: str = ""
    status: str = "completed"


class HostedCall(msgspec.Struct, frozen=True, kw_only=True, tag="caesura:hosted_call"):
    """A call of a hosted tool: the server ran it. ``output`` is None until it has."""

    call_id: str
    name: str
    arguments: str
    id: str = ""
    output: str | None = None
    status: str = "completed"


OutputItem = OutputMessage | Reasoning | FunctionCall | HostedCall


class InputMessage(msgspec.Struct, frozen=True, kw_only=True, tag="message"):
    """A message of a conversation. ``role`` is one of :attr:`ROLES`; ``text`` is its text parts, joined."""

    ROLES: ClassVar[tuple[str, ...]] = ("user", "system", "developer", "assistant")

    role: str
    text: str = msgspec.field(name="content")


class FunctionCallOutput(msgspec.Struct, frozen=True, kw_only=True, tag="function_call_output", omit_defaults=True):
    """What a local tool returned. ``status`` is one of :attr:`STATUSES`; ``failed`` says that ``output`` is why it
    didn't."""

    STATUSES: ClassVar[tuple[str, ...]] = ("completed", "incomplete", "failed")

    call_id: str
    output: str
    status: str = "completed"


InputItem = InputMessage | Reasoning | FunctionCall | FunctionCallOutput | HostedCall

_TEXT_PARTS = ("input_text", "output_text", "text", "refusal")


def parse_input(value: object, *, param: str = "input") -> list[InputItem]:
    """Read the ``input`` of a create or an append.

    :param value: decoded JSON: a string (one user message) or a list of item objects.
    :raises MissingParameter: there is nothing in it.
    :raises InvalidValue: an item is not one that can be used; ``param`` names it (``input[2].content``).
    """
    if isinstance(value, str):
        if not value:
            raise MissingParameter(f"'{param}' is empty. Give a string or a list of at least one item.", param=param)
        return [InputMessage(role="user", text=value)]
    if value is None or value is msgspec.UNSET:
        raise MissingParameter(f"'{param}' is missing. Give a string or a list of at least one item.", param=param)
    if not isinstance(value, list):
        raise InvalidValue(f"'{param}' must be a string or a list of items.", param=param)
    items = [_item(raw, f"{param}[{at}]") for at, raw in enumerate(value)]
    if all(isinstance(item, Reasoning) for item in items):
        raise MissingParameter(f"'{param}' holds nothing to answer. Give a string or at least one item.", param=param)
    return items


def _item(raw: object, at: str) -> InputItem:
    if not isinstance(raw, Mapping):
        raise InvalidValue(f"'{at}' must be an object.", param=at)
    kind = raw.get("type", "message" if "role" in raw else None)
    match kind:
        case "message":
            role = _string(raw, "role", at)
            if role not in InputMessage.ROLES:
                raise InvalidValue(f"'{at}.role' must be one of {', '.join(InputMessage.ROLES)}.", param=f"{at}.role")
            return InputMessage(role=role, text=_text(raw.get("content"), f"{at}.content"))
        case "function_call":
            return FunctionCall(
                call_id=_string(raw, "call_id", at),
                name=_string(raw, "name", at),
                arguments=_string(raw, "arguments", at),
            )
        case "function_call_output":
            status = raw.get("status")
            if status is not None and status not in FunctionCallOutput.STATUSES:
                statuses = ", ".join(FunctionCallOutput.STATUSES)
                raise InvalidValue(f"'{at}.status' must be one of {statuses}.", param=f"{at}.status")
            if raw.get("output") is None:
                raise InvalidValue(f"'{at}.output' is missing. Give a string or text parts.", param=f"{at}.output")
            return FunctionCallOutput(
                call_id=_string(raw, "call_id", at),
                output=_text(raw.get("output"), f"{at}.output"),
                status=status or "completed",
            )
        case HostedCall.__struct_config__.tag:
            return HostedCall(
                call_id=_string(raw, "call_id", at),
                name=_string(raw, "name", at),
                arguments=_string(raw, "arguments", at),
                output=_text(raw.get("output"), f"{at}.output"),
            )
        case "reasoning":
            return Reasoning(content=_reasoning_parts(raw.get("content")))
    raise InvalidValue(
        f"'{at}.type' is {kind!r}; supported are message, function_call, function_call_output, "
        f"{HostedCall.__struct_config__.tag} and reasoning.",
        param=f"{at}.type",
    )


def _string(raw: Mapping[str, object], key: str, at: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or (not value and key != "arguments"):
        raise InvalidValue(f"'{at}.{key}' must be a string that is not empty.", param=f"{at}.{key}")
    return value


def _text(value: object, at: str) -> str:
    """A string, or a list of text parts; None counts as no text (an assistant message that only calls tools)."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InvalidValue(f"'{at}' must be a string or a list of text parts.", param=at)
    parts: list[str] = []
    for index, part in enumerate(value):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in _TEXT_PARTS:
            raise InvalidValue(
                f"'{at}[{index}]' is of type {kind!r}; this model reads text parts only.", param=f"{at}[{index}]"
            )
        text = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise InvalidValue(f"'{at}[{index}].text' must be a string.", param=f"{at}[{index}].text")
        parts.append(text)
    return "".join(parts)


def _reasoning_parts(value: object) -> list[ReasoningText]:
    """Reasoning sent back is of use only as plain text. Other servers' (a summary, something encrypted) is passed over:
    a client can't help having it in its history."""
    parts = value if isinstance(value, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "reasoning_text"]
    return [ReasoningText(text) for text in texts if isinstance(text, str) and text]
