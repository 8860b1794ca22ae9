"""Items: what a Response is made of, in (``input``) and out (``output``).

Output items are written by us, so they are strict tagged structs. Input items come from many clients, each with its
own habits (a message without ``type``, content as a string or as parts, their own ``reasoning`` items sent back), so
they are read leniently by :func:`parse_input` and come out as one of a few plain structs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from .content import text_of
from .errors import InvalidValue, MissingParameter
from .foreign_items import PASSED_OVER, own_form


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


class ItemReference(msgspec.Struct, frozen=True, kw_only=True, tag="item_reference"):
    """A stored item, by its id. Whoever has the store puts the item in its place."""

    id: str


class Compaction(msgspec.Struct, frozen=True, kw_only=True, tag="compaction"):
    """A summary of what came before it, in the form that the server which made it reads."""

    encrypted_content: str


class OtherItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item that is passed over; ``type`` is its own. It keeps the places of those behind it."""

    type: str


InputItem = (
    InputMessage | Reasoning | FunctionCall | FunctionCallOutput | HostedCall | ItemReference | Compaction | OtherItem
)


def parse_input(value: object, *, param: str = "input") -> list[InputItem]:
    """Read the ``input`` of a create or an append. There are as many items as in ``value``, each in its place.

    What other servers' items are read as is in :mod:`.foreign_items`. Every item may have an ``id``, a ``status``, a
    ``phase`` and fields that nobody here knows.

    :param value: decoded JSON: a string (one user message) or a list of item objects.
    :raises MissingParameter: there is nothing in it.
    :raises InvalidValue: an item is not one that can be used; ``param`` names it (``input[2].content``).
    :raises Unsupported, UnsupportedContent: the same for an item, or a part of one, that the Responses API has.
    """
    if isinstance(value, str):
        if not value:
            raise MissingParameter(f"'{param}' is empty. Give a string or a list of at least one item.", param=param)
        return [InputMessage(role="user", text=value)]
    if value is None or value is msgspec.UNSET:
        raise MissingParameter(f"'{param}' is missing. Give a string or a list of at least one item.", param=param)
    if not isinstance(value, list):
        raise InvalidValue(f"'{param}' must be a string or a list of items.", param=param)
    items = [parse_item(raw, f"{param}[{at}]") for at, raw in enumerate(value)]
    if all(isinstance(item, Reasoning | OtherItem) for item in items):
        raise MissingParameter(f"'{param}' holds nothing to answer. Give a string or at least one item.", param=param)
    return items


def parse_item(raw: object, at: str) -> InputItem:
    """One item. ``at`` is where it stands, for errors; they are those of :func:`parse_input`."""
    if not isinstance(raw, Mapping):
        raise InvalidValue(f"'{at}' must be an object.", param=at)
    raw = own_form(raw, at)
    match _kind(raw):
        case "message":
            role = _string(raw, "role", at)
            if role not in InputMessage.ROLES:
                raise InvalidValue(f"'{at}.role' must be one of {', '.join(InputMessage.ROLES)}.", param=f"{at}.role")
            return InputMessage(role=role, text=text_of(raw.get("content"), f"{at}.content"))
        case "function_call":
            return FunctionCall(
                call_id=_string(raw, "call_id", at),
                name=_string(raw, "name", at),
                arguments=_string(raw, "arguments", at),
            )
        case "function_call_output":
            return _output(raw, at)
        case HostedCall.__struct_config__.tag:
            return HostedCall(
                call_id=_string(raw, "call_id", at),
                name=_string(raw, "name", at),
                arguments=_string(raw, "arguments", at),
                output=text_of(raw.get("output"), f"{at}.output"),
            )
        case "reasoning":
            return Reasoning(content=_reasoning_parts(raw.get("content")))
        case "item_reference":
            return ItemReference(id=_string(raw, "id", at))
        case "compaction" | "compaction_summary":
            return Compaction(encrypted_content=_string(raw, "encrypted_content", at))
        case str() as kind if kind in PASSED_OVER:
            return OtherItem(type=kind)
        case kind:
            raise InvalidValue(
                f"'{at}.type' is {repr(kind)[:80]}; supported are message, function_call, function_call_output, "
                f"reasoning, item_reference, compaction and {HostedCall.__struct_config__.tag}.",
                param=f"{at}.type",
            )


def _kind(raw: Mapping[str, object]) -> object:
    """An item's type. Of messages and references, the API lets it be left out."""
    kind = raw.get("type")
    if kind is not None:
        return kind
    return "message" if "role" in raw else "item_reference" if "id" in raw else None


def _output(raw: Mapping[str, object], at: str) -> FunctionCallOutput:
    status = raw.get("status")
    if status is not None and status != "in_progress" and status not in FunctionCallOutput.STATUSES:
        statuses = ", ".join(FunctionCallOutput.STATUSES)
        raise InvalidValue(f"'{at}.status' must be one of {statuses}.", param=f"{at}.status")
    if raw.get("output") is None:
        raise InvalidValue(f"'{at}.output' is missing. Give a string or text parts.", param=f"{at}.output")
    return FunctionCallOutput(
        call_id=_string(raw, "call_id", at),
        output=text_of(raw["output"], f"{at}.output"),
        status=status if isinstance(status, str) and status != "in_progress" else "completed",
    )


def _string(raw: Mapping[str, object], key: str, at: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or (not value and key != "arguments"):
        raise InvalidValue(f"'{at}.{key}' must be a string that is not empty.", param=f"{at}.{key}")
    return value


def _reasoning_parts(value: object) -> list[ReasoningText]:
    """Reasoning sent back is of use only as plain text. Other servers' (a summary, something encrypted) is passed over:
    a client can't help having it in its history."""
    parts = value if isinstance(value, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "reasoning_text"]
    return [ReasoningText(text) for text in texts if isinstance(text, str) and text]
