"""``openai`` for Python over server-sent events."""

from __future__ import annotations

import asyncio
from typing import Any

from local_tools import LocalTools
from openai import AsyncOpenAI, OpenAI


def test_create_with_stream(client: OpenAI, model: str) -> None:
    deltas: list[str] = []
    numbers: list[int] = []
    with client.responses.create(model=model, input="Good morning!", temperature=0, stream=True) as stream:
        for event in stream:
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                deltas.append(event.delta)
    assert event.type == "response.completed"
    assert numbers == list(range(len(numbers)))
    assert "".join(deltas) == event.response.output_text != ""


def test_loop_with_the_stream_helper(client: OpenAI, model: str, tools: LocalTools) -> None:
    """The helper accumulates items by itself and raises where events don't fit together."""
    request: dict[str, Any] = {"input": "What is 123 * 45?"}
    arguments: list[str] = []
    for _ in range(2):
        with client.responses.stream(model=model, tools=tools.definitions, temperature=0, **request) as stream:
            for event in stream:
                if event.type == "response.function_call_arguments.done":
                    arguments.append(event.arguments)
            response = stream.get_final_response()
        request = {"input": tools.outputs(response.output), "previous_response_id": response.id}
    assert arguments == ['{"expression": "123 * 45"}']
    assert tools.names == ["calculate"]
    assert "5535" in response.output_text
    assert response.usage is not None


def test_stream_helper_of_a_stored_response(client: OpenAI, model: str) -> None:
    """Picks the stream up again after an event."""
    background = client.responses.create(model=model, input="Good morning!", temperature=0, background=True)
    with client.responses.stream(response_id=background.id, starting_after=0) as stream:
        numbers = [event.sequence_number for event in stream]
        response = stream.get_final_response()
    assert numbers[0] == 1
    assert numbers == list(range(1, len(numbers) + 1))
    assert response.id == background.id
    assert response.output_text


def test_client_that_leaves(client: OpenAI, model: str) -> None:
    """Leaving a stream ends its Response; the server goes on serving."""
    with client.responses.create(model=model, input="Good morning!", temperature=0, stream=True) as stream:
        next(iter(stream))
    response = client.responses.create(model=model, input="Good morning!", temperature=0)
    assert response.status == "completed"


def test_async_stream(served: Any) -> None:
    async def ask() -> Any:
        async with (
            AsyncOpenAI(base_url=served.url, api_key="sk-none", timeout=30, max_retries=0) as client,
            client.responses.stream(model=served.model, input="Good morning!", temperature=0) as stream,
        ):
            async for _ in stream:
                pass
            return await stream.get_final_response()

    assert asyncio.run(ask()).output_text
