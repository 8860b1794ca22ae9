"""Runs that end before their time: left, cancelled, or too late. Nothing of them is left behind, on either side."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from caesura.client import Client, ConnectionLost, DeadlineExceeded, RunFailed, ToolFinished, ToolStarted, connect
from caesura.protocol.events import OutputTextDelta, ResponseCancelled, ResponseCreated, ResponseDone
from caesura.protocol.limits import Limits
from scripted_runs import add, run


class Hanging:
    """A tool that never comes to an end by itself."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def hang(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


async def hanging(rollout: Any) -> None:
    """Two calls, one of which is never answered; for any other input than "hang", a Response that completes."""
    if rollout.request.input == "hang":
        await rollout.call("quick", "{}")
        await rollout.call("hang", "{}")
        await rollout.pause()
    await rollout.adding()


async def quick() -> str:
    return "quick"


# --- left -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("client-cancel-tools")
@pytest.mark.parametrize("how", ["dropped", "closed", "cancelled"])
def test_a_stream_that_is_left_early_leaves_nothing_behind(fake_server: Callable[..., Any], how: str) -> None:
    async def main() -> None:
        hang = Hanging()
        tools = [hang.hang, quick]

        async def watch(client: Client) -> None:
            async for event in client.stream(input="hang", tools=tools):
                if isinstance(event, ToolFinished):
                    break

        async def watch_and_close(client: Client) -> None:
            async with client.stream(input="hang", tools=tools) as stream:
                async for event in stream:
                    if isinstance(event, ToolFinished):
                        break
            assert stream.result.status == "in_progress"

        async def watch_for_ever(client: Client, reached: asyncio.Event) -> None:
            async for event in client.stream(input="hang", tools=tools):
                if isinstance(event, ToolFinished):
                    reached.set()

        async with fake_server(hanging) as server, connect(server.url) as client:
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
            await hang.cancelled.wait()
            # A run beside it, on another lane, and enough turns of the loop for what was cancelled to end.
            assert (await client.run(input="go", tools=[add])).output_text == "It is 3."
            assert server.rollouts[0].machine.standing == "cancelled (client_request)"
            names = {each.get_name() for each in asyncio.all_tasks() - before}
            assert not {name for name in names if name.startswith("tool ")}
            assert client._link._exchanges == {}

    run(main)


