"""Tools that start while the model still samples, and what becomes of their outputs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from caesura.client import RunFailed, ToolFinished, ToolStarted, connect
from caesura.protocol.errors import ContextLengthExceeded
from caesura.protocol.events import OutputItemDone, ResponseAppended, ResponseDone
from caesura.protocol.items import FunctionCall
from scripted_runs import run


def appends(server: Any) -> list[list[str]]:
    """The outputs of each append that was received."""
    messages = [message for message in map(json.loads, server.frames) if message["type"] == "response.append"]
    return [[item["output"] for item in message["input"]] for message in messages]


async def echo(text: str) -> str:
    return text


@pytest.mark.requirement("client-own-calls")
def test_what_is_answered_before_the_model_stops_makes_no_pause(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.call("echo", '{"text":"a"}')
        assert [each.output for each in await rollout.outputs()] == ["a"]  # while it still samples
        assert rollout.machine.is_sampling
        await rollout.say("b")
        assert await rollout.outputs() == []
        await rollout.complete()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            stream = client.stream(input="go", tools=[echo])
            kinds = [type(event) for event in [event async for event in stream]]
        assert ResponseDone not in kinds
        assert kinds.index(ToolStarted) == kinds.index(OutputItemDone) + 1
        assert kinds.index(ToolFinished) < kinds.index(ResponseAppended)
        assert stream.result.pauses == 0
        assert [call.output.text for call in stream.result.tool_calls] == ["a"]
        assert appends(server) == [["a"]]

    run(main)


def test_outputs_wait_for_the_tools_that_have_been_started(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        second_started, finish_first = asyncio.Event(), asyncio.Event()

        async def first() -> str:
            await finish_first.wait()
            return "1"

        async def second() -> str:
            second_started.set()
            return "2"

        async def script(rollout: Any) -> None:
            await rollout.call("first", "{}")
            await rollout.call("second", "{}")
            await second_started.wait()
            finish_first.set()
            assert [each.output for each in await rollout.outputs()] == ["1", "2"]
            await rollout.call("echo", '{"text":"3"}')
            assert [each.output for each in await rollout.pause()] == ["3"]
            await rollout.complete()

        async with fake_server(script) as server, connect(server.url) as client:
            result = await client.run(input="go", tools=[first, second, echo])
        assert appends(server) == [["1", "2"], ["3"]]
        assert [call.call.name for call in result.tool_calls] == ["second", "first", "echo"]

    run(main)


def test_the_pause_that_a_tool_belongs_to(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        paused = asyncio.Event()

        async def wait() -> str:
            await paused.wait()
            return "waited"

        async def script(rollout: Any) -> None:
            for _ in range(2):
                await rollout.call("wait", "{}")
                paused.clear()
                await rollout.emit(rollout.machine.pause())
                paused.set()
                await rollout.outputs()
            await rollout.complete()

        async with fake_server(script) as server, connect(server.url) as client:
            stream = client.stream(input="go", tools=[wait])
            events = [event async for event in stream]
        told = [event.pause for event in events if isinstance(event, ToolStarted | ToolFinished)]
        assert told == [1, 1, 2, 2]
        assert stream.result.pauses == 2

    run(main)


def test_a_call_that_was_cut_off_is_not_run(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        ran = []

        async def record(text: str) -> None:
            ran.append(text)

        async def script(rollout: Any) -> None:
            call = FunctionCall(id="fc", call_id="call", name="record", arguments='{"text":"ha', status="incomplete")
            await rollout.emit(OutputItemDone(output_index=0, item=call))
            await rollout.cut("max_output_tokens")

        async with fake_server(script) as server, connect(server.url) as client:
            result = await client.run(input="go", tools=[record])
        assert (result.status, ran, appends(server)) == ("incomplete", [], [])

    run(main)


def test_no_tool_is_started_for_a_response_that_has_ended_already(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            if rollout.request.input == "go":
                await rollout.call("echo", '{"text":"a"}')
            await rollout.cut("max_output_tokens")

        async with fake_server(script) as server, connect(server.url) as client:
            stream = client.stream(input="go", tools=[echo])
            await anext(stream)
            await client.run(input="probe")  # all of the first one has arrived when this is over
            assert not [event async for event in stream if isinstance(event, ToolStarted)]

    run(main)


def test_a_run_goes_no_further_than_it_is_read(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        ran = asyncio.Event()

        async def note() -> None:
            ran.set()

        async def script(rollout: Any) -> None:
            if rollout.request.input == "probe":
                return await rollout.complete()
            await rollout.call("note", "{}")
            await rollout.pause()
            await rollout.complete()

        async with fake_server(script) as server, connect(server.url) as client:
            stream = client.stream(input="go", tools=[note])
            async for event in stream:
                if isinstance(event, OutputItemDone):
                    break
            await client.run(input="probe")
            assert not ran.is_set()
            async for event in stream:
                if isinstance(event, ToolFinished):
                    break
            await client.run(input="probe")
            assert appends(server) == []
            assert [type(event) async for event in stream]
            assert stream.result.status == "completed"

    run(main)


def test_an_early_append_that_is_refused(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        rollout.refusal = ContextLengthExceeded("The output does not fit.")
        await rollout.call("echo", '{"text":"a"}')
        await asyncio.Event().wait()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(RunFailed) as caught:
                await client.run(input="go", tools=[echo])
        assert (caught.value.code, caught.value.partial.pauses) == ("context_length_exceeded", 0)

    run(main)
