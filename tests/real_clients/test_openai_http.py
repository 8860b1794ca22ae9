"""``openai`` for Python over HTTP: agent loops, without streaming."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from local_tools import INSTRUCTIONS, TASK, LocalTools
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

MAX_TURNS = 30


def assert_usage_adds_up(response: Response) -> None:
    assert response.usage is not None
    assert response.usage.input_tokens > 0
    assert response.usage.output_tokens > 0
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_loop_with_the_full_history(client: OpenAI, model: str, repair: LocalTools) -> None:
    """Stateless: every request brings all items, the output's own among them."""
    history: list[Any] = [{"role": "user", "content": TASK}]
    inputs: list[int] = []
    for _ in range(MAX_TURNS):
        response = client.responses.create(
            model=model,
            instructions=INSTRUCTIONS,
            input=history,
            tools=repair.definitions,
            temperature=0,
            store=False,
        )
        assert response.status == "completed"
        assert response.store is False
        assert_usage_adds_up(response)
        inputs.append(response.usage.input_tokens if response.usage else 0)
        outputs = repair.outputs(response.output)
        if not outputs:
            break
        history += [*response.output, *outputs]
    repair.assert_repaired()
    assert response.output_text
    assert inputs == sorted(set(inputs))


def test_loop_with_previous_response_id(client: OpenAI, model: str, repair: LocalTools) -> None:
    """Stored by default; every request brings the outputs alone."""
    response = client.responses.create(
        model=model, instructions=INSTRUCTIONS, input=TASK, tools=repair.definitions, temperature=0
    )
    ids = [response.id]
    while outputs := repair.outputs(response.output):
        assert len(ids) < MAX_TURNS
        response = client.responses.create(
            model=model,
            instructions=INSTRUCTIONS,
            previous_response_id=response.id,
            input=outputs,
            tools=repair.definitions,
            temperature=0,
        )
        assert response.previous_response_id == ids[-1]
        assert response.status == "completed"
        assert response.store is True
        assert_usage_adds_up(response)
        ids.append(response.id)
    repair.assert_repaired()
    assert response.output_text
    assert len(set(ids)) == len(ids)


def test_both_loops_sample_the_same(client: OpenAI, model: str, tools: LocalTools) -> None:
    """A conversation is the same tokens, however it is carried on."""
    asked = "What is 123 * 45?"
    first = client.responses.create(model=model, input=asked, tools=tools.definitions, temperature=0)
    outputs = tools.outputs(first.output)
    assert tools.calls == [("calculate", {"expression": "123 * 45"})]
    by_id = client.responses.create(
        model=model, previous_response_id=first.id, input=outputs, tools=tools.definitions, temperature=0
    )
    history: list[Any] = [{"role": "user", "content": asked}, *first.output, *outputs]
    by_history = client.responses.create(model=model, input=history, tools=tools.definitions, temperature=0)
    assert "5535" in by_id.output_text
    assert by_id.output_text == by_history.output_text
    assert by_id.usage is not None
    assert by_history.usage is not None
    assert by_id.usage.input_tokens == by_history.usage.input_tokens


def test_several_user_turns(client: OpenAI, model: str, tools: LocalTools) -> None:
    previous: str | None = None
    for question, result in (("What is 123 * 45?", "5535"), ("And what is 99 + 77?", "176"), ("100 - 7 = ?", "93")):
        response = client.responses.create(
            model=model, input=question, previous_response_id=previous, tools=tools.definitions, temperature=0
        )
        while outputs := tools.outputs(response.output):
            response = client.responses.create(
                model=model, input=outputs, previous_response_id=response.id, tools=tools.definitions, temperature=0
            )
        assert result in response.output_text
        previous = response.id
    assert [arguments["expression"] for _, arguments in tools.calls] == ["123 * 45", "99 + 77", "100 - 7"]


def test_a_forced_call(client: OpenAI, model: str, tools: LocalTools) -> None:
    choice: Any = {"type": "function", "name": "calculate"}
    response = client.responses.create(
        model=model, input="What is 6 * 7?", tools=tools.definitions, tool_choice=choice, temperature=0
    )
    assert [item.type for item in response.output] == ["function_call"]
    assert tools.outputs(response.output)[0]["output"] == "42"


class Weather(BaseModel):
    city: str
    degrees: int


def test_structured_output(client: OpenAI, model: str) -> None:
    response = client.responses.parse(
        model=model, input="It is 7 degrees in Oslo.", text_format=Weather, temperature=0, max_output_tokens=200
    )
    assert isinstance(response.output_parsed, Weather)
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == "json_schema"


def test_sampling_and_metadata_are_echoed(client: OpenAI, model: str) -> None:
    response = client.responses.create(
        model=model,
        input="Good morning!",
        temperature=0.3,
        top_p=0.9,
        max_output_tokens=64,
        max_tool_calls=3,
        parallel_tool_calls=False,
        metadata={"team": "tests"},
        truncation="disabled",
        user="somebody",
        safety_identifier="somebody-else",
        prompt_cache_key="mornings",
        top_logprobs=2,
        include=["message.output_text.logprobs"],
        extra_body={"a_field_of_another_server": True},
    )
    assert (response.temperature, response.top_p) == (0.3, 0.9)
    assert (response.max_output_tokens, response.max_tool_calls) == (64, 3)
    assert response.parallel_tool_calls is False
    assert response.metadata == {"team": "tests"}
    assert response.truncation == "disabled"
    assert (response.user, response.safety_identifier) == ("somebody", "somebody-else")
    assert response.prompt_cache_key == "mornings"
    (message,) = response.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert len(part.logprobs) > 0
    assert {len(each.top_logprobs) for each in part.logprobs} == {2}


def test_models(client: OpenAI, model: str) -> None:
    assert model in [each.id for each in client.models.list()]


def test_unknown_model(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="model-that-never-was", input="Good morning!")
    assert caught.value.code == "model_not_found"
    assert "model-that-never-was" in caught.value.message


def test_bad_tool(client: OpenAI, model: str) -> None:
    tool: Any = {"type": "function", "description": "It has no name.", "parameters": {"type": "object"}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input="Good morning!", tools=[tool])
    assert caught.value.param is not None
    assert caught.value.param.startswith("tools")


def test_unknown_previous_response(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model=model, input="And now?", previous_response_id="resp_that_never_was")
    assert caught.value.code == "previous_response_not_found"
    assert caught.value.status_code in (400, 404)


def test_async_client(served: Any, tools: LocalTools) -> None:
    async def ask() -> list[str]:
        async with AsyncOpenAI(base_url=served.url, api_key="sk-none", timeout=30, max_retries=0) as client:

            async def loop(a: int) -> str:
                response = await client.responses.create(
                    model=served.model, input=f"What is {a} + 1?", tools=tools.definitions, temperature=0
                )
                outputs = tools.outputs(response.output)
                response = await client.responses.create(
                    model=served.model,
                    previous_response_id=response.id,
                    input=outputs,
                    tools=tools.definitions,
                    temperature=0,
                )
                return response.output_text

            return await asyncio.gather(*[loop(a) for a in (10, 20, 30, 40)])

    texts = asyncio.run(ask())
    assert [str(a + 1) in text for a, text in zip((10, 20, 30, 40), texts, strict=True)] == [True] * 4
    assert len(tools.calls) == 4
