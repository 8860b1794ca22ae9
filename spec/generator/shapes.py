"""The messages' structs as data: names, types, which fields are always there, and what their docstrings say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import msgspec
from caesura.protocol import events, items, messages, resource
from msgspec import inspect

CLIENT = get_args(messages.ClientMessage)
STREAM = get_args(events.StreamEvent)
EVENTS = get_args(events.ResponseEvent)
CONNECTION = tuple(cls for cls in get_args(events.ServerEvent) if cls not in EVENTS)

_REQUIRED_OF_CLIENTS: dict[type, frozenset[str]] = {
    messages.ResponseCreate: frozenset({"model", "input"}),
    messages.ResponseAppend: frozenset({"input"}),
}
"""What the server refuses a message without, though the struct reads it: the error can then name the field."""

_OF_EVERY_RESPONSE = frozenset(
    {"id", "object", "created_at", "status", "model", "output", "usage", "error", "incomplete_details"}
)
"""The other fields of a Response object echo the request or have one value alone; a peer can do without them."""

NEVER_NULL: dict[type, frozenset[str]] = {events.DoneResponse: frozenset({"id", "usage"})}
"""What the protocol requires, though the client reads it leniently."""

_INPUTS: dict[tuple[type, str], str] = {
    (messages.ResponseCreate, "input"): "string or array of input items",
    (messages.ResponseAppend, "input"): "string or array of outputs and messages",
}

_UNIONS = {frozenset(get_args(items.OutputItem)): "output item"}


@dataclass(frozen=True, slots=True)
class Field:
    """``type`` is for people; ``required`` is whether the field has to be there."""

    name: str
    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """One struct. ``tag`` is the value of its ``type``, if it has one."""

    name: str
    tag: str | None
    text: str
    fields: tuple[Field, ...]


def shape(cls: type) -> Shape:
    """What a struct looks like on the wire."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    fields = tuple(Field(field.encode_name, _field_type(cls, field), is_required(cls, field)) for field in info.fields)
    return Shape(cls.__name__, None if info.tag is None else str(info.tag), plain(cls.__dict__.get("__doc__")), fields)


def _field_type(cls: type, field: inspect.Field) -> str:
    name = _INPUTS.get((cls, field.encode_name)) or type_name(field.type)
    return name.removesuffix(" or null") if field.encode_name in NEVER_NULL.get(cls, ()) else name


def is_required(cls: type, field: inspect.Field) -> bool:
    """Whether a sender has to give this field.

    A client may leave out what has a default. A server leaves out only what may be unset (a field that is neither
    required nor has a default is one), and in a Response object what says nothing new.
    """
    if cls in CLIENT:
        return field.required or field.encode_name in _REQUIRED_OF_CLIENTS.get(cls, frozenset())
    if cls is resource.Response:
        return field.encode_name in _OF_EVERY_RESPONSE
    has_default = field.default is not msgspec.NODEFAULT or field.default_factory is not msgspec.NODEFAULT
    return field.required or has_default


def type_name(kind: inspect.Type) -> str:
    """A type as a reader of JSON calls it."""
    match kind:
        case inspect.UnionType(types=types):
            structs = frozenset(member.cls for member in types if isinstance(member, inspect.StructType))
            if structs in _UNIONS and len(structs) == len(types):
                return _UNIONS[structs]
            return " or ".join(type_name(member) for member in types)
        case inspect.StructType(cls=cls):
            return str(cls.__name__)
        case inspect.ListType(item_type=item):
            return f"array of {type_name(item)}"
        case inspect.DictType():
            return "object"
        case inspect.StrType():
            return "string"
        case inspect.IntType():
            return "integer"
        case inspect.FloatType():
            return "number"
        case inspect.BoolType():
            return "boolean"
        case inspect.NoneType():
            return "null"
        case inspect.AnyType():
            return "any"
    raise TypeError(f"no name for {kind}: add one")


def objects() -> Iterator[type]:
    """The structs inside of the server's messages, each once, a struct before those inside of it."""
    seen: dict[type, None] = {}

    def visit(kind: inspect.Type) -> None:
        match kind:
            case inspect.StructType(cls=cls, fields=fields):
                if cls in seen:
                    return
                seen[cls] = None
                for field in fields:
                    visit(field.type)
            case inspect.UnionType(types=types):
                for member in types:
                    visit(member)
            case inspect.ListType(item_type=item):
                visit(item)

    for cls in (*EVENTS, *CONNECTION):
        visit(inspect.type_info(cls))
    return (cls for cls in seen if cls not in EVENTS and cls not in CONNECTION)


_ROLE = re.compile(r":[a-z]+:`~?\.?([^`]+)`")


def plain(doc: str | None) -> str:
    """A docstring as Markdown: one line a paragraph, no references to the code's own modules."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in (doc or "").strip().split("\n\n")]
    text = "\n\n".join(paragraphs).replace("``", "`")
    text = re.sub(r"\bNone\b", "null", text)
    text = re.sub(r"\s*See :[a-z]+:`[^`]*`\.", "", text)
    return _ROLE.sub(r"`\1`", text)
