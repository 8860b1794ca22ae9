"""Guards at work: nothing of a Response that one stops gets out, and what one takes out is nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.errors import GuardStopped
from caesura.protocol.items import InputItem, InputMessage
from caesura.protocol.modes import APPEND, WEBSOCKET
from caesura.runtime.guards import LimitsGuard, SecretScanner
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.sqlite_store import SqliteStore
from sockets import Socket, answer, calls_of

Host = Callable[..., None]

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
PAUSING = [{"calls": [{"name": "look", "arguments": {}}]}, {"text": "ok"}]
SECRET = "AKIA" + "Q2" * 8
CLEAN = "[redacted: AWS access key id]"
RELEASED = ("response.output_item", "response.content_part", "response.output_text", "response.completed")


class Slow:
    """It stops what a user says of stopping, once ``go`` is set."""

    name = "slow"
    fails_open = False

    def __init__(self) -> None:
        self.go = asyncio.Event()

    def rewrite(self, items: Sequence[InputItem]) -> Sequence[InputItem]:
        return items

    async def check(self, items: Sequence[InputItem]) -> Sequence[str]:
        await self.go.wait()
        if any(isinstance(item, InputMessage) and "stop" in item.text for item in items):
            raise GuardStopped("not that")
        return ["looked"]


def append(socket: Socket, *items: dict[str, Any]) -> None:
    socket.session.receive(json.dumps({"type": "response.append", "input": items}))


def test_what_is_stopped_releases_nothing(host: Host) -> None:
    """The check ends long after the first tokens could have gone out."""
    guard = Slow()

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        socket.send(input="please stop", store=False)
        await socket.event("response.in_progress")
        for lane in ("a", "b"):  # as much happens meanwhile as it takes to refuse two others
            socket.send(model="nope", stream_id=lane)
            await socket.event("error", stream_id=lane)
        guard.go.set()
        failed = (await socket.event("response.failed"))["response"]
        assert (failed["error"]["code"], failed["output"]) == ("blocked_by_guard", [])
        assert not any(event["type"].startswith(RELEASED) for event in socket.events)
        passed = await socket.create(input="go on", store=False)
        assert passed["status"] == "completed"
        assert passed["caesura"]["guard_warnings"] == ["looked"]

    host(scenario, [{"text": "ok"}], guards=[guard])


def test_a_create_that_may_not_in_never_begins(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        refused = await socket.create(input="much too long")
        assert (refused["status"], refused["error"]["code"]) == (422, "blocked_by_guard")
        assert [event["type"] for event in socket.events] == ["error"]
        assert (await socket.create(input="short"))["status"] == "completed"

    host(scenario, [{"text": "ok"}], guards=[LimitsGuard(max_message_chars=5)])


def test_an_append_that_may_not_in_leaves_the_pause(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, APPEND)
        socket.send(input="Look!", tools=[TOOL])
        (call,) = calls_of((await socket.event("response.done"))["response"])
        append(socket, answer(call, "much too long"))
        refused = await socket.event("error")
        assert (refused["status"], refused["error"]["code"]) == (422, "blocked_by_guard")
        append(socket, answer(call, "short"))
        assert (await socket.end())["response"]["status"] == "completed"

    host(scenario, PAUSING, guards=[LimitsGuard(max_output_chars=5)])


def test_a_hosted_output_that_may_not_in_ends_the_response(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        failed = await Socket(rollouts).create(input="6 * 7?", tools=[{"type": "caesura:calculate"}])
        assert (failed["status"], failed["error"]["code"]) == ("failed", "blocked_by_guard")

    turns = [{"calls": [{"name": "calculate", "arguments": {"expression": "6 * 7"}}]}, {"text": "42"}]
    host(scenario, turns, guards=[LimitsGuard(max_output_chars=1)])


@pytest.mark.parametrize("in_append_mode", [True, False])
def test_a_redacted_secret_is_nowhere(host: Host, tmp_path: Path, in_append_mode: bool) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, APPEND if in_append_mode else WEBSOCKET)
        if in_append_mode:
            socket.send(input="Look!", tools=[TOOL])
            (call,) = calls_of((await socket.event("response.done"))["response"])
            append(socket, answer(call, f"key={SECRET}"))
            last = (await socket.end())["response"]
        else:
            first = await socket.create(input="Look!", tools=[TOOL])
            (call,) = calls_of(first)
            last = await socket.create(input=[answer(call, f"key={SECRET}")], previous_response_id=first["id"])
        assert last["status"] == "completed"
        assert "guard_warnings" not in last["caesura"]
        assert service.store is not None
        chain = await service.store.history(last["id"], "")
        assert chain is not None
        kept = "".join(item.body.decode() for stored in chain for item in stored.items)
        assert SECRET not in kept
        assert f"key={CLEAN}" in kept

    host(scenario, PAUSING, guards=[SecretScanner("redact")], store=lambda: SqliteStore(tmp_path / "responses.db"))


def test_a_warning_is_in_the_response(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="Look!", tools=[TOOL])
        (call,) = calls_of(first)
        last = await socket.create(input=[answer(call, SECRET)], previous_response_id=first["id"])
        assert last["caesura"]["guard_warnings"] == ["secrets: 1 in tool outputs: AWS access key id"]
        assert "guard_warnings" not in first["caesura"]

    host(scenario, PAUSING, guards=[SecretScanner("warn")])
