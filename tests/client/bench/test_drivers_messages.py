"""What each design says, word for word, and what it makes of the answers: with servers that play along."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from caesura.client.bench.driver import BenchError, Call, Output
from caesura.client.bench.drivers import DESIGNS, make_driver
from caesura.client.bench.script import TOOL, Script, ScriptedCall, ScriptedTurn
from websockets.asyncio.server import ServerConnection
from wire_fakes import (
    BOUND,
    call_done,
    call_item,
    completed,
    event_stream,
    frame,
    http_server,
    json_answer,
    websocket_server,
)

TWO_CALLS = (ScriptedCall('{"at": "a"}', "A", 0), ScriptedCall('{"at": "b"}', "B", 0))
SCRIPT = Script(
    "s7",
    "{nonce}: look.",
    "Go.",
    (
        ScriptedTurn("", TWO_CALLS, 20),
        ScriptedTurn("", (ScriptedCall('{"at": "c"}', "C", 0),), 10),
        ScriptedTurn("Bye.", (), 3),
    ),
)
INSTRUCTIONS = "12345678: look."
TASK = {"type": "message", "role": "user", "content": "Go."}
TEXT_ITEM = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "\u00e9 "}]}


def output(call_id: str, text: str) -> dict[str, str]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(steps(), BOUND)

    asyncio.run(bounded())


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_requests_over_http(key: str) -> None:
    items = [TEXT_ITEM, call_item("1", "a"), call_item("2", "b")]
    first = event_stream(
        frame("response.created", response={"id": "r1"}),
        frame("response.output_text.delta", delta="x"),
        call_done("1", "a"),
        call_done("2", "b"),
        completed("r1", items),
    )
    second = event_stream(call_done("3", "c"), completed("r2", [call_item("3", "c")]))

    async def steps() -> None:
        async with http_server([[first], [second]]) as fake:
            driver = make_driver(key, fake.url, "m")
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            one = await driver.turn(None)
            assert [call.call_id for call in one.calls] == ["1", "2"]
            assert (one.response_id, one.record.events) == ("r1", 5)
            two = await driver.turn([Output("1", "A"), Output("2", "B")])
            assert [call.arguments for call in two.calls] == ['{"at": "c"}']
            await driver.turn([Output("3", "C")])
            driver.begin(SCRIPT, "87654321")
            await driver.turn(None)
            await driver.close()

        assert {path for path, _ in fake.requests} == {"/v1/responses"}
        bodies = [body for _, body in fake.requests]
        common = {"model": "m", "instructions": INSTRUCTIONS, "tools": [TOOL], "stream": True, "store": key == "c"}
        for body in bodies[:3]:
            assert {name: body[name] for name in common} == common
        assert [body["caesura"].get("replay") for body in bodies] == ["s7"] * 4
        reuse = [body["caesura"].get("prefix_reuse") for body in bodies]
        assert reuse == ([False] * 4 if key == "a" else [False, None, None, False])
        answers = [output("1", "A"), output("2", "B")]
        if key == "c":
            assert [body["input"] for body in bodies] == [[TASK], answers, [output("3", "C")], [TASK]]
            assert [body["previous_response_id"] for body in bodies] == [None, "r1", "r2", None]
        else:
            history = [TASK, *items, *answers]
            grown = [*history, call_item("3", "c"), output("3", "C")]
            assert [body["input"] for body in bodies] == [[TASK], history, grown, [TASK]]
        assert bodies[3]["instructions"] == "87654321: look."

    run(steps)


def test_messages_in_websocket_mode() -> None:
    heard: list[dict[str, Any]] = []

    async def play(ws: ServerConnection) -> None:
        assert "OpenAI-Beta" not in ws.request.headers if ws.request else False
        for number in range(4):
            heard.append(json.loads(await ws.recv()))
            await ws.send(call_done(f"c{number}", "a"))
            await ws.send(completed(f"r{number}"))
        await ws.wait_closed()

    async def steps() -> None:
        async with websocket_server(play) as url:
            driver = make_driver("d", url, "m")
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            await driver.turn(None)
            await driver.turn([Output("c0", "A")])
            await driver.turn([Output("c1", "B")])
            driver.begin(SCRIPT, "12345678")
            await driver.turn(None)
            await driver.close()

    run(steps)
    assert [message["type"] for message in heard] == ["response.create"] * 4
    assert [message["input"] for message in heard] == [[TASK], [output("c0", "A")], [output("c1", "B")], [TASK]]
    assert [message["previous_response_id"] for message in heard] == [None, "r0", "r1", None]
    assert [message["caesura"].get("prefix_reuse") for message in heard] == [False, None, None, False]
    assert all(message["instructions"] == INSTRUCTIONS and message["store"] is False for message in heard)


def done(response_id: str, *call_ids: str) -> str:
    """A pause."""
    required = [{"type": "function_call_output", "call_id": call_id} for call_id in call_ids]
    return frame("response.done", response={"id": response_id, "usage": {"n": 1}, "required_input": required})


def appended(call_id: str) -> str:
    return frame("response.appended", response_id="r", answered=[call_id], pending=[])


def test_messages_of_append_mode() -> None:
    heard: list[dict[str, Any]] = []

    async def play(ws: ServerConnection) -> None:
        assert ws.request is not None
        assert ws.request.headers["OpenAI-Beta"] == "responses_websockets=2026-02-04"
        heard.append(json.loads(await ws.recv()))
        for event in (frame("response.created", response={"id": "r"}), call_done("1", "a"), call_done("2", "b")):
            await ws.send(event)
        await ws.send(done("r", "1", "2"))
        heard.append(json.loads(await ws.recv()))
        await ws.send(frame("response.output_text.delta", delta="Bye."))
        await ws.send(completed("r"))
        await ws.wait_closed()

    async def steps() -> None:
        async with websocket_server(play) as url:
            driver = make_driver("e", url, "m")
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            one = await driver.turn(None)
            assert (one.response_id, one.record.usage, one.record.events) == ("r", {"n": 1}, 4)
            two = await driver.turn([Output("1", "A"), Output("2", "B")])
            assert (two.response_id, two.calls, two.record.events) == ("r", [], 2)
            await driver.close()

    run(steps)
    assert heard[0]["input"] == [TASK]
    assert heard[0]["caesura"] == {"replay": "s7", "prefix_reuse": False}
    assert heard[1] == {"type": "response.append", "input": [output("1", "A"), output("2", "B")]}


@pytest.mark.parametrize("answered_in", ["on_call", "a task", "the next turn"])
@pytest.mark.parametrize("pauses", [False, True])
def test_early_answers(answered_in: str, pauses: bool) -> None:
    """The server goes on after each answer alone, so that a driver which waits for the pause would wait forever."""
    texts = {'{"at": "a"}': "A", '{"at": "b"}': "B", '{"at": "c"}': "C"}
    at_once = answered_in != "the next turn"
    heard: list[dict[str, Any]] = []

    async def play(ws: ServerConnection) -> None:
        heard.append(json.loads(await ws.recv()))
        await ws.send(frame("response.created", response={"id": "r"}))
        await ws.send(call_done("1", "a"))
        if at_once:
            heard.append(json.loads(await ws.recv()))
            await ws.send(appended("1"))
        await ws.send(call_done("2", "b"))
        if pauses:
            await ws.send(done("r", "2"))
        heard.append(json.loads(await ws.recv()))
        if not pauses:
            await ws.send(appended("2"))
        await ws.send(call_done("3", "c"))
        heard.append(json.loads(await ws.recv()))
        # An acknowledgement and a pause that the answer has crossed.
        for event in (appended("3"), done("r"), frame("response.output_text.delta", delta="Bye."), completed("r")):
            await ws.send(event)
        await ws.wait_closed()

    async def steps() -> None:
        async with websocket_server(play) as url:
            driver = make_driver("f", url, "m")
            assert driver.early_tools
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            tools: list[asyncio.Task[None]] = []

            async def tool(call: Call) -> None:
                driver.answer(Output(call.call_id, texts[call.arguments]))

            def on_call(call: Call) -> None:
                if answered_in == "on_call":
                    driver.answer(Output(call.call_id, texts[call.arguments]))
                elif answered_in == "a task":
                    tools.append(asyncio.create_task(tool(call)))

            results = []
            outputs: list[Output] | None = None
            for _ in SCRIPT.turns:
                result = await driver.turn(outputs, on_call)
                await asyncio.gather(*tools)
                outputs = [] if at_once else [Output(call.call_id, texts[call.arguments]) for call in result.calls]
                results.append(result)
            await driver.close()

        assert [[call.call_id for call in result.calls] for result in results] == [["1", "2"], ["3"], []]
        assert [result.response_id for result in results] == ["r", "r", "r"]
        assert [result.record.events for result in results] == [3, 1, 2]
        for result in results:
            record = result.record
            stamps = [record.began, record.sent, record.first_byte, record.first_token, record.last_event]
            assert stamps == sorted(stamps)
            assert record.began > 0

    run(steps)
    answers = [item["output"] for message in heard[1:] for item in message["input"]]
    assert answers == ["A", "B", "C"]
    assert len(heard) == (4 if at_once else 3)


@pytest.mark.parametrize("key", [design.key for design in DESIGNS])
def test_nobody_listens(key: str) -> None:
    async def steps() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, and so nobody else's, but it doesn't listen
            driver = make_driver(key, f"http://127.0.0.1:{taken.getsockname()[1]}", "m")
            with pytest.raises(BenchError, match="no server listens at"):
                await driver.open()
            await driver.close()

    run(steps)


BEGUN = frame("response.output_text.delta", delta="x")
BROKEN_OFF: list[tuple[list[str], str]] = [
    ([BEGUN], "closed the connection"),
    ([BEGUN, frame("response.failed", response={"error": {"code": "server_error", "message": "broke"}})], "broke"),
    ([frame("error", status=400, error={"code": "invalid_value", "message": "not so"})], "not so"),
    ([completed("r", kind="response.incomplete")], "response.incomplete"),
    (["no json"], "can't be read"),
    (['{"type":"response.completed","response":[]}'], "can't be read"),
    (['{"type":"'], "can't be read"),
]


@pytest.mark.parametrize(("events", "reason"), BROKEN_OFF)
@pytest.mark.parametrize("key", ["d", "e", "f"])
def test_a_turn_breaks_off_over_websocket(key: str, events: list[str], reason: str) -> None:
    async def play(ws: ServerConnection) -> None:
        await ws.recv()
        for event in events:
            await ws.send(event)

    async def steps() -> None:
        async with websocket_server(play) as url:
            driver = make_driver(key, url, "m")
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            with pytest.raises(BenchError, match=reason):
                await driver.turn(None)
            await driver.close()

    run(steps)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        *((event_stream(*events, done=False), reason) for events, reason in BROKEN_OFF[1:]),
        (event_stream(BEGUN)[:-4], "closed the connection"),
        (event_stream(BEGUN), "ended before the turn did"),
        (event_stream(BEGUN, done=False), "ended before the turn did"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 what\r\n\r\n", "can't be read"),
        (json_answer({"error": {"message": "no such model"}}, "404 Not Found"), "HTTP 404: no such model"),
        (json_answer({"id": "r"}), "ended before the turn did"),
    ],
)
@pytest.mark.parametrize("key", ["b", "c"])
def test_a_turn_breaks_off_over_http(key: str, answer: bytes, reason: str) -> None:
    async def steps() -> None:
        async with http_server([[answer]], closes=True) as fake:
            driver = make_driver(key, fake.url, "m")
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            with pytest.raises(BenchError, match=reason):
                await driver.turn(None)
            await driver.close()

    run(steps)


@pytest.mark.parametrize("key", [design.key for design in DESIGNS])
def test_a_server_that_says_nothing_is_not_waited_for_forever(key: str) -> None:
    async def play(ws: ServerConnection) -> None:
        await ws.wait_closed()

    async def steps() -> None:
        async with websocket_server(play) as ws_url, http_server([[]]) as fake:
            driver = make_driver(key, ws_url if key in "def" else fake.url, "m", timeout=0.02)
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            with pytest.raises(BenchError, match="did not end in 0"):
                await driver.turn(None)
            await driver.close()

    run(steps)


def test_no_such_design() -> None:
    with pytest.raises(BenchError, match="no design 'z'; designs are a, b"):
        make_driver("z", "http://127.0.0.1:1", "m")
