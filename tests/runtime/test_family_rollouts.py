"""A whole rollout with a model of every family: its own marks for calls and reasoning, its own template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.events import ErrorEvent, OutputItemDone, ResponseCompleted
from caesura.protocol.items import FunctionCall, OutputMessage
from caesura.runtime import context
from caesura.runtime.context import encode_suffix
from caesura.runtime.pending import Call, Outputs
from caesura.sampler.model import Model, load_model
from caesura.sampler.random_model import SHAPES, Chat, write_random_model
from families import FAMILIES
from jsonschema import Draft202012Validator

SCHEMA = {
    "type": "object",
    "properties": {"at": {"type": "string", "maxLength": 8}, "deep": {"type": "boolean"}},
    "required": ["at", "deep"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "look", "description": "Look.", "parameters": SCHEMA, "strict": True}
LOOK = {"name": "look", "arguments": {"at": "a < b, \N{GRINNING FACE}", "deep": True}}


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("families") / f"{request.param}.gguf"
    return load_model(write_random_model(path, SHAPES["tiny"], chat=FAMILIES[request.param]))


def test_a_replayed_rollout(play: Any, family: Model) -> None:
    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        response = await peer.create(tools=[TOOL])
        await peer.finish(response, "seen <|im_end|>[/INST]<|eot_id|><|end|>")
        (event,) = peer.of(ResponseCompleted)
        *calls, message = event.response.output
        assert [type(call) for call in calls] == [FunctionCall, FunctionCall]
        assert [json.loads(call.arguments) for call in calls] == [LOOK["arguments"]] * 2
        assert isinstance(message, OutputMessage)
        assert message.content[0].text == "All seen."
        assert event.response.caesura["tokens"]["recomputed"] == 0
        assert peer.num_pauses == 2
        assert peer.service.model.vocab.decode(ledgers[0].tokens).count("seen <|im_end|>[/INST]") == 2

    play(scenario, [{"calls": [LOOK]}, {"calls": [LOOK]}, {"text": "All seen."}], served=family)


def test_the_same_output_twice_answers_two_calls(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates write a call's name and id beside its result, so what was rendered for one is nothing for another."""
    rendered = []

    def encode(model: Model, last: int, calls: Sequence[Call], outputs: Outputs) -> list[int]:
        rendered.append([call.call_id for call in calls])
        return encode_suffix(model, last, calls, outputs)

    monkeypatch.setattr(context, "encode_suffix", encode)

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.finish(response, "seen")
        (event,) = peer.of(ResponseCompleted)
        assert rendered == [[item.call_id] for item in event.response.output[:2]]

    play(scenario, [{"calls": [LOOK]}, {"calls": [LOOK]}, {"text": "All seen."}])


def test_forced_calls_validate(play: Any, family: Model) -> None:
    """Also where the model has to get through its reasoning first: then a call may be cut, but never be wrong."""

    async def scenario(peer: Any) -> None:
        for seed in range(4):
            response = await peer.create(
                tools=[TOOL],
                tool_choice="required",
                parallel_tool_calls=False,
                temperature=2.0,
                seed=seed,
                max_output_tokens=300,
            )
            await peer.until_paused_or_ended(response)
        calls = [event.item for event in peer.of(OutputItemDone) if isinstance(event.item, FunctionCall)]
        for call in calls:
            assert call.name == "look"
            if call.status == "completed":
                Draft202012Validator(SCHEMA).validate(json.loads(call.arguments))
        assert peer.of(ErrorEvent) == []
        assert calls or family.tool_format.reasoning is not None

    play(scenario, served=family)


def test_a_template_without_tool_results_is_no_model_for_tools(play: Any, tmp_path: Path) -> None:
    template = (
        "{% for message in messages if message.role != 'tool' %}<|im_start|>{{ message.role }}\n"
        "{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    path = write_random_model(tmp_path / "deaf.gguf", SHAPES["tiny"], chat=Chat(template))

    async def scenario(peer: Any) -> None:
        await peer.create(tools=[TOOL])
        await peer.until(lambda: bool(peer.events))
        assert (peer.error.error.code, peer.error.error.param) == ("invalid_value", "tools")
        await peer.until_paused_or_ended(await peer.create(tools=[TOOL], tool_choice="none"))
        assert len(peer.of(ResponseCompleted)) == 1

    play(scenario, [{"text": "ok"}], served=load_model(path))
