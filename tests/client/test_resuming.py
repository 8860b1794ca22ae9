"""What a client finds when it is back: its Response, a snapshot of it, someone else who has it, or nonsense."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from caesura.client import ConnectionLost, EventsLost, Reconnecting, Resumed, ToolStarted
from caesura.client.exchange import Closed, Exchange
from caesura.protocol.connection import ClientResponse, Outcome, Received, ServerProtocol
from caesura.protocol.events import (
    ErrorBody,
    ErrorEvent,
    ResponseCompleted,
    ResponseCreated,
    ResponseDetached,
    ResponseDone,
)
from caesura.protocol.limits import Limits
from scripted_runs import SENT, add, adding, read, run
from websockets.asyncio.client import connect as open_websocket

# --- the server's part ------------------------------------------------------------------------------------------------


def test_a_response_that_another_client_takes_over(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async def script(rollout: Any) -> None:
            await rollout.call("hang", "{}")
            await rollout.pause()

        async with fake_server(script) as server, hasty_client(server.url) as client:
            stream = client.stream(input="go", tools=[hang])
            async for event in stream:
                if isinstance(event, ToolStarted):
                    break
            async with open_websocket(f"{server.url}/v1/responses") as other:
                await other.send(json.dumps({"type": "response.resume", "response_id": "resp_0"}))
                assert json.loads(await other.recv())["type"] == "response.resumed"
                with pytest.raises(ConnectionLost, match="another client has taken over Response resp_0") as caught:
                    await read(stream, [])
                await cancelled.wait()
            assert (caught.value.code, caught.value.partial.response_id) == ("taken_over", "resp_0")

    run(main)


def test_a_server_that_was_started_anew_has_no_response_of_before(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            if rollout.request.input == "go":
                await asyncio.Event().wait()
            await rollout.complete()

        async with fake_server(script) as server, hasty_client(server.url) as client:
            stream = client.stream(input="go")
            await anext(stream)
            server.core = ServerProtocol()
            server.lose_connections()
            assert isinstance(await anext(stream), Reconnecting)
            with pytest.raises(ConnectionLost, match="can't resume Response resp_0") as caught:
                await anext(stream)
            assert caught.value.code == "response_not_found"
            assert (await client.run(input="again")).status == "completed"  # on the connection that there is now

    run(main)


@pytest.mark.parametrize("where", ["sampling", "pause", "end"])
def test_events_that_the_server_no_longer_has(fake_server: Any, hasty_client: Any, waits: Any, where: str) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await rollout.say("before")
            await asyncio.sleep(0)
            waits.gate.clear()
            rollout.server.lose_connections()
            await waits.begun.wait()
            await rollout.say("one two three four")
            if where != "end":
                await rollout.call("add", '{"a":1,"b":2}')
                if where == "pause":
                    await rollout.emit(rollout.machine.pause())
                waits.gate.set()
                (output,) = await rollout.outputs()
                await rollout.say(f"It is {output.output}.")
            await rollout.complete()
            waits.gate.set()

        limits = Limits(max_replay_events=1)
        async with fake_server(script, limits=limits) as server, hasty_client(server.url, waits) as client:
            stream = client.stream(input="go", tools=[add])
            events = [event async for event in stream]
        (lost,) = [event for event in events if isinstance(event, EventsLost)]
        numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
        assert numbers == [*range(lost.first), *range(lost.last + 1, numbers[-1] + 1)]
        assert isinstance(events[-1], ResponseCompleted)
        assert len([event for event in events if isinstance(event, Resumed)]) == (where != "end")
        assert len(stream.result.output) == (2 if where == "end" else 4)
        assert stream.result.output_text == ("one two three four" if where == "end" else "It is 3.")
        assert len(stream.result.tool_calls) == (where != "end")

    run(main)


def test_a_create_whose_first_events_the_server_no_longer_has(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await rollout.say("one two three")
            await rollout.complete()

        limits = Limits(max_replay_events=1)
        async with fake_server(script, limits=limits) as server, hasty_client(server.url) as client:
            server.cuts = {SENT: [0]}
            stream = client.stream(input="go")
            events = [event async for event in stream]
        assert [type(event) for event in events] == [Reconnecting, EventsLost, ResponseCompleted]
        assert stream.result.output_text == "one two three"
        assert len(server.rollouts) == 1

    run(main)


@pytest.mark.requirement("client-resume")
@pytest.mark.parametrize("when", [ResponseCreated, ResponseDone])
def test_a_connection_that_is_too_old(fake_server: Any, hasty_client: Any, when: type) -> None:
    async def main() -> None:
        async with fake_server(adding, limits=Limits(lifetime=100.0)) as server, hasty_client(server.url) as client:
            stream = client.stream(input="go", tools=[add], early_tools=False)
            reasons = []
            async for event in stream:
                if isinstance(event, when):
                    server.advance(101)
                if isinstance(event, Reconnecting):
                    reasons.append(event.reason)
        assert len(reasons) == 1
        assert "websocket_connection_limit_reached" in reasons[0]
        assert (stream.result.output_text, stream.result.reconnects) == ("It is 3.", 1)
        assert len(server.connections) == 2

    run(main)


def test_a_client_that_reads_too_slowly_comes_back(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await rollout.say("many words that nobody reads in time")  # in one go, so more than may wait to be sent
            await rollout.complete()

        async with (
            fake_server(script, limits=Limits(max_unsent_events=5)) as server,
            hasty_client(server.url) as client,
        ):
            stream = client.stream(input="go")
            reasons = [event.reason async for event in stream if isinstance(event, Reconnecting)]
        assert any("slow_reader" in reason for reason in reasons)
        assert stream.result.output_text == "many words that nobody reads in time"

    run(main)


# --- what breaks the protocol -----------------------------------------------------------------------------------------

BROKEN = {
    "binary": b"\x00",
    "not JSON": "{",
    "no object": "[]",
    "gap": '{"type":"response.in_progress","sequence_number":99,"response":{"id":"resp_0","created_at":0,'
    '"status":"in_progress","model":"m"}}',
    "twice": '{"type":"response.output_text.delta","sequence_number":1,"item_id":"msg_0","output_index":0,'
    '"content_index":0,"delta":"again"}',
    "bad field": '{"type":"response.output_text.delta","sequence_number":"1"}',
    "unknown lane": '{"type":"response.done","sequence_number":0,"stream_id":"elsewhere"}',
}


@pytest.mark.requirement("client-binary", "client-gap", "client-resume")
@pytest.mark.parametrize("frame", BROKEN.values(), ids=BROKEN.keys())
def test_a_frame_that_breaks_the_protocol_costs_a_connection(fake_server: Any, hasty_client: Any, frame: Any) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await rollout.say("So far")
            while rollout.machine.connection.next_frame() is not None:
                pass
            await rollout.socket.send(frame)
            await adding(rollout)

        async with fake_server(script) as server, hasty_client(server.url) as client:
            stream = client.stream(input="go", tools=[add])
            events = [event async for event in stream]
            assert [connection.socket.close_code for connection in server.connections][:1] == [1002]
        (lost,) = [event for event in events if isinstance(event, Reconnecting)]
        assert lost.reason.startswith("the server broke the protocol")
        numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
        assert numbers == list(range(len(numbers)))
        assert stream.result.output_text == "It is 3."

    run(main)


@pytest.mark.parametrize("frame", ["{", '{"type":"response.done","sequence_number":0,"response":{"id":"resp_0"}}'])
def test_a_server_that_breaks_the_protocol_each_time(
    fake_server: Any, hasty_client: Any, waits: Any, frame: str
) -> None:
    async def main() -> None:
        async with fake_server(adding) as server:
            server.greeting = frame
            async with hasty_client(server.url, waits, max_reconnects=3) as client:
                with pytest.raises(ConnectionLost, match=r"broke the protocol.*gave up after 3 attempts"):
                    await client.run(input="go", tools=[add])
        assert len(waits.seconds) == 3

    run(main)


def test_nonsense_before_a_create_is_answered(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        async with fake_server(adding) as server:
            server.greeting = '{"type":"response.done","sequence_number":0,"response":{"id":"resp_0"}}'
            async with hasty_client(server.url) as client:
                stream = client.stream(input="go", tools=[add])
                assert isinstance(await anext(stream), Reconnecting)
                server.greeting = None
                await read(stream, [])
                assert stream.result.output_text == "It is 3."

    run(main)


@pytest.mark.parametrize("is_told", [True, False])
def test_a_response_that_another_client_has_taken_over_ends_its_run(is_told: bool) -> None:
    """It is told so, or its own resume comes later than the other client's and is refused."""
    body = ErrorBody(type="invalid_request_error", code="response_detached", message="No.")
    told = ResponseDetached(response_id="resp_1")
    event = told if is_told else ErrorEvent(status=409, error=body, response_id="resp_1")
    given: list[Any] = []
    response = ClientResponse(request=None, id="resp_1")
    Exchange(response, 0, given.append, 0.0).take(Received(event, response, Outcome.DETACHED))
    assert given == [Closed("another client has taken over Response resp_1", "taken_over")]
