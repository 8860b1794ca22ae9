"""The message reference: every message of both directions, and the objects inside of them."""

from __future__ import annotations

from collections.abc import Sequence

from caesura.protocol.resource import Response

from .schema import INPUT_ITEMS, Json
from .shapes import CLIENT, CONNECTION, EVENTS, STREAM, Field, Shape, objects, shape

_NUMBERED = ("sequence_number", "stream_id")


def client_messages() -> str:
    """What a client sends: a table each."""
    return _sections(CLIENT)


def response_events() -> str:
    """The numbered events that say where a Response stands. What they share is told once, in the text around them."""
    return _lines("event", [cls for cls in EVENTS if cls not in STREAM])


def stream_events() -> str:
    """The Responses API's own stream events."""
    return _lines("event", STREAM)


def connection_messages() -> str:
    """What belongs to the connection: a table each."""
    return _sections(CONNECTION)


def inner_objects() -> str:
    """What the messages hold: the Response object with a table of its own, the others a line each."""
    found = list(objects())
    found.remove(Response)
    return f"{_sections([Response])}\n\n#### Others\n\n{_lines('object', found)}"


def input_items() -> str:
    """What the `input` of a create and of an append holds."""
    lines = ["| item | fields | |", "|---|---|---|"]
    for name, item in INPUT_ITEMS.items():
        fields = [
            f"`{field}` {_kind(kind)}{'' if field in item['required'] else ' (optional)'}"
            for field, kind in item["properties"].items()
        ]
        lines.append(f"| {name} | {', '.join(fields)} | {item['description']} |")
    return "\n".join(lines)


def _kind(schema: Json) -> str:
    match schema:
        case {"const": value}:
            return f"`{value}`"
        case {"enum": values}:
            return f"one of {', '.join(f'`{value}`' for value in values)}"
        case {"anyOf": kinds}:
            return " or ".join(map(_kind, kinds))
        case {"type": "array", "items": items}:
            return f"array of {_kind(items)}"
        case {"$ref": reference}:
            return str(reference).rpartition("/")[2]
    return str(schema["type"])


def _sections(classes: Sequence[type]) -> str:
    return "\n\n".join(_section(shape(cls)) for cls in classes)


def _section(found: Shape) -> str:
    title = f"`{found.tag}`" if found.tag else found.name
    rows = [
        f"| {', '.join(f'`{name}`' for name in names)} | {kind} | {'required' if required else ''} |"
        for names, kind, required in _grouped(found.fields)
    ]
    table = "\n".join(["| field | type | |", "|---|---|---|", *rows])
    return "\n\n".join([f"#### {title}", found.text, table])


def _grouped(fields: Sequence[Field]) -> list[tuple[list[str], str, bool]]:
    """Neighbours that differ in name alone share a row: a create has two dozen fields."""
    rows: list[tuple[list[str], str, bool]] = []
    for field in fields:
        if rows and rows[-1][1:] == (field.type, field.required):
            rows[-1][0].append(field.name)
        else:
            rows.append(([field.name], field.type, field.required))
    return rows


def _lines(what: str, classes: Sequence[type]) -> str:
    """One table for all. Every field is required unless it says otherwise."""
    lines = [f"| {what} | fields | |", "|---|---|---|"]
    for cls in classes:
        found = shape(cls)
        of_type = f", `type` `{found.tag}`" if found.tag and what == "object" else ""
        title = f"`{found.tag}`" if found.tag and what == "event" else f"{found.name}{of_type}"
        fields = [_named(field) for field in found.fields if field.name not in _NUMBERED or what == "object"]
        lines.append(f"| {title} | {', '.join(fields)} | {' '.join(found.text.split())} |")
    return "\n".join(lines)


def _named(field: Field) -> str:
    return f"`{field.name}` {field.type}{'' if field.required else ' (optional)'}"
