"""``openai`` for Python over WebSocket: ``client.responses.connect()``, in the shipped mode and in append mode."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from local_tools import INSTRUCTIONS, TASK, LocalTools
from openai import AsyncOpenAI, OpenAI
from openai.resources.responses.responses import ResponsesConnection
from openai.types.responses import ResponsesServerEvent
from pydantic import TypeAdapter

APPEND_MODE = {"OpenAI-Beta": "responses_websockets=2026-02-04"}
TERMINAL = ("response.completed", "response.failed", "response.incomplete")


def read(connection: ResponsesConnection, *last: str) -> list[Any]:
    """The events up to one of these types, or to an error."""
    events: list[Any] = []
    while not events or events[-1].type not in (*last, "error"):
        events.append(connection.recv())
    assert events[-1].type != "error", events[-1]
    return events


@pytest.mark.parametrize("store", [False, True])
def test_loop_with_previous_response_id(client: OpenAI, model: str, repair: LocalTools, store: bool) -> None:
    request: dict[str, Any] = {"input": TASK}
    ids: list[str] = []
    with client.responses.connect() as connection:
        while len(ids) < 30:
            connection.response.create(
                model=model,
                instructions=INSTRUCTIONS,
                tools=repair.definitions,
                temperature=0,
                store=store,
                **request,
            )
            events = read(connection, *TERMINAL)
            assert [event.sequence_number for event in events] == list(range(len(events)))
            response = events[-1].response
            assert response.status == "completed"
            assert response.previous_response_id == (ids[-1] if ids else None)
            ids.append(response.id)
            outputs = repair.outputs(response.output)
            if not outputs:
                break
            request = {"input": outputs, "previous_response_id": response.id}
    repair.assert_repaired()
    assert response.output[-1].type == "message"


def test_warm_up(client: OpenAI, model: str, tools: LocalTools) -> None:
    """``generate: false`` makes an id to go on from, and no output."""
    common: dict[str, Any] = {"model": model, "tools": tools.definitions, "store": False, "temperature": 0}
    with client.responses.connect() as connection:
        connection.response.create(
            input=[{"role": "developer", "content": "You answer questions about numbers."}], generate=False, **common
        )
        warm = read(connection, *TERMINAL)[-1].response
        assert warm.status == "completed"
        assert warm.output == []
        assert warm.usage.output_tokens == 0
        connection.response.create(input="What is 6 * 7?", previous_response_id=warm.id, **common)
        response = read(connection, *TERMINAL)[-1].response
    assert tools.outputs(response.output)[0]["output"] == "42"
    assert response.usage.input_tokens_details.cached_tokens > 0


def test_lanes(client: OpenAI, model: str) -> None:
    """Two at once on one connection; every event says whose it is."""
    with client.responses.connect() as connection:
        for lane in ("a", "b"):
            connection.response.create(model=model, input="Good morning!", store=False, stream_id=lane)
        events = [*read(connection, *TERMINAL), *read(connection, *TERMINAL)]
    by_lane = {lane: [event for event in events if event.stream_id == lane] for lane in ("a", "b")}
    assert sum(map(len, by_lane.values())) == len(events)
    assert {each[-1].type for each in by_lane.values()} == {"response.completed"}


def test_error(client: OpenAI, model: str) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=model, input="And now?", previous_response_id="resp_that_never_was")
        event: Any = connection.recv()
        assert event.type == "error"
        assert event.error.code == "previous_response_not_found"
        assert event.error.param == "previous_response_id"
        assert event.status == 400
        connection.response.create(model=model, input="Good morning!", store=False)
        read(connection, *TERMINAL)


def test_append_mode(client: OpenAI, model: str, repair: LocalTools) -> None:
    """One Response for the whole loop: the library sends ``response.append``, which it has no type for, as it is."""
    pauses = 0
    with client.responses.connect(extra_headers=APPEND_MODE) as connection:
        connection.response.create(
            model=model, instructions=INSTRUCTIONS, input=TASK, tools=repair.definitions, temperature=0
        )
        events = read(connection, "response.done", *TERMINAL)
        while events[-1].type == "response.done":
            pauses += 1
            calls = [event.item for event in events if event.type == "response.output_item.done"]
            append: Any = {"type": "response.append", "input": repair.outputs(calls)}
            connection.send(append)
            events = read(connection, "response.done", *TERMINAL)
    repair.assert_repaired()
    response = events[-1].response
    assert 1 < pauses <= len(repair.calls)
    assert [item.name for item in response.output if item.type == "function_call"] == repair.names
    assert response.output[-1].type == "message"


def test_async_connection(served: Any, tools: LocalTools) -> None:
    async def ask() -> Any:
        async with (
            AsyncOpenAI(base_url=served.url, api_key="sk-none", timeout=30) as client,
            client.responses.connect() as connection,
        ):
            request: dict[str, Any] = {"input": "What is 123 * 45?"}
            for _ in range(2):
                await connection.response.create(
                    model=served.model, tools=tools.definitions, temperature=0, store=False, **request
                )
                async for event in connection:
                    assert event.type != "error", event
                    if event.type == "response.completed":
                        break
                response = event.response
                request = {"input": tools.outputs(response.output), "previous_response_id": response.id}
            return response

    response = asyncio.run(asyncio.wait_for(ask(), 30))
    assert tools.calls == [("calculate", {"expression": "123 * 45"})]
    assert "5535" in response.output[-1].content[0].text


def test_events_are_of_the_librarys_types(client: OpenAI, model: str, tools: LocalTools) -> None:
    """The library itself takes anything. Code that is written to its types doesn't."""
    event_type = TypeAdapter[Any](ResponsesServerEvent)
    with client.responses.connect() as connection:
        for asked in ("Good morning!", "What is 6 * 7?"):
            connection.response.create(
                model=model, input=asked, tools=tools.definitions, store=False, include=["message.output_text.logprobs"]
            )
            event: Any = {"type": ""}
            while event["type"] not in TERMINAL:
                event = json.loads(connection.recv_bytes())
                event_type.validate_python(event)
