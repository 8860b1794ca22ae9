"""Several runs of one client at once: each on a lane of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from caesura.client import RunFailed, RunResult, connect
from caesura.protocol.events import ResponseDone
from scripted_runs import add, adding, run


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


def test_the_lane_of_a_run_that_was_left_is_free_when_its_response_has_ended(fake_server: Callable[..., Any]) -> None:
    async def script(rollout: Any) -> None:
        await rollout.call("never", "{}")
        await rollout.pause()

    async def main() -> None:
        async with fake_server(script) as server, connect(server.url) as client:
            for _ in range(35):
                async with client.stream(input="go", early_tools=False) as stream:
                    async for event in stream:
                        if isinstance(event, ResponseDone):
                            break
        states = [rollout.machine.standing for rollout in server.rollouts]
        assert states == ["cancelled (client_request)"] * 35  # none was superseded: no lane was taken too early

    run(main)
