"""Tool choice, strict arguments, JSON text and single calls, whatever the model would rather say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from caesura.protocol.events import OutputItemDone, ResponseCompleted, ResponseDone, ResponseIncomplete
from caesura.protocol.items import FunctionCall, OutputMessage
from jsonschema import Draft202012Validator

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Lima", 'a "quoted" one']},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "notes": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 2},
        "exact": {"type": "boolean"},
    },
    "required": ["city", "days", "notes", "exact"],
    "additionalProperties": False,
}
STRICT = {"type": "function", "name": "forecast", "parameters": SCHEMA, "strict": True}
FREE = {"type": "function", "name": "note", "parameters": {"type": "object", "properties": {"x": {"type": "null"}}}}
WILD = {"temperature": 2.0, "input": "What will the weather be like?"}


def calls_of(peer: Any) -> list[FunctionCall]:
    return [event.item for event in peer.of(OutputItemDone) if isinstance(event.item, FunctionCall)]


@pytest.fixture(params=["demo", "random"])
def any_model(request: pytest.FixtureRequest, model: Any, random_model: Any) -> Any:
    return model if request.param == "demo" else random_model


def test_strict_arguments_always_validate(play: Any, any_model: Any) -> None:
    async def scenario(peer: Any) -> None:
        for seed in range(6):
            response = await peer.create(
                tools=[STRICT], tool_choice="required", parallel_tool_calls=False, seed=seed, **WILD
            )
            await peer.until_paused_or_ended(response)
            assert response.is_paused
        calls = calls_of(peer)
        assert len(calls) == 6
        assert len({call.arguments for call in calls}) > 1
        for call in calls:
            assert (call.name, call.status) == ("forecast", "completed")
            Draft202012Validator(SCHEMA).validate(json.loads(call.arguments))

    play(scenario, served=any_model)


def test_a_named_function_is_called(play: Any, any_model: Any) -> None:
    choice = {"type": "function", "name": "note"}

    async def scenario(peer: Any) -> None:
        for seed in range(3):
            response = await peer.create(
                tools=[STRICT, FREE], tool_choice=choice, seed=seed, max_output_tokens=400, **WILD
            )
            await peer.until_paused_or_ended(response)
        complete = [call for call in calls_of(peer) if call.status == "completed"]
        assert all(isinstance(json.loads(call.arguments), dict) for call in complete)
        assert {call.name for call in calls_of(peer)} == {"note"}
        assert not [event for event in peer.of(OutputItemDone) if isinstance(event.item, OutputMessage)]

    play(scenario, served=any_model)


def test_only_allowed_tools_are_called(play: Any, random_model: Any) -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "forecast"}]}

    async def scenario(peer: Any) -> None:
        for seed in range(4):
            response = await peer.create(
                tools=[FREE, STRICT], tool_choice=choice, seed=seed, **WILD, max_output_tokens=300
            )
            await peer.until_paused_or_ended(response)
        assert {call.name for call in calls_of(peer)} == {"forecast"}

    play(scenario, served=random_model)


def test_a_single_call_a_turn(play: Any, any_model: Any) -> None:
    async def scenario(peer: Any) -> None:
        for seed in range(6):
            response = await peer.create(
                tools=[STRICT], tool_choice="required", parallel_tool_calls=False, seed=seed, **WILD
            )
            await peer.until_paused_or_ended(response)
            assert len(response.pending_calls) == 1
        assert len(calls_of(peer)) == 6

    play(scenario, served=any_model)


def test_a_call_is_forced_until_it_was_made(play: Any, random_model: Any) -> None:
    """Then the model may stop, or the Response could never end."""

    async def scenario(peer: Any) -> None:
        watched: list[str | None] = []
        service = peer.service
        original = service.engine.open

        async def open_and_watch(tokens: Any, **options: Any) -> Any:
            sequence = await original(tokens, **options)
            sample = sequence.sample

            class Watched:
                def __getattr__(self, name: str) -> Any:
                    return getattr(sequence, name)

                def sample(self, params: Any, **options: Any) -> Any:
                    watched.append(params.grammar)
                    return sample(params, **options)

            return Watched()

        service.engine.open = open_and_watch
        response = await peer.create(
            tools=[STRICT], tool_choice="required", parallel_tool_calls=False, max_output_tokens=600, seed=1, **WILD
        )
        await peer.until_paused_or_ended(response)
        await peer.finish(response)
        forced, *rest = watched
        assert forced is not None
        assert rest
        assert set(rest) != {forced}
        assert len(set(rest)) == 1

    play(scenario, served=random_model)


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        ({"type": "json_schema", "name": "answer", "strict": True, "schema": SCHEMA}, SCHEMA),
        ({"type": "json_schema", "name": "answer", "schema": SCHEMA}, SCHEMA),
        ({"type": "json_object"}, {"type": "object"}),
    ],
)
def test_json_text_validates(play: Any, any_model: Any, form: dict[str, Any], schema: dict[str, Any]) -> None:
    async def scenario(peer: Any) -> None:
        for seed in range(4):
            await peer.until_paused_or_ended(
                await peer.create(text={"format": form}, seed=seed, max_output_tokens=500, **WILD)
            )
        ended = [event.response for event in [*peer.of(ResponseCompleted), *peer.of(ResponseIncomplete)]]
        assert len(ended) == 4
        for response in ended:
            if response.status == "completed":
                (message,) = response.output
                Draft202012Validator(schema).validate(json.loads(message.content[0].text))
        assert schema is not SCHEMA or len(peer.of(ResponseCompleted)) == 4

    play(scenario, served=any_model)


def test_json_text_or_a_call(play: Any, random_model: Any) -> None:
    """With tools at hand a turn is either, and both validate."""

    async def scenario(peer: Any) -> None:
        for seed in range(6):
            response = await peer.create(
                tools=[STRICT],
                text={"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}},
                parallel_tool_calls=False,
                seed=seed,
                **WILD,
            )
            await peer.until_paused_or_ended(response)
        for call in calls_of(peer):
            Draft202012Validator(SCHEMA).validate(json.loads(call.arguments))
        for event in peer.of(ResponseCompleted):
            Draft202012Validator(SCHEMA).validate(json.loads(event.response.output[0].content[0].text))
        assert len(peer.of(ResponseDone)) + len(peer.of(ResponseCompleted)) == 6

    play(scenario, served=random_model)


def test_what_is_replayed_is_not_constrained(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[STRICT], tool_choice="required", text={"format": {"type": "json_object"}})
        await peer.until_paused_or_ended(response)
        (event,) = peer.of(ResponseCompleted)
        assert event.response.output[0].content[0].text == "Just text."

    play(scenario, [{"text": "Just text."}])
