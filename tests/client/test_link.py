"""How a client gets its connection back, when it gives up, and what it then says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from caesura.client import ConnectionLost, DeadlineExceeded, Reconnecting
from scripted_runs import HANDLED, RECEIVED, SENT, add, adding, losing, read, run

# --- giving up --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("client-backoff")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_attempts_end_after_a_bound(fake_server: Any, hasty_client: Any, waits: Any, status: int) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            rollout.server.status = status
            await losing(rollout)

        async with fake_server(script) as server, hasty_client(server.url, waits) as client:
            stream = client.stream(input="go", tools=[add])
            events: list[Any] = []
            with pytest.raises(ConnectionLost, match=rf"answered HTTP {status}.*gave up after 8 attempts") as caught:
                await read(stream, events)
            told = [(event.attempt, event.delay) for event in events if isinstance(event, Reconnecting)]
            assert told == list(enumerate(waits.seconds, 1))
            assert len(told) == 8
            assert all(0 <= delay <= 0.1 * 2**at for at, delay in enumerate(waits.seconds))
            assert len(server.handshakes) == 1 + 8
            partial = caught.value.partial
            assert (partial.response_id, partial.status) == ("resp_0", "in_progress")
            assert caught.value.code == "connection_lost"
            assert partial.reconnects == 0

    run(main)


@pytest.mark.parametrize("status", [401, 403, 404, 426])
def test_a_server_that_refuses_for_good_is_not_asked_again(
    fake_server: Any, hasty_client: Any, waits: Any, status: int
) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            rollout.server.status = status
            await losing(rollout)

        async with fake_server(script) as server, hasty_client(server.url, waits) as client:
            with pytest.raises(ConnectionLost, match=f"answered HTTP {status}"):
                await client.run(input="go", tools=[add])
            assert len(waits.seconds) == 1

    run(main)


def test_no_attempts_if_none_are_wanted(fake_server: Any, hasty_client: Any, waits: Any) -> None:
    async def main() -> None:
        async with fake_server(losing) as server, hasty_client(server.url, waits, max_reconnects=0) as client:
            with pytest.raises(ConnectionLost, match="the connection broke"):
                await client.run(input="go", tools=[add])
        assert waits.seconds == []

    run(main)


def test_a_client_that_gave_up_tries_again_for_the_next_run(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            if rollout.request.input == "lose":
                rollout.server.status = 503
                await losing(rollout)
            else:
                await adding(rollout)

        async with fake_server(script) as server, hasty_client(server.url) as client:
            for name in ("lose", "fail"):
                with pytest.raises(ConnectionLost):
                    await client.run(input=name)
            server.status = None
            result = await client.run(input="go", tools=[add])
        assert (result.output_text, result.reconnects) == ("It is 3.", 1)

    run(main)


def test_progress_counts_attempts_anew(fake_server: Any, hasty_client: Any, waits: Any) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, hasty_client(server.url, waits, max_reconnects=1) as client:
            server.cuts = {SENT: range(2, 60, 3)}  # each connection but the first brings one event
            result = await client.run(input="go", tools=[add])
        assert result.output_text == "It is 3."
        assert result.reconnects == len(waits.seconds) > 5

    run(main)


@pytest.mark.parametrize("held", [False, True])
def test_a_connection_that_held_is_progress_too(fake_server: Any, hasty_client: Any, waits: Any, held: bool) -> None:
    """While a tool runs there is nothing to be received: a connection that was there for long was good."""

    async def main() -> None:
        async def wait() -> str:
            server.lose_connections()
            while server.counts[HANDLED] < 6:
                waits.time += 11 * held
                await asyncio.sleep(0)
            return "waited"

        async def script(rollout: Any) -> None:
            await rollout.call("wait", "{}")
            (output,) = await rollout.pause()
            await rollout.say(output.output)
            await rollout.complete()

        async with fake_server(script) as server, hasty_client(server.url, waits, max_reconnects=2) as client:
            server.cuts = {HANDLED: range(1, 6)}  # at each resume
            if held:
                assert (await client.run(input="go", tools=[wait])).output_text == "waited"
            else:
                with pytest.raises(ConnectionLost, match="gave up after 2 attempts"):
                    await client.run(input="go", tools=[wait])

    run(main)


def test_a_deadline_holds_while_there_is_no_connection(fake_server: Any, hasty_client: Any, waits: Any) -> None:
    async def main() -> None:
        waits.gate.clear()
        async with fake_server(losing) as server, hasty_client(server.url, waits) as client:
            with pytest.raises(DeadlineExceeded):
                await client.run(input="go", deadline=0.05)
            waits.gate.set()

    run(main)


# --- without a run ----------------------------------------------------------------------------------------------------


def test_a_client_that_does_nothing_needs_no_connection(fake_server: Any, hasty_client: Any, waits: Any) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, hasty_client(server.url, waits) as client:
            assert (await client.run(input="go", tools=[add])).output_text == "It is 3."
            server.lose_connections()
            await asyncio.wait({client._link._carrier})
            assert (len(server.handshakes), waits.seconds) == (1, [])
            assert (await client.run(input="go", tools=[add])).output_text == "It is 3."
            assert len(server.handshakes) == 2

    run(main)


def test_a_cancel_that_was_lost_is_sent_again(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            if rollout.request.input == "probe":
                return await rollout.complete()
            await asyncio.Event().wait()

        async with fake_server(script) as server, hasty_client(server.url) as client:
            server.cuts = {RECEIVED: [1]}
            async with client.stream(input="go") as stream:
                await anext(stream)
            await asyncio.wait({client._link._carrier})
            for _ in range(2):  # the cancel follows the resume, so there are two turns between them
                await client.run(input="probe")
            assert server.rollouts[0].machine.standing == "cancelled (client_request)"
            assert client._link._exchanges == {}

    run(main)


def test_a_create_that_was_cancelled_and_lost_is_not_sent_again(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        async def script(rollout: Any) -> None:
            await rollout.complete()

        async with fake_server(script) as server, hasty_client(server.url) as client:
            server.cuts = {RECEIVED: [0]}
            stream = client.stream(input="go")
            async for event in stream:
                assert isinstance(event, Reconnecting)
                stream.cancel()
            assert (stream.result.status, stream.result.incomplete_reason) == ("cancelled", "client_request")
            assert (await client.run(input="again")).status == "completed"
        assert [rollout.request.input for rollout in server.rollouts] == ["again"]

    run(main)


def test_the_other_runs_of_the_connection_go_on_too(fake_server: Any, hasty_client: Any) -> None:
    async def main() -> None:
        async with fake_server(adding) as server, hasty_client(server.url) as client:
            server.cuts = {SENT: [20, 90, 200], RECEIVED: [25]}
            results = await asyncio.gather(*[client.run(input="go", tools=[add]) for _ in range(40)])
        assert {result.output_text for result in results} == {"It is 3."}
        assert len([rollout for rollout in server.rollouts if rollout.machine.id is not None]) == 40

    run(main)


def test_closing_the_client_ends_its_attempts(fake_server: Any, hasty_client: Any, waits: Any) -> None:
    async def main() -> None:
        waits.gate.clear()
        async with fake_server(losing) as server:
            async with hasty_client(server.url, waits) as client:
                running = asyncio.create_task(client.run(input="go"))
                await waits.begun.wait()
            with pytest.raises(ConnectionLost, match="the client was closed"):
                await running
            assert len(server.handshakes) == 1

    run(main)
