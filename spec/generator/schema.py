"""`spec/schema.json`: JSON Schema 2020-12 of every message, from the structs.

What the structs leave open is added here: what a client has to give, what an append and a create hold as `input`
(the server reads it leniently, field by field), and the bounds of a few fields.
"""

from __future__ import annotations

from typing import Any

import msgspec
from caesura.protocol.append_items import ROLES
from caesura.protocol.items import FunctionCallOutput, HostedCall, InputMessage

from .shapes import CLIENT, CONNECTION, EVENTS, NEVER_NULL, objects, shape

Json = dict[str, Any]

_TEXT: Json = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/$defs/TextPart"}}]}
_NAME: Json = {"type": "string", "minLength": 1}


def _message(roles: tuple[str, ...]) -> Json:
    return {
        "type": "object",
        "description": "A message. `type` may be left out.",
        "properties": {"type": {"const": "message"}, "role": {"enum": list(roles)}, "content": _TEXT},
        "required": ["role", "content"],
    }


def _item(kind: str, description: str, fields: dict[str, Json], optional: tuple[str, ...] = ()) -> Json:
    return {
        "type": "object",
        "description": description,
        "properties": {"type": {"const": kind}, **fields},
        "required": ["type", *(name for name in fields if name not in optional)],
    }


def _input(description: str, *kinds: str) -> Json:
    reasoning = {"$ref": "#/$defs/InputReasoning"}
    items = {"anyOf": [*({"$ref": f"#/$defs/{kind}"} for kind in kinds), reasoning]}
    return {
        "description": f"{description} A string is one user message.",
        "anyOf": [_NAME, {"type": "array", "minItems": 1, "items": items, "contains": {"not": reasoning}}],
    }


_CALL: dict[str, Json] = {"call_id": _NAME, "name": _NAME, "arguments": {"type": "string"}}
_HOSTED = str(HostedCall.__struct_config__.tag)
_OUTPUT: dict[str, Json] = {"call_id": _NAME, "output": _TEXT, "status": {"enum": list(FunctionCallOutput.STATUSES)}}

INPUT_ITEMS: dict[str, Json] = {
    "InputMessage": _message(InputMessage.ROLES),
    "AppendedMessage": _message(ROLES),
    "FunctionCallOutput": _item(
        "function_call_output",
        "What a local tool returned. `failed` says that `output` is why it returned nothing.",
        _OUTPUT,
        optional=("status",),
    ),
    "InputFunctionCall": _item("function_call", "A call in a history.", _CALL),
    "InputHostedCall": _item(_HOSTED, "A hosted call in a history.", {**_CALL, "output": _TEXT}, optional=("output",)),
    "ItemReference": _item("item_reference", "A stored item, in its place.", {"id": _NAME}),
    "InputCompaction": _item(
        "compaction",
        "A summary of what came before it, as /v1/responses/compact made it.",
        {"encrypted_content": _NAME},
    ),
    "InputReasoning": _item("reasoning", "What a model thought, sent back. An append's are passed over.", {}),
    "TextPart": {
        "type": "object",
        "description": "A part of a message or of an output. Only text is read.",
        "properties": {"type": {"enum": ["input_text", "output_text", "text"]}, "text": {"type": "string"}},
        "required": ["type", "text"],
    },
}

_INPUTS: dict[str, Json] = {
    "CreateInput": _input(
        "What a Response begins with: a history, oldest item first.",
        "InputMessage",
        "FunctionCallOutput",
        "InputFunctionCall",
        "InputHostedCall",
        "ItemReference",
        "InputCompaction",
    ),
    "AppendInput": _input("Outputs of open calls, and after them messages.", "FunctionCallOutput", "AppendedMessage"),
}

_LANE: Json = {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,256}$"}
_FIELDS: dict[tuple[str | None, str], Json] = {
    (None, "stream_id"): _LANE,
    (None, "sequence_number"): {"type": "integer", "minimum": 0},
    (None, "output_index"): {"type": "integer", "minimum": 0},
    (None, "content_index"): {"type": "integer", "minimum": 0},
    ("ResponseCreate", "input"): {"$ref": "#/$defs/CreateInput"},
    ("ResponseAppend", "input"): {"$ref": "#/$defs/AppendInput"},
    ("ResponseResume", "starting_after"): {"type": "integer", "minimum": -1, "default": -1},
    ("ResponseResumed", "starting_after"): {"type": "integer", "minimum": -1},
    ("ResponseResumed", "last_sequence_number"): {"type": "integer", "minimum": 0},
    ("DoneResponse", "status"): {"const": "in_progress"},
    ("RequiredInput", "type"): {"const": "function_call_output"},
    ("ErrorEvent", "input"): {"description": "The `input` of the append, as it was sent."},
}
"""Bounds that the structs don't have, by struct (None: all of them) and field."""


def schema() -> Json:
    """The whole document. `ClientMessage` and `ServerMessage` are the two directions."""
    classes = [*CLIENT, *EVENTS, *CONNECTION, *objects()]
    _, components = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    definitions = {cls.__name__: _definition(cls, components[cls.__name__]) for cls in classes}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The done/append protocol",
        "description": "Every message, both directions. Generated by spec/generate.py; the text is spec/PROTOCOL.md.",
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": {
            "ClientMessage": _one_of(CLIENT, "What a client sends."),
            "ServerMessage": _one_of((*EVENTS, *CONNECTION), "What a server sends."),
            **definitions,
            **_INPUTS,
            **INPUT_ITEMS,
        },
    }


def _one_of(classes: tuple[type, ...], description: str) -> Json:
    return {"description": description, "oneOf": [{"$ref": f"#/$defs/{cls.__name__}"} for cls in classes]}


def _definition(cls: type, made: Json) -> Json:
    found = shape(cls)
    fields = {field.name: field for field in found.fields}
    properties = {
        name: {"const": found.tag} if name == "type" and found.tag else _property(cls, name, value)
        for name, value in made["properties"].items()
    }
    required = [name for name in properties if (name == "type" and found.tag) or fields[name].required]
    text = {"description": found.text} if found.text else {}
    return {"title": found.name, **text, "type": "object", "properties": properties, "required": required}


def _property(cls: type, name: str, value: Json) -> Json:
    for key in ((cls.__name__, name), (None, name)):
        if key in _FIELDS:
            return _FIELDS[key]
    kept = dict(_without_discriminators(value))
    if name in NEVER_NULL.get(cls, ()):
        (kept,) = (kind for kind in kept["anyOf"] if kind != {"type": "null"})
    if cls not in CLIENT or kept.get("default", 0) is None:
        kept.pop("default", None)
    return kept


def _without_discriminators(value: Any) -> Any:
    """`discriminator` is OpenAPI's, and another thing in AsyncAPI; the constant `type` tells structs apart as well."""
    if isinstance(value, dict):
        return {key: _without_discriminators(inner) for key, inner in value.items() if key != "discriminator"}
    if isinstance(value, list):
        return [_without_discriminators(inner) for inner in value]
    return value
