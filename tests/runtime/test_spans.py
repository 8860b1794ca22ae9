"""When what happened in a turn, and which script a request plays: what experiments rest on."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from caesura.protocol.modes import APPEND, WEBSOCKET, Mode
from caesura.runtime import spans as spans_module
from caesura.runtime.app import create_app
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.spans import ResponseSpans, Spans, TurnSpan
from caesura.sampler.replay import ReplayScript
from sockets import CALL, TOOL, TWO_CALLS, Socket, answer, calls_of, text_of
from starlette.routing import Route

Host = Callable[..., None]
TURNS = [TWO_CALLS, CALL, {"text": "Both seen."}]


async def play(socket: Socket, mode: Mode, between: Callable[[], None] = lambda: None) -> list[str]:
    """One conversation, all calls answered; the ids of its Responses."""
    socket.send(input="Look!", tools=[TOOL], store=False)
    ids = []
    while True:
        if mode is APPEND:
            event = await socket.event("response.done", "response.completed")
        else:
            event = await socket.end()
        response = event["response"]
        if response["id"] not in ids:
            ids.append(response["id"])
        calls = calls_of(response)
        pending = calls if mode is WEBSOCKET or event["type"] == "response.done" else []
        if not pending:
            return ids
        between()
        outputs = [answer(call, "there it is") for call in pending]
        if mode is APPEND:
            socket.session.receive(json.dumps({"type": "response.append", "input": outputs}))
        else:
            socket.send(input=outputs, tools=[TOOL], store=False, previous_response_id=ids[-1])


def assert_in_order(turn: TurnSpan) -> None:
    assert 0 < turn.received < turn.sampling < turn.first_token <= turn.last_token < turn.told
    assert 0 < turn.prefill_ns <= turn.inference_ns <= turn.last_token - turn.sampling
    assert sum(turn.stages_ns.values()) <= turn.sampling - turn.received


@pytest.mark.parametrize("mode", [APPEND, WEBSOCKET], ids=lambda mode: mode.name)
def test_every_turn_says_when_what_happened(host: Host, mode: Mode) -> None:
    kept = Spans()
    tools: list[int] = []

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, mode)
        began = time.perf_counter_ns()
        ids = await play(socket, mode, lambda: tools.append(time.perf_counter_ns()))
        ended = time.perf_counter_ns()
        await socket.lose()
        taken = kept.take()
        assert [each.response_id for each in taken] == ids
        assert {each.mode for each in taken} == {mode.name}
        turns = [turn for each in taken for turn in each.turns]
        assert len(turns) == 3
        for turn in turns:
            assert_in_order(turn)
        # Between two turns the client has its tools run.
        marks = [began, *[mark for turn in turns for mark in (turn.received, turn.told)], ended]
        assert marks == sorted(marks)
        for tool, before, after in zip(tools, turns, turns[1:], strict=False):
            assert before.told < tool < after.received
        assert [turn.post_ns > 0 for turn in turns] == [mode is WEBSOCKET, mode is WEBSOCKET, True]
        assert kept.take() == []

    host(scenario, TURNS, spans=kept)


@pytest.mark.parametrize("reuse", [True, False])
def test_what_was_computed_and_what_was_not_are_the_tokens_given(host: Host, reuse: bool) -> None:
    kept = Spans()

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, APPEND)
        await play(socket, APPEND)
        turns = kept.take()[0].turns
        assert turns[0].reused == 0
        for before, turn in itertools.pairwise(turns):
            assert turn.given > before.given + before.sampled
            assert turn.reused == before.given + before.sampled - 1  # the last one is computed with what follows it
        for turn in turns:
            assert turn.decoded == turn.given - turn.reused + turn.sampled - 1
        again = Socket(rollouts)
        await again.create(input="Look!", tools=[TOOL], store=False, caesura={"prefix_reuse": reuse})
        (turn,) = kept.take()[0].turns
        assert (turn.reused > 0) is reuse
        await socket.lose()
        await again.lose()

    host(scenario, TURNS, spans=kept)


def test_an_answer_before_the_pause_is_stamped_when_it_comes(host: Host) -> None:
    kept = Spans()

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, APPEND)
        socket.send(input="Look!", tools=[TOOL])
        done = await socket.event("response.output_item.done")
        before = time.perf_counter_ns()
        socket.session.receive(json.dumps({"type": "response.append", "input": [answer(done["item"], "there")]}))
        after = time.perf_counter_ns()
        await socket.end()
        first, second = kept.take()[0].turns
        assert first.sampled > 0
        assert first.received < before < second.received < after
        await socket.lose()

    host(scenario, [CALL, {"text": "Seen."}], spans=kept)


def test_a_server_without_spans_keeps_none_and_has_no_such_path(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        paths = [route.path for route in create_app(service, rollouts).routes if isinstance(route, Route)]
        assert ("/spans" in paths) is (service.spans is not None)

    host(scenario, TURNS)
    host(scenario, TURNS, spans=Spans())


def test_what_nobody_fetches_is_forgotten_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "MAX_TURNS", 5)
    kept = Spans()
    for number in range(10):
        kept.add(ResponseSpans(f"r{number}", "http", [TurnSpan(0, 0, 0), TurnSpan(0, 0, 0)]))
    assert [each.response_id for each in kept.take()] == ["r8", "r9"]
    kept.add(ResponseSpans("huge", "http", [TurnSpan(0, 0, 0)] * 9))
    assert [each.response_id for each in kept.take()] == ["huge"]


SESSIONS: dict[str, Any] = {
    "turns": [{"text": "The script itself."}],
    "sessions": {"a": {"turns": [CALL, {"text": "This is a."}]}, "b": {"turns": [{"text": "This is b."}]}},
}


@pytest.mark.parametrize("mode", [APPEND, WEBSOCKET], ids=lambda mode: mode.name)
def test_a_request_names_the_session_that_it_plays(host: Host, mode: Mode) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, mode)
        for caesura, said in (
            ({"replay": "b"}, "This is b."),
            ({}, "The script itself."),
            (None, "The script itself."),
        ):
            assert text_of(await socket.create(input="Hello!", caesura=caesura)) == said
        refused = await socket.create(input="Hello!", caesura={"replay": "c"})
        assert (refused["error"]["code"], refused["error"]["param"]) == ("invalid_value", "caesura.replay")
        refused = await socket.create(input="Hello!", caesura={"replay": 1})
        assert (refused["error"]["code"], refused["error"]["param"]) == ("invalid_value", "caesura.replay")
        await socket.lose()

    host(scenario, replay=ReplayScript.parse(SESSIONS))


def test_a_continuation_goes_on_with_its_session(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="Look!", tools=[TOOL], caesura={"replay": "a"})
        (call,) = calls_of(first)
        second = await socket.create(input=[answer(call, "there")], previous_response_id=first["id"])
        assert text_of(second) == "This is a."
        await socket.lose()

    host(scenario, replay=ReplayScript.parse(SESSIONS))
