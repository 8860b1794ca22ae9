"""schema.json: it is a schema, what it allows can be read, and what a server writes is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest
from caesura.protocol.append_items import parse_append
from caesura.protocol.codec import decode_client_message
from caesura.protocol.events import (
    DoneResponse,
    OutputItemAdded,
    OutputItemDone,
    ResponseCancelled,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)
from caesura.protocol.items import FunctionCall, parse_input
from caesura.protocol.lanes import is_lane_name
from caesura.protocol.limits import Limits
from caesura.protocol.messages import ClientMessage
from caesura.protocol.resource import Response, Usage
from caesura.protocol.server import AppendRequested, CreateRequested, ServerProtocol
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from .conftest import Validators


def test_it_is_a_schema_of_2020_12(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_definition_is_referred_to_and_every_reference_is_defined(schema: dict[str, Any]) -> None:
    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} == set(schema["$defs"])


@pytest.mark.parametrize(("union", "name"), [(ClientMessage, "ClientMessage"), (ServerEvent, "ServerMessage")])
def test_every_message_is_in_its_direction(schema: dict[str, Any], union: Any, name: str) -> None:
    kinds = [kind["$ref"].rpartition("/")[2] for kind in schema["$defs"][name]["oneOf"]]
    assert sorted(kinds) == sorted(cls.__name__ for cls in get_args(union))
    tags = [schema["$defs"][kind]["properties"]["type"]["const"] for kind in kinds]
    assert sorted(tags) == sorted(cls.__struct_config__.tag for cls in get_args(union))


# --- what it allows can be read -----------------------------------------------------------------------------------

_texts = st.sampled_from(["", "a", "call_1", "{}", "\x00", "ü"])
_anything = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), _texts, st.just([]), st.just({}))
_parts = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["input_text", "output_text", "text", "refusal", "image"]), "text": _texts | st.none()}
    ),
    max_size=2,
)
_content = st.one_of(_texts, _parts, _anything)
_items = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["message", "function_call", "function_call_output", "reasoning", "caesura:hosted_call", "other"]
        ),
        "role": st.sampled_from(["user", "developer", "system", "assistant", "tool"]),
        "content": _content,
        "call_id": _texts | _anything,
        "name": _texts | _anything,
        "arguments": _texts | _anything,
        "output": _content,
        "status": st.sampled_from(["completed", "incomplete", "failed", "odd", None]),
    },
)
_inputs = st.one_of(_anything, st.lists(_items, max_size=3))


@settings(max_examples=400, deadline=None)
@given(value=_inputs)
def test_an_input_that_the_schema_allows_can_be_used(value: Any, validators: Validators) -> None:
    if validators.is_valid("CreateInput", value):
        parse_input(value)
    if validators.is_valid("AppendInput", value):
        if isinstance(value, list):  # that outputs come first is the one rule that the schema can't tell
            value = sorted(value, key=lambda item: item.get("type") != "function_call_output")
        parse_append(value, max_items=3)


@settings(max_examples=300, deadline=None)
@given(
    message=st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                ["response.create", "response.append", "response.cancel", "response.resume", "response.other"]
            )
        },
        optional={
            name: _anything
            for name in ("model", "input", "tools", "stop", "seed", "metadata", "stream_id", "response_id", "text")
        }
        | {"starting_after": st.integers(-3, 3) | _anything},
    )
)
def test_a_message_that_the_schema_allows_can_be_decoded(message: dict[str, Any], validators: Validators) -> None:
    if validators.is_valid("ClientMessage", message):
        decode_client_message(json.dumps(message))


@given(name=st.text(st.sampled_from("aZ0_.- ü/"), max_size=4) | st.sampled_from(["a" * 256, "a" * 257]))
def test_lane_names_are_the_same(name: str, validators: Validators) -> None:
    message = {"type": "response.cancel", "stream_id": name}
    assert validators.is_valid("ClientMessage", message) == is_lane_name(name)


# --- what a server writes is allowed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        "not JSON",
        "{}",
        '{"type":"response.create"}',
        '{"type":"response.create","input":"x","stream_id":"a b"}',
        '{"type":"response.append","input":[],"stream_id":"lane"}',
        '{"type":"response.append","input":[{"type":"function_call_output"}],"response_id":"resp_0"}',
        '{"type":"response.cancel"}',
        '{"type":"response.resume","response_id":"resp_0"}',
    ],
)
def test_errors_that_a_server_sends_are_allowed(frame: str, validators: Validators) -> None:
    connection = ServerProtocol().connect(0.0)
    connection.receive(frame, 0.0)
    sent = connection.next_frame()
    assert sent is not None
    assert json.loads(sent)["type"] == "error"
    validators.validate("ServerMessage", json.loads(sent))


def test_what_a_server_sends_in_a_whole_session_is_allowed(validators: Validators) -> None:
    """An early answer, a pause, a takeover, a gap with its snapshot, a cancel: on a named lane."""
    server = ServerProtocol(replace(Limits(), max_replay_events=2))
    first, second = server.connect(0.0), server.connect(0.0)
    first.receive('{"type":"response.create","model":"m","input":"x","stream_id":"lane"}', 0.0)
    create = server.next_request()
    assert isinstance(create, CreateRequested)
    server.accept(create, 0.0)
    whole = Response(id="resp_1", created_at=1, status="in_progress", model="m")
    server.emit(create.response, ResponseCreated(response=whole), 0.0)
    for index, name in enumerate("ab"):
        call = FunctionCall(id=f"fc_{name}", call_id=name, name="f", arguments="{}", status="in_progress")
        server.emit(create.response, OutputItemAdded(output_index=index, item=call), 0.0)
        done = msgspec.structs.replace(call, status="completed")
        server.emit(create.response, OutputItemDone(output_index=index, item=done), 0.0)
    output = {"type": "function_call_output", "call_id": "a", "output": "1"}
    append = {"type": "response.append", "stream_id": "lane", "input": [output]}
    first.receive(json.dumps(append), 0.0)
    early = server.next_request()
    assert isinstance(early, AppendRequested)
    server.accept(early, 0.0)
    usage = Usage(input_tokens=1, output_tokens=2, total_tokens=3)
    pause = DoneResponse(id="resp_1", usage=usage, required_input=create.response.required_input)
    server.emit(create.response, ResponseDone(response=pause), 0.0)
    second.receive('{"type":"response.resume","response_id":"resp_1"}', 0.0)
    second.receive('{"type":"response.resume","response_id":"resp_1","starting_after":5}', 0.0)
    first.receive(json.dumps({**append, "response_id": "resp_1"}), 0.0)
    final = msgspec.structs.replace(whole, status="cancelled", incomplete_details={"reason": "client_request"})
    server.emit(create.response, ResponseCancelled(response=final), 0.0)

    frames = [json.loads(frame) for connection in (first, second) for frame in iter(connection.next_frame, None)]
    for frame in frames:
        validators.validate("ServerMessage", frame)
        assert frame["type"] == "error" or frame["stream_id"] == "lane"
    kinds = {frame["type"] for frame in frames}
    assert kinds >= {"response.appended", "response.detached", "response.resumed", "response.cancelled", "error"}
    assert [frame["error"]["code"] for frame in frames if frame["type"] == "error"] == [
        "response_detached",
        "events_lost",
    ]
