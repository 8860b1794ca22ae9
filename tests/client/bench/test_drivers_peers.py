"""Outside servers: what they are asked, and how it is found out what they speak."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from caesura.client.bench.driver import BenchError, Output
from caesura.client.bench.drivers import Peer, detect_peer, make_peer_driver, parse_peer
from caesura.client.bench.drivers.address import address_of
from caesura.client.bench.drivers.peer import PeerKind
from caesura.client.bench.script import TOOL_NAME, Script, ScriptedCall, ScriptedTurn
from websockets.asyncio.server import ServerConnection
from wire_fakes import BOUND, completed, event_stream, frame, http_server, json_answer, websocket_server

SCRIPT = Script(
    "s0",
    "{nonce}: look.",
    "Go.",
    (
        ScriptedTurn("", (ScriptedCall('{"at": "a"}', "A", 0), ScriptedCall('{"at": "b"}', "B", 0)), 20),
        ScriptedTurn("Bye.", (), 3),
    ),
)
MODELS = json_answer({"object": "list", "data": [{"id": "the-model", "object": "model"}]})
NOT_FOUND = json_answer({"detail": "Not Found"}, "404 Not Found")
EXTRA = {"cache_prompt": True, "temperature": None}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(steps(), BOUND)

    asyncio.run(bounded())


def chunk(**fields: Any) -> str:
    return json.dumps({"id": "x", "object": "chat.completion.chunk", **fields})


def delta(reason: str | None = None, **fields: Any) -> str:
    return chunk(choices=[{"index": 0, "delta": fields, "finish_reason": reason}], usage=None)


CHAT = [
    delta(role="assistant", content=""),
    delta(reasoning_content="hm"),
    delta(content="say \u00e9"),
    delta(content="!"),
    delta("length"),
    chunk(choices=[], usage=USAGE),
]


def user(text: str, **fields: str) -> dict[str, str]:
    return {**fields, "role": "user", "content": text}


@pytest.mark.parametrize("ends", [True, False])
def test_chat_completions(ends: bool) -> None:
    async def steps() -> None:
        async with http_server([[event_stream(*CHAT, done=ends)]]) as fake:
            peer = Peer("other", "chat", address_of(fake.url), "the-model")
            driver = make_peer_driver(peer, stop_tokens=[2, 7], extra=EXTRA)
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            one = await driver.turn(None)
            assert [(call.name, call.arguments) for call in one.calls] == [
                (TOOL_NAME, '{"at": "a"}'),
                (TOOL_NAME, '{"at": "b"}'),
            ]
            assert one.record.usage == USAGE
            assert one.record.first_byte <= one.record.first_token <= one.record.last_event
            outputs = [Output(call.call_id, text) for call, text in zip(one.calls, "AB", strict=True)]
            two = await driver.turn(outputs)
            assert two.calls == []
            await driver.close()

        assert [path for path, _ in fake.requests] == ["/v1/chat/completions"] * 2
        begun = [{"role": "system", "content": "12345678: look."}, user("Go.")]
        said = {"role": "assistant", "content": "say \u00e9!"}
        assert fake.requests[0][1] == {
            "model": "the-model",
            "messages": begun,
            "max_tokens": 20,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
            "logit_bias": {"2": -100, "7": -100},
            "cache_prompt": True,
        }
        assert fake.requests[1][1]["messages"] == [*begun, said, user("A"), user("B")]
        assert fake.requests[1][1]["max_tokens"] == 3

    run(steps)


RESPONSE = [
    frame("response.created", response={"id": "r1"}),
    frame("response.output_text.delta", delta="say "),
    frame("response.output_text.delta", delta="it"),
    completed("r1", kind="response.incomplete"),
]


def test_the_responses_api() -> None:
    async def steps() -> None:
        async with http_server([[event_stream(*RESPONSE)]]) as fake:
            driver = make_peer_driver(Peer("other", "responses", address_of(fake.url), "the-model"), extra=EXTRA)
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            one = await driver.turn(None)
            await driver.turn([Output(call.call_id, "A") for call in one.calls])
            await driver.close()

        go, answer = user("Go.", type="message"), user("A", type="message")
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "say it"}]}
        assert fake.requests[0][1] == {
            "model": "the-model",
            "instructions": "12345678: look.",
            "input": [go],
            "max_output_tokens": 20,
            "stream": True,
            "store": False,
            "ignore_eos": True,
            "cache_prompt": True,
        }
        assert fake.requests[1][1]["input"] == [go, said, answer, answer]

    run(steps)


def test_the_responses_api_over_websocket() -> None:
    heard: list[dict[str, Any]] = []

    async def play(ws: ServerConnection) -> None:
        async for message in ws:
            heard.append(json.loads(message))
            for event in RESPONSE:
                await ws.send(event)

    async def steps() -> None:
        async with websocket_server(play) as url:
            driver = make_peer_driver(Peer("other", "websocket", address_of(url), "the-model"))
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            one = await driver.turn(None)
            assert one.response_id == "r1"
            await driver.turn([Output(call.call_id, "A") for call in one.calls])
            driver.begin(SCRIPT, "12345678")
            await driver.turn(None)
            await driver.close()

    run(steps)
    answer = user("A", type="message")
    assert [message["input"] for message in heard] == [
        [user("Go.", type="message")],
        [answer, answer],
        [user("Go.", type="message")],
    ]
    assert [message.get("previous_response_id") for message in heard] == [None, "r1", None]
    assert [message["max_output_tokens"] for message in heard] == [20, 3, 20]


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([delta(content="x"), chunk(error={"message": "slot lost", "code": 500})], "slot lost"),
        ([delta(content="x")], "ended before the turn did"),
        (["{"], "can't be read"),
    ],
)
def test_a_chat_that_breaks_off(events: list[str], reason: str) -> None:
    async def steps() -> None:
        async with http_server([[event_stream(*events, done=False)]]) as fake:
            driver = make_peer_driver(Peer("other", "chat", address_of(fake.url), "m"))
            driver.begin(SCRIPT, "12345678")
            with pytest.raises(BenchError, match=reason):
                await driver.turn(None)
            await driver.close()

    run(steps)


@pytest.mark.parametrize(
    ("prefix", "answers", "kind", "asked"),
    [
        ("", [MODELS, json_answer({})], "responses", ["/v1/models", "/v1/responses"]),
        ("", [MODELS, NOT_FOUND, json_answer({})], "chat", ["/v1/models", "/v1/responses", "/v1/chat/completions"]),
        ("chat+", [MODELS], "chat", ["/v1/models"]),
        ("responses+", [MODELS], "responses", ["/v1/models"]),
    ],
)
def test_what_a_peer_speaks(prefix: str, answers: list[bytes], kind: PeerKind, asked: list[str]) -> None:
    async def steps() -> None:
        async with http_server([[answer] for answer in answers]) as fake:
            peer = await detect_peer("other", prefix + fake.url)
        assert peer == Peer("other", kind, address_of(fake.url), "the-model")
        assert [path for path, _ in fake.requests] == asked
        assert (peer.info.key, peer.info.kind) == ("other", "peer")

    run(steps)


def test_fields_of_a_peer_are_in_its_requests() -> None:
    async def steps() -> None:
        async with http_server([[MODELS], [event_stream(*CHAT)]]) as fake:
            peer = await detect_peer("other", f'chat+{fake.url}#{{"logit_bias": {{"5": 100}}, "ignore_eos": null}}')
            driver = make_peer_driver(peer, stop_tokens=[2])
            driver.begin(SCRIPT, "12345678")
            await driver.turn(None)
            await driver.close()
        body = fake.requests[1][1]
        assert body["logit_bias"] == {"5": 100}
        assert "ignore_eos" not in body

    run(steps)


def test_fields_that_are_no_object() -> None:
    async def steps() -> None:
        with pytest.raises(BenchError, match="no JSON object"):
            await detect_peer("other", "http://127.0.0.1:1#[1]")

    run(steps)


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_a_peer_that_closes_against_its_word_is_asked_again(kind: PeerKind) -> None:
    """``closes`` is after the whole answer: at once after a turn without tools, the next request is on its way then."""
    answer = event_stream(*(CHAT if kind == "chat" else RESPONSE))

    async def steps() -> None:
        async with http_server([[answer]], closes=True) as fake:
            driver = make_peer_driver(Peer("other", kind, address_of(fake.url), "the-model"))
            await driver.open()
            for nonce in ("12345678", "87654321", "11111111"):
                driver.begin(SCRIPT, nonce)
                one = await driver.turn(None)
                await driver.turn([Output(call.call_id, "A") for call in one.calls])
            await driver.close()
        assert len(fake.requests) == fake.connections == 6

    run(steps)


def test_a_peer_that_never_answers_is_not_asked_for_ever() -> None:
    async def steps() -> None:
        async with http_server([[b""]], closes=True) as fake:
            driver = make_peer_driver(Peer("other", "chat", address_of(fake.url), "the-model"))
            await driver.open()
            driver.begin(SCRIPT, "12345678")
            with pytest.raises(BenchError, match="closed the connection"):
                await driver.turn(None)
            await driver.close()
        assert len(fake.requests) == 2

    run(steps)


def test_a_peer_that_speaks_neither() -> None:
    async def steps() -> None:
        async with http_server([[NOT_FOUND]]) as fake:
            with pytest.raises(
                BenchError, match=r"other speaks neither .*/responses: HTTP 404: .*/chat/completions: HTTP"
            ):
                await detect_peer("other", fake.url)

    run(steps)


def test_peers_are_named() -> None:
    assert parse_peer("llama=chat+http://h:1/v1?x=y") == ("llama", "chat+http://h:1/v1?x=y")
    for argument in ("http://h", "=http://h", "name="):
        with pytest.raises(BenchError, match="NAME=URL"):
            parse_peer(argument)
