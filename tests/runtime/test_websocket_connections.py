"""OpenAI's WebSocket mode: what a connection carries and for how long, lanes, messages, ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.modes import APPEND
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.sqlite_store import SqliteStore
from sockets import KNOWN_EVENTS, TOOL, Socket, text_of

Host = Callable[..., None]


def test_a_lane_is_a_queue_and_lanes_run_beside_each_other(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        for lane in ("a", "a", "b"):
            socket.send(input="Hi", stream_id=lane)
        for lane in ("a", "b", "a"):
            assert text_of((await socket.end(lane))["response"]) == "Long. " * 20
        mine = [event for event in socket.events if event["stream_id"] == "a"]
        assert [event["type"] for event in mine].count("response.created") == 2
        second = [event["type"] for event in mine].index("response.created", 1)
        assert mine[second - 1]["type"] == "response.completed"
        for events in (mine[:second], mine[second:]):
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
        await socket.lose()

    host(scenario, [{"text": "Long. " * 20}])


def test_named_lanes_are_bounded_and_checked(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        for number in range(32):
            socket.send(input="Hi", stream_id=f"lane{number}")
        for number in range(32):
            assert (await socket.end(f"lane{number}"))["type"] == "response.completed"
        socket.send(input="Hi", stream_id="one-more")
        assert (await socket.end("one-more"))["error"]["code"] == "websocket_stream_limit_reached"
        socket.send(input="Hi", stream_id="no lane")
        assert (await socket.end())["error"]["code"] == "invalid_stream_id"
        await socket.lose()

    host(scenario, [{"text": "Hello."}])


def test_a_response_ends_with_its_connection(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="Hi")
        socket.send(input="Go on", previous_response_id=first["id"])
        await socket.event("response.output_text.delta")
        await socket.event("response.output_text.delta")
        await socket.lose()
        async with asyncio.timeout(20):
            while rollouts.num_open:
                await asyncio.wait([running.task for running in rollouts._running.values()])

    host(scenario, [{"text": "Hi."}, {"text": "Very long. " * 300}])


def test_messages_of_append_mode_are_refused(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        for kind in ("response.append", "response.cancel", "response.resume"):
            socket.session.receive(f'{{"type": "{kind}", "response_id": "resp_1", "input": "-"}}')
            error = await socket.event("error")
            assert error["error"]["code"] == "unknown_message_type"
            assert "responses_websockets" in error["error"]["message"]
        await socket.lose()

    host(scenario, [])


def test_timing_is_told_where_it_is_asked_for(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        await socket.create(input="Hi")
        assert not [event for event in socket.events if event["type"] == "responsesapi.websocket_timing"]
        socket.session.connection.wants_timing = True
        await socket.create(input="Hi")
        timing = await socket.event("responsesapi.websocket_timing")
        assert timing["timing_metrics"]["engine_service_total_ms"] > 0
        assert socket.events[-2] is timing
        await socket.lose()

    host(scenario, [{"text": "Hello."}])


def test_an_idempotency_key_means_nothing(host: Host) -> None:
    """What it is for, a repeat after a loss, can't be: a Response ends with its connection."""

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        one, two = Socket(rollouts), Socket(rollouts)
        for socket in (one, two):
            socket.send(input="Hi", idempotency_key="key")
        ended = [(await socket.end())["response"] for socket in (one, two)]
        assert ended[0]["id"] != ended[1]["id"]
        assert [text_of(response) for response in ended] == ["Hello.", "Hello."]
        assert {event["type"] for event in [*one.events, *two.events]} <= KNOWN_EVENTS
        await one.lose()
        await two.lose()

    host(scenario, [{"text": "Hello."}])


def test_nobody_takes_a_response_over(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        owner, thief = Socket(rollouts), Socket(rollouts, APPEND)
        owner.send(input="Hi")
        created = await owner.event("response.created")
        thief.session.receive(json.dumps({"type": "response.resume", "response_id": created["response"]["id"]}))
        refused = await thief.event("error")
        assert (refused["status"], refused["error"]["code"]) == (409, "response_detached")
        assert text_of((await owner.end())["response"]) == "Long. " * 30
        await owner.lose()
        await thief.lose()

    host(scenario, [{"text": "Long. " * 30}])


def test_a_deleted_response_is_not_gone_on_from(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket, strange = Socket(rollouts), Socket(rollouts, credential="another")
        mine = await socket.create(input="Hi")
        theirs = await strange.create(input="Hi")
        for response in (mine, theirs):
            rollouts.forget(response["id"], "")
        gone = await socket.create(input="And?", previous_response_id=mine["id"])
        assert gone["error"]["code"] == "previous_response_not_found"
        kept = await strange.create(input="And?", previous_response_id=theirs["id"])
        assert text_of(kept) == "Second."
        await socket.lose()
        await strange.lose()

    host(scenario, [{"text": "First."}, {"text": "Second."}])


def test_a_cancelled_response_has_what_was_said(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        socket.send(input="Hi")
        created = await socket.event("response.created")
        await socket.event("response.output_text.delta")
        await rollouts.cancel(rollouts.find(created["response"]["id"], ""))
        end = await socket.end()
        assert end["type"] == "response.incomplete"
        response = end["response"]
        assert (response["status"], response["incomplete_details"]) == ("cancelled", None)
        (message,) = response["output"]
        assert message["status"] == "incomplete"
        said = "".join(e["delta"] for e in socket.events if e["type"] == "response.output_text.delta")
        assert message["content"][0]["text"] == said
        assert "Very long. ".startswith(said[:11])
        done = [event for event in socket.events if event["type"] == "response.output_item.done"]
        assert [event["item"] for event in done] == [message]
        await socket.lose()

    host(scenario, [{"text": "Very long. " * 300}])


def test_a_server_that_stops_ends_what_runs(host: Host, tmp_path: Path) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket, long = Socket(rollouts), Socket(rollouts, APPEND)
        socket.send(input="Hi")
        long.send(input="Look!", tools=[TOOL])
        await socket.event("response.output_text.delta")
        await long.event("response.output_text.delta")
        await rollouts.close()
        for each in (socket, long):
            response = (await each.end())["response"]
            assert response["status"] == "cancelled"
            assert service.store is not None
            assert await service.store.get(response["id"], "") is not None
            await each.lose()

    turns = [{"text": "Very long. " * 300}]
    host(scenario, turns, store=lambda: SqliteStore(tmp_path / "responses.sqlite3"))


def test_a_create_that_had_not_begun_when_the_server_stopped_is_refused(host: Host, tmp_path: Path) -> None:
    """Clients of this mode know no event that would end a Response which was never created."""

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        looked_for = asyncio.Event()

        async def never(*_: Any) -> None:
            looked_for.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(service.store, "history", never)
        socket = Socket(rollouts)
        socket.send(input="Hi", previous_response_id="resp_stored")
        await asyncio.wait_for(looked_for.wait(), 20)
        rollouts.end_all()
        refused = await socket.end()
        assert (refused["status"], refused["error"]["code"]) == (503, "server_overloaded")
        await socket.lose()

    with pytest.MonkeyPatch.context() as monkeypatch:
        host(scenario, [{"text": "Hello."}], store=lambda: SqliteStore(tmp_path / "responses.sqlite3"))
