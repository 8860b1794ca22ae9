"""Every field of a create: what is taken is echoed, what can't be is an error that names it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from caesura.protocol.events import ErrorEvent, ResponseCompleted, ResponseCreated
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.session import Session
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model
from caesura.sampler.replay import ReplayScript

TOOL: dict[str, Any] = {
    "type": "function",
    "name": "read_file",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
PAUSING = [{"calls": [{"name": "read_file", "arguments": {"path": "a"}}]}, {"text": "ok"}]


def form(**fields: Any) -> dict[str, Any]:
    return {"text": {"format": fields}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.5, "top_p": 0.5, "presence_penalty": -1.5, "frequency_penalty": 2.0},
        {"top_logprobs": 20},
        {"max_tool_calls": 3, "max_output_tokens": 500},
        {"parallel_tool_calls": False},
        {"tool_choice": "auto"},
        {"tool_choice": "none"},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "name": "read_file"}},
        {"tool_choice": {"type": "caesura:calculate"}},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "read_file"}, {"type": "caesura:calculate"}],
            }
        },
        {"text": {"format": {"type": "text"}, "verbosity": "low"}},
        form(type="json_object"),
        form(type="json_schema", name="answer", schema=SCHEMA, strict=True, description="An answer."),
        {"reasoning": {"effort": "high", "summary": None}},
        {"reasoning": {"effort": "none", "summary": "auto", "generate_summary": None}},
        {"metadata": {"a": "b"}},
        {"metadata": {f"{at:064}": "x" * 512 for at in range(16)}},
        {"truncation": "auto"},
        {"truncation": "disabled", "store": False},
        {"user": "u", "safety_identifier": "s" * 128, "prompt_cache_key": "k"},
    ],
)
def test_what_is_taken_is_echoed(play: Any, fields: dict[str, Any]) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL, {"type": "caesura:calculate"}], **fields)
        await peer.until(lambda: bool(peer.events))
        (created,) = peer.of(ResponseCreated)
        assert {name: getattr(created.response, name) for name in fields} == fields
        await peer.until_paused_or_ended(response)

    play(scenario, [{"text": "ok"}])


@pytest.mark.parametrize(
    "fields",
    [
        {"include": ["reasoning.encrypted_content", 3], "stop": [], "text": {}, "min_p": 0.1, "seed": 7},
        {"text": {"verbosity": "low"}, "tool_choice": None, "parallel_tool_calls": None, "reasoning": None},
        {"text": {"format": None}, "stop": "END"},
        {"stop": ["a", "b"]},
        {"truncation": None, "metadata": None, "user": None, "conversation": None, "prompt": None, "background": None},
        {"stream": True, "stream_options": {"include_obfuscation": False}, "service_tier": "flex", "generate": True},
        {"caesura": {"prefix_reuse": False, "from_the_future": 1}},
        {"caesura": {"prefix_reuse": None}, "stream_options": 3},
        {
            "tools": [{"type": "web_search"}],
            "tool_choice": {"type": "allowed_tools", "tools": [{"type": "web_search"}]},
        },
    ],
)
def test_what_clients_send_and_is_not_echoed(play: Any, fields: dict[str, Any]) -> None:
    async def scenario(peer: Any) -> None:
        await peer.until_paused_or_ended(await peer.create(**fields))
        (event,) = peer.of(ResponseCompleted)
        assert event.response.text["format"] == {"type": "text"}
        assert event.response.tool_choice == ("none" if "tools" in fields else "auto")
        assert event.response.parallel_tool_calls is True
        assert event.response.reasoning == {"effort": None, "summary": None}
        assert event.response.service_tier == "default"

    play(scenario, [{"text": "ok"}])


OF_EVERY_RESPONSE = (
    *("id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id"),
    *("instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p"),
    *("presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "user", "usage"),
    *("max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata"),
    *("safety_identifier", "prompt_cache_key"),
)
"""What Open Responses requires of a Response object."""


def test_no_field_of_a_response_is_left_out(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        await peer.finish(await peer.create(tools=[TOOL]))
        for kind in (ResponseCreated, ResponseCompleted):
            (event,) = peer.of(kind)
            sent = msgspec.to_builtins(event.response)
            assert [name for name in OF_EVERY_RESPONSE if name not in sent] == []
            (tool,) = sent["tools"]
            assert tool == {**TOOL, "description": None, "strict": None}
            assert sent["text"] == {"format": {"type": "text"}}

    play(scenario, PAUSING)


INVALID: list[tuple[dict[str, Any], str, str]] = [
    *(
        ({name: value}, "invalid_value", name)
        for name in ("presence_penalty", "frequency_penalty")
        for value in (-2.1, 3)
    ),
    *(({name: 10**400}, "invalid_value", name) for name in ("top_k", "seed", "max_output_tokens", "top_logprobs")),
    *(({name: 0}, "invalid_value", name) for name in ("max_tool_calls", "max_output_tokens")),
    ({"max_tool_calls": -1}, "invalid_value", "max_tool_calls"),
    ({"max_output_tokens": 2**31}, "invalid_value", "max_output_tokens"),
    ({"min_p": 1.5}, "invalid_value", "min_p"),
    ({"top_logprobs": 21}, "invalid_value", "top_logprobs"),
    ({"top_logprobs": -1}, "invalid_value", "top_logprobs"),
    ({"stop": ""}, "invalid_value", "stop"),
    ({"stop": ["a"] * 17}, "invalid_value", "stop"),
    ({"stop": ["x" * 2**20]}, "invalid_value", "stop"),
    ({"stop": ["x"] * 2**20}, "invalid_value", "stop"),
    ({"tool_choice": "any"}, "invalid_value", "tool_choice"),
    ({"tool_choice": 10**30}, "invalid_value", "tool_choice"),
    ({"tool_choice": ["auto"]}, "invalid_value", "tool_choice"),
    ({"tool_choice": {"type": "custom", "name": "read_file"}}, "unsupported", "tool_choice"),
    ({"tool_choice": {"type": "file_search"}}, "unsupported", "tool_choice"),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}},
        "unsupported",
        "tool_choice.tools",
    ),
    ({"tools": [TOOL, {"type": "file_search", "vector_store_ids": ["vs"]}]}, "unsupported", "tools[1].type"),
    ({"tools": [{"type": "caesura:nothing"}]}, "unsupported", "tools[0].type"),
    ({"conversation": "conv_1"}, "unsupported", "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "unsupported", "prompt"),
    ({"truncation": "middle"}, "invalid_value", "truncation"),
    ({"metadata": {str(at): "" for at in range(17)}}, "invalid_value", "metadata"),
    ({"metadata": {"k" * 65: ""}}, "invalid_value", "metadata"),
    ({"metadata": {"k": "v" * 513}}, "invalid_value", "metadata.k"),
    ({"metadata": {"k": 3}}, "invalid_value", "metadata[...]"),
    *(({name: "x" * 513}, "invalid_value", name) for name in ("user", "safety_identifier", "prompt_cache_key")),
    ({"reasoning": {"effort": 3}}, "invalid_value", "reasoning.effort"),
    ({"caesura": {"prefix_reuse": "no"}}, "invalid_value", "caesura.prefix_reuse"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "unsupported_content", "input[0].content[0]"),
    ({"tool_choice": {"type": ["function"], "name": "x"}}, "invalid_value", "tool_choice"),
    ({"tool_choice": {"type": "function", "name": "gone"}}, "invalid_value", "tool_choice"),
    ({"tool_choice": {"type": "function", "name": ["read_file"]}}, "invalid_value", "tool_choice"),
    ({"tool_choice": {"type": "caesura:calculate"}}, "invalid_value", "tool_choice"),
    ({"tool_choice": "required", "tools": []}, "invalid_value", "tool_choice"),
    ({"tool_choice": "required", "tools": [{"type": "web_search"}]}, "invalid_value", "tool_choice"),
    ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "invalid_value", "tool_choice"),
    ({"tool_choice": {"type": "allowed_tools", "mode": "some", "tools": [1]}}, "invalid_value", "tool_choice"),
    (
        {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "gone"}]}},
        "invalid_value",
        "tool_choice.tools[0]",
    ),
    ({"tools": [{**TOOL, "strict": "yes"}]}, "invalid_tool_schema", "tools[0].strict"),
    (
        {"tools": [TOOL, {**TOOL, "name": "b", "strict": True, "parameters": {"type": "object", "not": {}}}]},
        "invalid_tool_schema",
        "tools[1].parameters",
    ),
    (
        {
            "tools": [
                {**TOOL, "strict": True, "parameters": {"type": "object", "properties": {"a": {"pattern": "(?<=a)b"}}}}
            ]
        },
        "invalid_tool_schema",
        "tools[0].parameters",
    ),
    ({"tools": [{**TOOL, "strict": True, "parameters": nested(100)}]}, "message_too_deep", None),
    ({"text": {"format": "json_object"}}, "invalid_value", "text.format"),
    (form(type="yaml"), "invalid_value", "text.format"),
    (form(type=["json_object"]), "invalid_value", "text.format"),
    (form(type="json_schema", schema=SCHEMA), "invalid_value", "text.format.name"),
    (form(type="json_schema", name="a"), "invalid_value", "text.format.schema"),
    (form(type="json_schema", name="a", schema=True), "invalid_value", "text.format.schema"),
    (form(type="json_schema", name="a", schema=SCHEMA, strict=1), "invalid_value", "text.format.strict"),
    (form(type="json_schema", name="a", schema={"type": "banana"}), "invalid_value", "text.format.schema"),
    (form(type="json_schema", name="a", schema=nested(100)), "message_too_deep", None),
    (form(type="json_schema", name="a", schema={"$ref": "#/nowhere"}), "invalid_value", "text.format.schema"),
]


def test_what_can_not_be_taken(play: Any) -> None:
    """One error each, and the Response that is paused on the lane never notices."""

    async def scenario(peer: Any) -> None:
        paused = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(paused)
        for count, (fields, code, param) in enumerate(INVALID, start=1):
            message = {"type": "response.create", "model": "test", "input": "hi", "tools": [TOOL], **fields}
            peer.session.receive(json.dumps(message))
            await peer.until(lambda count=count: len(peer.of(ErrorEvent)) == count)  # type: ignore[misc]
            error = peer.of(ErrorEvent)[-1]
            assert (error.error.code, error.error.param, error.status) == (code, param, 400), (fields, error)
            assert error.error.message
        await peer.finish(paused)
        assert len(peer.of(ResponseCompleted)) == 1

    play(scenario, PAUSING)


@pytest.fixture(scope="module")
def service(model: Model) -> Iterator[Service]:
    engine = LlamaEngine(model, context_length=256, sequences=1)
    replay = ReplayScript.parse({"turns": [{"text": "ok"}]})
    yield Service(model, engine, frozenset({"test"}), replay)
    asyncio.run(engine.close())


DEEP = '{"type": "object", "properties": {"a": ' * 50_000 + "{}" + "}}" * 50_000


@pytest.mark.parametrize(
    "frame",
    [
        '{"type": "response.create", "model": "test", "input": "hi", "temperature": NaN}',
        '{"type": "response.create", "model": "test", "input": "hi", "temperature": -Infinity}',
        '{"type": "response.create", "model": "test", "input": "hi", "temperature": 1e999}',
        '{"type": "response.create", "model": "test", "input": "hi", "seed": ' + "9" * 5000 + "}",
        '{"type": "response.create", "model": "test", "input": "hi", "stop": 3}',
        '{"type": "response.create", "model": "test", "input": "hi", "stop": ["a", 3]}',
        '{"type": "response.create", "model": "test", "input": "hi", "text": "json"}',
        '{"type": "response.create", "model": "test", "input": "hi", "reasoning": "high"}',
        '{"type": "response.create", "model": "test", "input": "hi", "include": "logprobs"}',
        '{"type": "response.create", "model": "test", "input": "hi", "parallel_tool_calls": 1}',
        '{"type": "response.create", "model": "test", "input": "hi", "max_tool_calls": 1.5}',
        *(
            '{"type": "response.create", "model": "test", ' + field + "}"
            for field in (
                '"input": "\\ud800"',
                '"input": "hi", "stop": "\\udfff"',
                '"input": "hi", "instructions": "a\\ud83d"',
                '"input": "hi", "tools": [{"type": "function", "name": "\\ud800"}]',
            )
        ),
        '{"type": "response.create", "model": "test", "input": "a lone \ud800"}',
        '{"type": "response.create", "model": "test", "input": "hi", "tools": [{"type": "function", "name": "f", '
        '"strict": true, "parameters": ' + DEEP + "}]}",
        '{"type": "response.create", "model": "test", "input": "hi", "text": {"format": {"type": "json_schema", '
        '"name": "f", "schema": ' + DEEP + "}}}",
    ],
    ids=lambda frame: frame[60:100],
)
def test_frames_that_are_no_message(play: Any, frame: str) -> None:
    async def scenario(peer: Any) -> None:
        peer.session.receive(frame)
        await peer.until(lambda: bool(peer.events))
        assert peer.error.status == 400
        assert peer.error.error.code in ("invalid_json", "invalid_value", "message_too_deep")
        await peer.until_paused_or_ended(await peer.create())
        assert len(peer.of(ResponseCompleted)) == 1

    play(scenario, [{"text": "ok"}])


@pytest.mark.parametrize("depth", [10, 50, *range(55, 67), 100, 990, 1000])
@pytest.mark.parametrize(
    "field",
    [
        '"reasoning": DEEP',
        '"text": {"verbosity": DEEP}',
        '"tools": [{"type": "unknown", "x": DEEP}]',
        '"tool_choice": {"type": "allowed_tools", "tools": [DEEP]}',
        '"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object", "default": DEEP}}}',
    ],
    ids=lambda field: field[:20],
)
def test_whatever_could_be_read_is_answered(service: Service, field: str, depth: int) -> None:
    """Nesting around the bound, and around what Python can do: an error, or a Response that ends, and never silence."""
    deep = '{"a": ' * depth + "1" + "}" * depth

    async def main() -> str:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def send(frame: str) -> None:
            kind = json.loads(frame)["type"]
            if kind in ("error", "response.completed") and not ended.done():
                ended.set_result(frame)

        async def close(code: int, reason: str) -> None:
            raise AssertionError(f"closed: {code} {reason}")

        rollouts = Rollouts(service)
        session = Session(rollouts, send, close)
        session.receive(
            '{"type": "response.create", "model": "test", "input": "hi", ' + field.replace("DEEP", deep) + "}"
        )
        async with asyncio.timeout(20):
            frame = await ended
        await session.disconnect()
        await rollouts.close()
        return frame

    assert '"server_error"' not in asyncio.run(main())[:400]
