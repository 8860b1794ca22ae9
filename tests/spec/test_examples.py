"""Every JSON example of the text is a real message: for the decoder, for the schema, and for the wire."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from caesura.protocol.append_items import parse_append
from caesura.protocol.codec import decode_client_message, decode_server_event, encode
from caesura.protocol.items import parse_input
from caesura.protocol.messages import ResponseAppend, ResponseCreate

if TYPE_CHECKING:
    from .conftest import Example, Validators


def decoded(example: Example) -> Any:
    """What the real decoder makes of it; fails if it makes nothing."""
    decode = decode_client_message if example.direction == "client" else decode_server_event
    message = decode(example.frame)
    assert message is not None, f"unknown type: {example.message['type']}"
    return message


def assert_holds(given: Any, written: Any, path: str = "$") -> None:
    """All that was given is in what was written."""
    if isinstance(given, dict):
        assert given.keys() <= written.keys(), f"{path}: {given.keys() - written.keys()} is no field"
        for key in given:
            assert_holds(given[key], written[key], f"{path}.{key}")
    elif isinstance(given, list):
        assert len(given) == len(written), path
        for at, (mine, theirs) in enumerate(zip(given, written, strict=True)):
            assert_holds(mine, theirs, f"{path}[{at}]")
    else:
        assert given == written, path


def test_the_text_has_examples_of_every_message_of_append_mode(examples: list[Example]) -> None:
    assert {example.message["type"] for example in examples} >= {
        "response.create",
        "response.append",
        "response.cancel",
        "response.resume",
        "response.created",
        "response.done",
        "response.appended",
        "response.completed",
        "response.cancelled",
        "response.resumed",
        "response.detached",
        "error",
    }


def test_the_decoder_reads_each_and_the_encoder_writes_it_again(examples: list[Example]) -> None:
    for example in examples:
        assert_holds(example.message, json.loads(encode(decoded(example))))


def test_each_input_can_be_used(examples: list[Example]) -> None:
    for example in examples:
        match decoded(example):
            case ResponseCreate() as create:
                assert parse_input(create.input)
            case ResponseAppend() as append:
                assert parse_append(append.input, max_items=10)


def test_each_is_valid(examples: list[Example], validators: Validators) -> None:
    for example in examples:
        validators.validate("ClientMessage" if example.direction == "client" else "ServerMessage", example.message)


def test_none_is_valid_in_the_other_direction(examples: list[Example], validators: Validators) -> None:
    for example in examples:
        other = "ServerMessage" if example.direction == "client" else "ClientMessage"
        assert not validators.is_valid(other, example.message)


def test_none_is_valid_with_a_required_field_less(
    examples: list[Example], schema: dict[str, Any], validators: Validators
) -> None:
    """The schema has teeth: every field that it calls required is missed."""
    types = {
        definition["properties"]["type"]["const"]: name
        for name, definition in schema["$defs"].items()
        if "const" in definition.get("properties", {}).get("type", {})
    }
    for example in examples:
        name = types[example.message["type"]]
        for field in schema["$defs"][name]["required"]:
            less = {key: value for key, value in example.message.items() if key != field}
            assert not validators.is_valid(name, less), f"{name} without {field}"


def test_none_is_valid_with_a_number_for_a_name(examples: list[Example], validators: Validators) -> None:
    for example in examples:
        for broken, path in _with_numbers_for_strings(example.message):
            direction = "ClientMessage" if example.direction == "client" else "ServerMessage"
            assert not validators.is_valid(direction, broken), path


_NAMES = ("type", "response_id", "stream_id", "call_id", "item_id", "code", "model", "status", "delta")
"""Fields that hold a string wherever they are, but for what is given back as it was sent."""


def _with_numbers_for_strings(message: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    def walk(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in pairs:
            if key not in ("tools", "input"):
                yield from walk(inner, (*path, key))
        if path and path[-1] in _NAMES and isinstance(value, str):
            yield path

    for path in walk(message, ()):
        broken = copy.deepcopy(message)
        holder = broken
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = 7
        yield broken, f"{message['type']}: {path}"
