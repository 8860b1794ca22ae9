"""Whole runs against a scripted server on a loopback socket: what is sent, what is yielded, how runs end."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from caesura.client import (
    Client,
    ConnectionFailed,
    ConnectionLost,
    RunFailed,
    RunResult,
    ToolDefinitionError,
    ToolFinished,
    ToolStarted,
    connect,
    tool,
)
from caesura.client.connection import responses_url
from caesura.protocol.errors import ContextLengthExceeded, ModelNotFound
from caesura.protocol.messages import (
    FunctionCallArgumentsDelta,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ResponseCompleted,
    ResponseCreated,
    ResponseDone,
)

BOUND = 10.0
STATS = {"pauses": 1, "preinference_runs": 1, "postinference_runs": 1}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def adding(rollout: Any) -> None:
    """One pause with one call, then the answer with the tool's output in it."""
    await rollout.say("Let me add.")
    await rollout.call("add", '{"a":1,"b":2}')
    (output,) = await rollout.pause()
    await rollout.say(f"It is {output.output}.")
    await rollout.complete(caesura=STATS)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND):
            await main()

    asyncio.run(bounded())


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
        assert (result.pauses, result.stats) == (1, STATS)
        assert result.usage is not None
        assert result.usage.total_tokens == 7
        assert 0 < result.client_tools_ms < result.wall_ms

    run(main)


def test_outputs_are_appended_together_in_the_order_of_sampling(fake_server: Callable[..., Any]) -> None:
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
            result = await client.run(input="go", tools=[first, second])
        assert [call.call.name for call in result.tool_calls] == ["second", "first"]

    run(main)