def test_a_client_that_is_closed_cancels_its_responses(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        hang = Hanging()
        async with fake_server(hanging) as server:
            async with connect(server.url) as client:
                running = asyncio.create_task(client.run(input="hang", tools=[hang.hang, quick]))
                await hang.started.wait()
            with pytest.raises(ConnectionLost, match="the client was closed"):
                await running
            with pytest.raises(ConnectionLost, match="the client is closed"):
                await client.run(input="go")
            (connection,) = server.connections
            await connection.socket.wait_closed()
            await hang.cancelled.wait()
            assert server.rollouts[0].machine.standing == "cancelled (client_request)"

    run(main)


# --- cancelled --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("client-cancel-tools")
@pytest.mark.parametrize("moment", [ResponseCreated, OutputTextDelta, ResponseDone, ToolStarted])
def test_cancelling_a_stream(fake_server: Callable[..., Any], moment: type) -> None:
    async def main() -> None:
        hang = Hanging()

        async def script(rollout: Any) -> None:
            await rollout.say("Wait a bit")
            await rollout.call("hang", "{}")
            await rollout.pause()

        async with fake_server(script) as server, connect(server.url) as client:
            stream = client.stream(input="go", tools=[hang.hang], early_tools=False)
            seen = []
            async for event in stream:
                seen.append(event)
                if isinstance(event, moment):
                    stream.cancel()
            assert isinstance(seen[-1], ResponseCancelled)
            assert len([event for event in seen if isinstance(event, ToolStarted)]) == (moment is ToolStarted)
            assert (stream.result.status, stream.result.incomplete_reason) == ("cancelled", "client_request")
            assert stream.result.tool_calls == ()
            if hang.started.is_set():
                await hang.cancelled.wait()

    run(main)


def test_cancelling_a_stream_before_it_is_read_sends_nothing(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(hanging) as server, connect(server.url) as client:
            stream = client.stream(input="hang")
            stream.cancel()
            assert [event async for event in stream] == []
            assert (stream.result.status, stream.result.incomplete_reason) == ("cancelled", "client_request")
        assert server.frames == []

    run(main)


def test_cancelling_a_create_that_waits_for_its_turn(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        hang = Hanging()
        limits = Limits(max_sampling=1)

        async def script(rollout: Any) -> None:
            await hang.hang()

        async with fake_server(script, limits=limits) as server, connect(server.url) as client:
            first = asyncio.create_task(client.run(input="first"))
            await hang.started.wait()
            stream = client.stream(input="second")
            waiting = asyncio.ensure_future(anext(stream))
            await server.received(2)
            stream.cancel()
            assert isinstance(await waiting, ResponseCancelled)
            assert [event async for event in stream] == []
            assert stream.result.status == "cancelled"
            assert len(server.rollouts) == 1
            first.cancel()

    run(main)


def test_a_response_that_completes_before_its_cancel_arrives(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await rollout.complete()

        async with fake_server(script) as server, connect(server.url) as client:
            stream = client.stream(input="go")
            async for event in stream:
                if isinstance(event, ResponseCreated):
                    stream.cancel()  # all of it has been sent by then
            assert stream.result.status == "completed"
            assert (await client.run(input="again")).status == "completed"  # the error that the cancel got is no one's

    run(main)


# --- too late ---------------------------------------------------------------------------------------------------------


def let_time_pass(seconds: float) -> None:
    """Set the clock of the running loop forward."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


def test_a_run_that_takes_too_long_is_cancelled(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        hang = Hanging()
        async with fake_server(hanging) as server, connect(server.url) as client:
            running = asyncio.create_task(client.run(input="hang", tools=[hang.hang, quick], deadline=5))
            await hang.started.wait()
            let_time_pass(5)
            with pytest.raises(DeadlineExceeded, match="not over after 5 s") as caught:
                await running
            assert isinstance(caught.value, TimeoutError)
            assert (caught.value.code, caught.value.partial.response_id) == ("deadline_exceeded", "resp_0")
            assert caught.value.partial.status == "in_progress"
            await hang.cancelled.wait()
            assert (await client.run(input="go", tools=[add], deadline=5)).status == "completed"
            assert server.rollouts[0].machine.standing == "cancelled (client_request)"

    run(main)


def test_no_time_at_all(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(hanging) as server, connect(server.url) as client:
            with pytest.raises(DeadlineExceeded):
                await client.run(input="go", deadline=0)

    run(main)


def test_a_deadline_holds_where_there_is_always_something_to_read(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            if rollout.request.input == "probe":
                return await rollout.complete()
            await rollout.say("one two three")
            await asyncio.Event().wait()

        async with fake_server(script) as server, connect(server.url) as client:
            stream = client.stream(input="go", deadline=5)
            await anext(stream)
            await client.run(input="probe")  # all that was said has arrived when this is over
            await anext(stream)
            let_time_pass(5)
            with pytest.raises(DeadlineExceeded):
                await anext(stream)

    run(main)


def test_a_response_that_ended_in_time_may_be_read_late(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await rollout.say("one two three")
            await rollout.complete()

        async with fake_server(script) as server, connect(server.url) as client:
            stream = client.stream(input="go", deadline=5)
            await anext(stream)
            await client.run(input="probe")
            let_time_pass(5)
            async for _ in stream:
                pass
            assert stream.result.output_text == "one two three"

    run(main)


def test_a_deadline_holds_while_all_lanes_are_taken(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await asyncio.Event().wait()

        async with fake_server(script) as server, connect(server.url) as client:
            runs = [asyncio.create_task(client.run(input="go")) for _ in range(33)]
            await server.received(33)
            late = asyncio.create_task(client.run(input="late", deadline=5))
            await asyncio.sleep(0)
            let_time_pass(5)
            with pytest.raises(DeadlineExceeded) as caught:
                await late
            assert caught.value.partial.response_id is None
            assert len(server.frames) == 33
            for each in runs:
                each.cancel()

    run(main)


def test_someone_elses_cancel_is_an_error(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await rollout.say("So far")
            await rollout.cancel("superseded")

        async with fake_server(script) as server, connect(server.url) as client:
            with pytest.raises(RunFailed, match="the Response was cancelled: superseded") as caught:
                await client.run(input="go")
        assert (caught.value.code, caught.value.partial.status) == ("cancelled", "cancelled")
        assert (caught.value.partial.incomplete_reason, caught.value.partial.output_text) == ("superseded", "So far")

    run(main)
