"""What is certain to follow a call is computed while it is answered, in the modes that keep a sequence."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from caesura.protocol.limits import DEFAULT_LIMITS
from caesura.protocol.modes import APPEND, HTTP, WEBSOCKET, Mode
from caesura.runtime import command
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.spans import Spans
from caesura.sampler.chat_message import ToolCall
from caesura.sampler.engine import SamplingParams
from caesura.sampler.llama_engine import LlamaEngine
from sockets import CALL, SECONDS, TOOL, TWO_CALLS, Socket, answer, calls_of

Host = Callable[..., None]
TURNS = [TWO_CALLS, CALL, {"text": "Both seen."}]
USER = {"type": "message", "role": "user", "content": "And hurry."}


def computed_ahead(service: Service) -> int:
    assert isinstance(service.engine, LlamaEngine)
    return service.engine._residency.counters.computed_ahead


async def until_ahead(service: Service, count: int) -> None:
    """Until so many tokens were computed ahead since the engine's start."""
    async with asyncio.timeout(SECONDS):
        while computed_ahead(service) < count:  # noqa: ASYNC110  (nothing signals it to anybody)
            await asyncio.sleep(0)


async def play(socket: Socket, mode: Mode, service: Service, *more: dict[str, Any], anticipates: bool) -> int:
    """One conversation, with the time for what can be computed in its pauses; how many tokens that were. `more` comes
    with every output."""
    socket.send(input="Look!", tools=[TOOL], store=False)
    anticipated = 0
    ahead = computed_ahead(service)
    while True:
        event = await (socket.event("response.done", "response.completed") if mode is APPEND else socket.end())
        response = event["response"]
        if event["type"] == "response.completed":
            anticipated += response["caesura"]["tokens"]["anticipated"]
        if not (pending := [] if mode is APPEND and event["type"] != "response.done" else calls_of(response)):
            return anticipated
        if anticipates:
            ahead += certain(service, len(pending))
            await until_ahead(service, ahead)
        items = [*(answer(call, "there it is") for call in pending), *more]
        if mode is APPEND:
            socket.session.receive(json.dumps({"type": "response.append", "input": items}))
        else:
            socket.send(input=items, tools=[TOOL], store=False, previous_response_id=response["id"])


def certain(service: Service, num_calls: int) -> int:
    """Tokens that can be computed in the pause after so many calls: the last sampled one is among them."""
    calls = [ToolCall("look", "{}", f"call_{number}") for number in range(num_calls)]
    return 1 + len(service.model.chat_template.encode_certain(calls=calls))


@pytest.mark.parametrize("more", [(), (USER,)], ids=["outputs", "and_a_message"])
@pytest.mark.parametrize("mode", [APPEND, WEBSOCKET], ids=lambda mode: mode.name)
def test_it_is_computed_in_the_pause(host: Host, mode: Mode, more: tuple[dict[str, Any], ...]) -> None:
    kept = Spans()
    rows: list[list[Any]] = []

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        for anticipates in (True, False):
            served = Rollouts(dataclasses.replace(service, anticipates=anticipates), DEFAULT_LIMITS)
            socket = Socket(served, mode)
            expected = certain(service, 2) + certain(service, 1) if anticipates else 0
            assert await play(socket, mode, service, *more, anticipates=anticipates) == expected
            turns = [turn for each in kept.take() for turn in each.turns]
            for turn in turns:
                assert turn.decoded == turn.given - turn.reused + turn.sampled - 1
            rows.append([(turn.given, turn.sampled) for turn in turns])
            await socket.lose()
            await served.close()

    host(scenario, TURNS, spans=kept)
    assert rows[0] == rows[1]
    assert len(rows[0]) == 3


def test_a_call_that_has_its_answer_already(host: Host) -> None:
    """There is nothing to wait for after the second one: it is refused."""

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, APPEND)
        socket.send(input="Look!", tools=[TOOL], store=False, max_tool_calls=1)
        (call,) = calls_of((await socket.event("response.done"))["response"])
        await until_ahead(service, certain(service, 1))
        socket.session.receive(json.dumps({"type": "response.append", "input": [answer(call)]}))
        cost = (await socket.end())["response"]["caesura"]
        assert (cost["pauses"], cost["tokens"]["anticipated"]) == (1, certain(service, 1))
        assert computed_ahead(service) == certain(service, 1)
        await socket.lose()

    host(scenario, [CALL, CALL, {"text": "Seen once."}])


def test_a_request_that_nobody_goes_on_from(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, HTTP)
        await socket.create(input="Look!", tools=[TOOL], store=False)
        sequence = await service.engine.open([1, 2])
        async for _ in sequence.sample(SamplingParams(max_tokens=1)):
            pass
        assert computed_ahead(service) == 0
        await sequence.close()
        await socket.lose()

    host(scenario, [CALL])


@pytest.mark.parametrize("options", [[], ["--no-anticipation"]])
def test_it_can_be_switched_off(demo_model_path: Any, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    told: list[bool] = []

    async def run(*arguments: Any, anticipate: bool, **named: Any) -> None:
        told.append(anticipate)

    monkeypatch.setattr(command, "run_server", run)
    assert command.serve(["--model", str(demo_model_path), "--port", "0", "--store", "none", *options]) == 0
    assert told == [not options]
