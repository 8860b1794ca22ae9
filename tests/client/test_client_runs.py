"""Whole runs against a scripted server on a loopback socket: what is sent, what is yielded, how runs end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from caesura.client import (
    RunFailed,
    ToolDefinitionError,
    ToolFinished,
    ToolStarted,
    connect,
    tool,
)
from caesura.protocol.errors import ContextLengthExceeded, ModelNotFound, ResponseAlreadyEnded
from caesura.protocol.events import (
    FunctionCallArgumentsDelta,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ResponseCompleted,
    ResponseCreated,
    ResponseDone,
)
from scripted_runs import add, adding, run

# --- a run that goes well ---------------------------------------------------------------------------------------------


def test_a_run_is_one_response_with_its_tool_calls(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, connect(server.url) as client:
            result = await client.run(
                model="fake",
                instructions="Be brief.",
                input="1 + 2?",
                tools=[add, {"type": "caesura:calculate"}],
                temperature=0.0,
                max_output_tokens=99,
                seed=7,
            )
        (rollout,) = server.rollouts
        assert rollout.request.tools == [tool(add).schema.as_tool(), {"type": "caesura:calculate"}]
        assert rollout.request.instructions == "Be brief."
        assert (rollout.request.temperature, rollout.request.max_output_tokens, rollout.request.seed) == (0.0, 99, 7)
        assert (result.response_id, result.status, result.output_text) == ("resp_0", "completed", "It is 3.")
        assert [type(item).__name__ for item in result.output] == ["OutputMessage", "FunctionCall", "OutputMessage"]
        assert [(call.call.name, call.output.text) for call in result.tool_calls] == [("add", "3")]
        assert (result.pauses, result.reconnects, result.stats["preinference_runs"]) == (1, 0, 1)
        assert result.usage is not None
        assert result.usage.total_tokens == 7
        assert 0 < result.client_tools_ms < result.wall_ms

    run(main)


@pytest.mark.requirement("client-answers-all", "client-done", "client-own-calls")
@pytest.mark.parametrize("early_tools", [True, False])
def test_outputs_are_appended_together_in_the_order_of_sampling(
    fake_server: Callable[..., Any], early_tools: bool
) -> None:
    async def main() -> None:
        second_has_run = asyncio.Event()

        async def first() -> str:
            await second_has_run.wait()
            return "1"

        async def second() -> str:
            second_has_run.set()
            return "2"

        async def script(rollout: Any) -> None:
            calls = [await rollout.call("first", "{}"), await rollout.call("second", "{}")]
            outputs = await rollout.pause()
            assert [(each.call_id, each.output) for each in outputs] == list(zip(calls, "12", strict=True))
            await rollout.complete()

        async with fake_server(script) as server, connect(server.url) as client:
            result = await client.run(input="go", tools=[first, second], early_tools=early_tools)
        assert [call.call.name for call in result.tool_calls] == ["second", "first"]
        (append,) = [message for message in map(json.loads, server.frames) if message["type"] == "response.append"]
        assert [item["output"] for item in append["input"]] == ["1", "2"]

    run(main)


def test_failures_of_tools_are_outputs(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.call("add", '{"a":1}')
        await rollout.call("unknown", "{}")
        outputs = await rollout.pause()
        assert [each.status for each in outputs] == ["failed", "failed"]
        await rollout.say(" ".join(each.output for each in outputs))
        await rollout.complete()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            result = await client.run(input="go", tools=[add])
        assert result.output_text.startswith("Error: invalid arguments for add: 'b' is a required property Error: ")
        assert all(call.output.is_error for call in result.tool_calls)

    run(main)


@pytest.mark.requirement("client-done")
def test_the_event_stream(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, connect(server.url) as client:
            stream = client.stream(input="1 + 2?", tools=[add], early_tools=False)
            events = [event async for event in stream]
        assert [type(event) for event in events] == [
            ResponseCreated,
            *[OutputItemAdded, *[OutputTextDelta] * 3, OutputItemDone],
            *[OutputItemAdded, FunctionCallArgumentsDelta, OutputItemDone],
            *[ResponseDone, ToolStarted, ToolFinished],
            *[OutputItemAdded, *[OutputTextDelta] * 3, OutputItemDone],
            ResponseCompleted,
        ]
        assert [event.pause for event in events if isinstance(event, ToolStarted | ToolFinished)] == [1, 1]
        assert stream.result.output_text == "It is 3."

    run(main)


def test_cut_short(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.say("Half a")
        await rollout.cut("max_output_tokens")

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            result = await client.run(input="go")
        assert (result.status, result.incomplete_reason) == ("incomplete", "max_output_tokens")
        assert result.output_text == "Half a"

    run(main)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_create_that_is_refused(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        rejection = ModelNotFound("There is no model 'big'.", param="model")
        async with fake_server(adding, rejection=rejection) as server, connect(server.url) as client:
            with pytest.raises(RunFailed, match="There is no model 'big'") as caught:
                await client.run(input="go", model="big")
        error = caught.value
        assert (error.code, error.status, error.param) == ("model_not_found", 404, "model")
        assert (error.partial.response_id, error.partial.status) == (None, "in_progress")

    run(main)


def test_an_append_that_is_refused_ends_the_run_and_the_response(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        if rollout.request.input == "again":
            return await rollout.complete()
        rollout.refusal = ContextLengthExceeded("The output does not fit.")
        await rollout.call("add", '{"a":1,"b":2}')
        await rollout.pause()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(RunFailed) as caught:
                await client.run(input="go", tools=[add])
            await client.run(input="again")
            assert server.rollouts[0].machine.standing == "cancelled (client_request)"
        assert caught.value.code == "context_length_exceeded"
        assert caught.value.partial.pauses == 1
        assert [call.output.text for call in caught.value.partial.tool_calls] == ["3"]

    run(main)


def test_an_append_that_comes_too_late_is_no_error_of_its_own(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        rollout.refusal = ResponseAlreadyEnded("Response resp_0 is being ended.")
        await rollout.call("add", '{"a":1,"b":2}')
        await rollout.emit(rollout.machine.pause())
        await rollout.server.received(2)
        await rollout.cut("append_timeout")

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            result = await client.run(input="go", tools=[add])
        assert (result.status, result.incomplete_reason) == ("incomplete", "append_timeout")

    run(main)


def test_more_outputs_than_one_append_takes(fake_server: Callable[..., Any]) -> None:
    count = 1100

    async def one() -> int:
        return 1

    async def script(rollout: Any) -> None:
        for _ in range(count):
            await rollout.call("one", "{}")
        assert len(await rollout.pause()) == count
        await rollout.complete()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            result = await client.run(input="go", tools=[one], early_tools=False)
        assert len(result.tool_calls) == count
        messages = map(json.loads, server.frames)
        sizes = [len(message["input"]) for message in messages if message["type"] == "response.append"]
        assert sizes == [1024, count - 1024]

    run(main)


def test_outputs_that_no_message_can_hold(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.call("flood", "{}")
        await rollout.pause()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(RunFailed, match="the outputs can't be sent") as caught:
                await client.run(input="go", tools=[tool(lambda: "x" * (17 << 20), name="flood")])
        assert caught.value.code == "message_too_large"

    run(main)


def test_a_response_that_fails(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.say("So far")
        await rollout.fail("model_broke", "the model broke")

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(RunFailed, match="the model broke") as caught:
                await client.run(input="go")
        assert (caught.value.code, caught.value.partial.status) == ("model_broke", "failed")
        assert caught.value.partial.output_text == "So far"

    run(main)


@pytest.mark.requirement("client-cancel-tools")
@pytest.mark.parametrize("end", ["fail", "cut", "cancel"])
@pytest.mark.parametrize("early_tools", [True, False])
def test_a_response_that_ends_while_its_tools_run(fake_server: Callable[..., Any], end: str, early_tools: bool) -> None:
    async def main() -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async def script(rollout: Any) -> None:
            if rollout.request.input == "probe":
                return await rollout.complete()
            await rollout.call("hang", "{}")
            await rollout.emit(rollout.machine.pause())
            await started.wait()
            match end:
                case "fail":
                    await rollout.fail("server_error", "gone")
                case "cut":
                    await rollout.cut("append_timeout")
                case "cancel":
                    await rollout.cancel("abandoned")

        async with fake_server(script) as server, connect(server.url) as client:
            if end == "cut":
                result = await client.run(input="go", tools=[hang], early_tools=early_tools)
                assert (result.status, result.incomplete_reason) == ("incomplete", "append_timeout")
            else:
                with pytest.raises(RunFailed, match="gone" if end == "fail" else "cancelled: abandoned") as caught:
                    await client.run(input="go", tools=[hang], early_tools=early_tools)
                assert caught.value.code == ("server_error" if end == "fail" else "cancelled")
                result = caught.value.partial
                assert result.status == ("failed" if end == "fail" else "cancelled")
            assert result.tool_calls == ()
            await cancelled.wait()
            await client.run(input="probe")  # what was sent before it has arrived when this is over
        assert not any('"response.append"' in str(frame) for frame in server.frames)

    run(main)


@pytest.mark.requirement("client-unknown-events")
def test_events_of_unknown_types_are_passed_over(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.socket.send('{"type":"responsesapi.websocket_timing","timing_metrics":{}}')
        await adding(rollout)

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            assert (await client.run(input="go", tools=[add])).status == "completed"

    run(main)


def test_a_pause_without_calls_is_an_error_not_a_hang(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.pause()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(RunFailed) as caught:
                await client.run(input="go")
        assert caught.value.code == "nothing_to_append"

    run(main)


def test_the_callers_own_mistakes_are_raised_at_once_and_send_nothing(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, connect(server.url) as client:
            with pytest.raises(TypeError):
                client.stream(input=[object()])
            with pytest.raises(ValueError, match="surrogates not allowed"):
                client.stream(input="lone \udc80 surrogate")
            with pytest.raises(ToolDefinitionError):
                client.stream(input="go", tools=[lambda: None])
            assert (await client.run(input="go", tools=[add])).status == "completed"
        assert len([frame for frame in server.frames if "response.create" in str(frame)]) == 1

    run(main)


@pytest.mark.requirement("text-frames", "client-no-history")
def test_frames_are_json_text(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, connect(server.url) as client:
            await client.run(input="go", tools=[add])
        assert all(isinstance(frame, str) for frame in server.frames)
        create, append = map(json.loads, server.frames)
        assert create["type"] == "response.create"
        assert "stream_id" not in create
        assert len(create["idempotency_key"]) == 32
        call_id = append["input"][0]["call_id"]
        assert append == {
            "type": "response.append",
            "response_id": "resp_0",
            "input": [{"type": "function_call_output", "call_id": call_id, "output": "3"}],
        }

    run(main)


def test_every_public_name_is_there() -> None:
    import caesura.client

    assert all(getattr(caesura.client, name) for name in caesura.client.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = caesura.client.nonsense