def test_failures_of_tools_are_outputs(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.call("add", '{"a":1}')
        await rollout.call("unknown", "{}")
        outputs = await rollout.pause()
        await rollout.say(" ".join(each.output for each in outputs))
        await rollout.complete()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            result = await client.run(input="go", tools=[add])
        assert result.output_text.startswith("Error: invalid arguments for add: 'b' is a required property Error: ")
        assert all(call.output.is_error for call in result.tool_calls)

    run(main)


def test_the_event_stream(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, connect(server.url) as client:
            stream = client.stream(input="1 + 2?", tools=[add])
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


# --- several at once --------------------------------------------------------------------------------------------------


def test_runs_at_once_are_on_lanes_of_their_own(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        barrier = asyncio.Barrier(3)

        async def meet() -> str:
            await barrier.wait()  # passes only if all three Responses are paused at the same time
            return "met"

        async def script(rollout: Any) -> None:
            await rollout.call("meet", "{}")
            (output,) = await rollout.pause()
            await rollout.say(f"{rollout.request.input} {output.output}")
            await rollout.complete()

        async with fake_server(script) as server, connect(server.url) as client:
            results = await asyncio.gather(*[client.run(input=name, tools=[meet]) for name in "abc"])
            again = await client.run(input="d")
        assert [result.output_text for result in results] == ["a met", "b met", "c met"]
        assert len(server.connections) == 1
        assert {rollout.request.stream_id for rollout in server.rollouts[:3]} == {None, "lane-1", "lane-2"}
        assert (again.output_text, server.rollouts[3].request.stream_id) == (
            "d Error: there is no tool named 'meet'; available: none",
            None,
        )

    run(main)


def test_more_runs_than_lanes_wait_their_turn(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, connect(server.url) as client:
            results = await asyncio.gather(*[client.run(input="go", tools=[add]) for _ in range(40)])
        assert {result.output_text for result in results} == {"It is 3."}
        assert len({rollout.request.stream_id for rollout in server.rollouts}) == 33

    run(main)


def test_a_failing_run_leaves_the_others_alone(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        if rollout.request.input == "fail":
            await rollout.fail("server_error", "out of luck")
        else:
            await adding(rollout)

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            good, bad = await asyncio.gather(
                client.run(input="go", tools=[add]), client.run(input="fail"), return_exceptions=True
            )
            assert isinstance(good, RunResult)
            assert good.output_text == "It is 3."
            assert isinstance(bad, RunFailed)
            assert (await client.run(input="go", tools=[add])).status == "completed"

    run(main)


# --- leaving early ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["dropped", "closed", "cancelled"])
def test_a_stream_that_is_left_early_leaves_nothing_behind(fake_server: Callable[..., Any], how: str) -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async def quick() -> str:
            return "quick"

        async def script(rollout: Any) -> None:
            if rollout.request.input == "hang":
                await rollout.call("quick", "{}")
                await rollout.call("hang", "{}")
                await rollout.pause()
            await adding(rollout)

        async def watch(client: Client) -> None:
            async for event in client.stream(input="hang", tools=[hang, quick]):
                if isinstance(event, ToolFinished):
                    break

        async def watch_and_close(client: Client) -> None:
            async with client.stream(input="hang", tools=[hang, quick]) as stream:
                async for event in stream:
                    if isinstance(event, ToolFinished):
                        break
            assert stream.result.status == "in_progress"

        async def watch_for_ever(client: Client, reached: asyncio.Event) -> None:
            async for event in client.stream(input="hang", tools=[hang, quick]):
                if isinstance(event, ToolFinished):
                    reached.set()

        async with fake_server(script) as server, connect(server.url) as client:
            before = asyncio.all_tasks()
            if how == "dropped":
                await watch(client)
                gc.collect()
            elif how == "closed":
                await watch_and_close(client)
            else:
                reached = asyncio.Event()
                task = asyncio.create_task(watch_for_ever(client, reached))
                await reached.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await cancelled.wait()
            # A run beside it, on another lane, and enough turns of the loop for what was cancelled to end.
            assert (await client.run(input="go", tools=[add])).output_text == "It is 3."
            names = {each.get_name() for each in asyncio.all_tasks() - before}
            assert not {name for name in names if name.startswith("tool ")}
            assert client._link._inboxes == {}

    run(main)


def test_an_abandoned_lane_is_used_again_only_when_all_are_taken(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.call("never", "{}")
        await rollout.pause()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            for _ in range(35):
                async with client.stream(input="go") as stream:
                    async for event in stream:
                        if isinstance(event, ResponseDone):
                            break
        lanes = [rollout.request.stream_id for rollout in server.rollouts]
        assert lanes[:33] == [None, *(f"lane-{n}" for n in range(1, 33))]
        assert lanes[33:] == [None, "lane-1"]  # their paused Responses are superseded

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


def test_an_append_that_is_refused(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        rollout.refusal = ContextLengthExceeded("The output does not fit.")
        await rollout.call("add", '{"a":1,"b":2}')
        await rollout.pause()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(RunFailed) as caught:
                await client.run(input="go", tools=[add])
        assert caught.value.code == "context_length_exceeded"
        assert caught.value.partial.pauses == 1
        assert [call.output.text for call in caught.value.partial.tool_calls] == ["3"]

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


def test_a_response_that_fails_while_its_tools_run(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        failed = asyncio.Event()
        client: Client

        async def wait() -> str:
            await failed.wait()
            await client.run(input="probe")  # what was sent before it has arrived when this is over
            return "too late"

        async def script(rollout: Any) -> None:
            if rollout.request.input == "probe":
                return await rollout.complete()
            await rollout.call("wait", "{}")
            pausing = asyncio.create_task(rollout.pause())
            await asyncio.sleep(0)
            await rollout.fail("server_error", "gone")
            pausing.cancel()
            failed.set()

        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(RunFailed, match="gone") as caught:
                await client.run(input="go", tools=[wait])
        assert [call.output.text for call in caught.value.partial.tool_calls] == ["too late"]
        assert not any('"response.append"' in str(frame) for frame in server.connections[0].frames)

    run(main)


@pytest.mark.parametrize("when", ["sampling", "tools"])
def test_a_connection_that_is_lost(fake_server: Callable[..., Any], when: str) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def wait() -> str:
            await closed.wait()
            return "done anyway"

        async def script(rollout: Any) -> None:
            await rollout.say("So far")
            if when == "tools":
                await rollout.call("wait", "{}")
                pausing = asyncio.create_task(rollout.pause())
                await asyncio.sleep(0)
                pausing.cancel()
            rollout.connection.socket.transport.abort()
            closed.set()

        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(ConnectionLost) as caught:
                await client.run(input="go", tools=[wait])
            partial = caught.value.partial
            assert (partial.response_id, partial.status, partial.output_text) == ("resp_0", "in_progress", "So far")
            assert len(partial.tool_calls) == (when == "tools")
            with pytest.raises(ConnectionLost):  # and every later run says so too
                await client.run(input="go")

    run(main)


def test_a_server_that_breaks_the_protocol(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.connection.socket.send('{"type":"response.done","sequence_number":99}')

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(ConnectionLost, match="broke the protocol"):
                await client.run(input="go")

    run(main)


def test_events_of_unknown_types_are_passed_over(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.connection.socket.send('{"type":"responsesapi.websocket_timing","timing_metrics":{}}')
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
        assert len([frame for frame in server.connections[0].frames if "response.create" in str(frame)]) == 1

    run(main)


# --- connecting -------------------------------------------------------------------------------------------------------


def test_the_handshake(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(adding) as server:
            address = server.url.replace("ws://", "http://")
            async with connect(address, api_key="secret", headers={"X-Test": "1"}):
                pass
        (request,) = server.requests
        assert request.path == "/v1/responses"
        assert (request.headers["Authorization"], request.headers["X-Test"]) == ("Bearer secret", "1")
        assert "permessage-deflate" not in request.headers.get("Sec-WebSocket-Extensions", "")

    run(main)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://host:1/v1/responses", "ws://host:1/v1/responses"),
        ("wss://host", "wss://host/v1/responses"),
        ("http://host:80/", "ws://host:80/v1/responses"),
        ("https://host/v1", "wss://host/v1/responses"),
        ("https://host/proxy/v1/", "wss://host/proxy/v1/responses"),
        ("https://host/v1/responses/?a=b", "wss://host/v1/responses?a=b"),
        ("localhost:8000", "ws://localhost:8000/v1/responses"),
        ("http://[::1]:8000", "ws://[::1]:8000/v1/responses"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert responses_url(url) == address


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://[::1"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="is not an address"):
        responses_url(url)


def test_nobody_listens() -> None:
    async def main() -> None:
        with socket.socket() as held:  # bound, not listening: nobody else can take the port
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            with pytest.raises(ConnectionFailed, match=f"no server listens at ws://127.0.0.1:{port}/v1/responses"):
                async with connect(f"http://127.0.0.1:{port}"):
                    pass

    run(main)


def test_a_web_server_that_speaks_no_websocket() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectionFailed, match="answered HTTP 404"):
                async with connect(f"127.0.0.1:{port}"):
                    pass

    run(main)


def test_a_server_that_never_answers_the_handshake() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(ConnectionFailed, match="did not answer in time"):
                async with connect(f"127.0.0.1:{port}", open_timeout=0.05):
                    pass

    run(main)


def test_frames_are_json_text(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, connect(server.url) as client:
            await client.run(input="go", tools=[add])
        create, append = (json.loads(frame) for frame in server.connections[0].frames)
        assert create["type"] == "response.create"
        assert "stream_id" not in create
        call_id = append["input"][0]["call_id"]
        assert append == {
            "type": "response.append",
            "input": [{"type": "function_call_output", "call_id": call_id, "output": "3"}],
        }

    run(main)


def test_every_public_name_is_there() -> None:
    import caesura.client

    assert all(getattr(caesura.client, name) for name in caesura.client.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = caesura.client.nonsense
