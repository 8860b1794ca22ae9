"""Every design plays the same script on a real server, and the model does the same in each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from caesura.client.bench.driver import BenchError, Call, Driver, Output, TurnResult
from caesura.client.bench.drivers import DESIGNS, detect_peer, make_driver, make_peer_driver
from caesura.client.bench.script import Script, ScriptedCall, ScriptedTurn
from wire_fakes import BOUND

KEYS = [design.key for design in DESIGNS]

SCRIPT = Script(
    name="s1",
    instructions="{nonce} You look at places and say what is there. " * 8,
    task="Look at every place in turn.",
    turns=(
        ScriptedTurn(
            "Let me look.",
            (ScriptedCall('{"at": "the mill"}', "all is quiet", 0), ScriptedCall('{"at": "here"}', "nothing moves", 0)),
            50,
        ),
        ScriptedTurn("", (ScriptedCall('{"at": "the pond"}', "a duck or two", 0),), 20),
        ScriptedTurn("That was all.", (), 8),
    ),
)
OUTPUTS = {call.arguments: call.output for turn in SCRIPT.turns for call in turn.calls}


@dataclass(frozen=True)
class Server:
    url: str
    model: str

    def spans(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/spans", timeout=BOUND) as answer:
            spans: list[dict[str, Any]] = json.load(answer)
            return spans


@pytest.fixture(scope="module")
def server(demo_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("replayed")
    other = {"turns": [{"text": "Another script."}]}
    (folder / "scripts.json").write_text(json.dumps({"sessions": {"s0": other, SCRIPT.name: SCRIPT.replay()}}))
    command = [sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", "--model", str(demo_model_path)]
    command += ["--replay", str(folder / "scripts.json"), "--spans", "--store", str(folder / "store.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            assert words[:2] == ["caesura:", "serving"], words
            yield Server(words[-1], words[2])
        finally:
            process.terminate()


@dataclass
class Played:
    """Two sessions one after the other on one connection, and what the server says of each."""

    sessions: list[list[TurnResult]] = field(default_factory=list)
    spans: list[list[dict[str, Any]]] = field(default_factory=list)


async def play_session(driver: Driver, nonce: str) -> list[TurnResult]:
    driver.begin(SCRIPT, nonce)
    results: list[TurnResult] = []
    outputs: Sequence[Output] | None = None

    def answer(call: Call) -> None:
        driver.answer(Output(call.call_id, OUTPUTS[call.arguments]))

    for _ in SCRIPT.turns:
        result = await driver.turn(outputs, answer if driver.early_tools else None)
        results.append(result)
        late = [] if driver.early_tools else result.calls
        outputs = [Output(call.call_id, OUTPUTS[call.arguments]) for call in late]
    return results


async def play(driver: Driver, server: Server) -> Played:
    played = Played()
    async with asyncio.timeout(BOUND):
        await driver.open()
        for number in range(2):
            played.sessions.append(await play_session(driver, f"{number:08}"))
            played.spans.append(server.spans())
        await driver.close()
    return played


@pytest.fixture(scope="module")
def played(server: Server) -> dict[str, Played]:
    server.spans()
    return {key: asyncio.run(play(make_driver(key, server.url, server.model), server)) for key in KEYS}


@pytest.mark.parametrize("key", KEYS)
def test_a_design_plays_the_script(played: dict[str, Played], key: str) -> None:
    for results in played[key].sessions:
        arguments = [[call.arguments for call in result.calls] for result in results]
        assert arguments == [[call.arguments for call in turn.calls] for turn in SCRIPT.turns]
        assert {call.name for result in results for call in result.calls} == {"look"}


@pytest.mark.parametrize("key", KEYS)
def test_a_design_samples_what_the_others_sample(played: dict[str, Played], key: str) -> None:
    def sampled(of: str) -> list[list[int]]:
        return [[turn["sampled"] for span in spans for turn in span["turns"]] for spans in played[of].spans]

    assert sampled(key) == sampled("a")
    assert [len(session) for session in sampled(key)] == [len(SCRIPT.turns)] * 2


@pytest.mark.parametrize("key", KEYS)
def test_a_design_has_the_context_of_the_others(played: dict[str, Played], key: str) -> None:
    def totals(of: str) -> list[list[int | None]]:
        return [
            [result.record.usage and result.record.usage["total_tokens"] for result in s] for s in played[of].sessions
        ]

    expected = totals("a")
    assert all(total for session in expected for total in session)
    if key == "f":  # says nothing of tokens until the end
        expected = [[None, None, session[-1]] for session in expected]
    assert totals(key) == expected


def test_only_what_a_design_may_reuse_is_reused(played: dict[str, Played]) -> None:
    """The first turn of a session nothing, whatever ran before; later ones as the design has it."""

    def cached(key: str) -> list[list[bool]]:
        usages = [[result.record.usage or {} for result in results] for results in played[key].sessions]
        return [[usage["input_tokens_details"]["cached_tokens"] > 0 for usage in session] for session in usages]

    assert cached("a") == [[False, False, False]] * 2
    assert cached("e") == [[False, False, False]] * 2
    for key in "bcd":
        assert cached(key) == [[False, True, True]] * 2


@pytest.mark.parametrize("key", KEYS)
def test_spans_and_turns_go_by_the_same_ids(played: dict[str, Played], key: str) -> None:
    for results, spans in zip(played[key].sessions, played[key].spans, strict=True):
        turns = [(span["response_id"], number) for span in spans for number in range(len(span["turns"]))]
        ids = [result.response_id for result in results]
        assert [response_id for response_id, _ in turns] == ids
        assert len(set(ids)) == (1 if key in "ef" else len(SCRIPT.turns))


@pytest.mark.parametrize("key", KEYS)
def test_stamps_are_in_order(played: dict[str, Played], key: str) -> None:
    for results in played[key].sessions:
        for record in (result.record for result in results):
            stamps = [record.began, record.sent, record.first_byte, record.first_token, record.last_event]
            assert stamps == sorted(stamps)
            assert record.began > 0
            assert record.ended == record.last_event
        for record, later in pairwise(results):
            assert record.record.last_event <= later.record.began


@pytest.mark.parametrize("key", KEYS)
def test_more_bytes_are_counted_than_were_said(played: dict[str, Played], key: str) -> None:
    for results in played[key].sessions:
        said = len(SCRIPT.instructions) + len(SCRIPT.task) + sum(map(len, OUTPUTS.values()))
        assert sum(result.record.bytes_up for result in results) > said
        for result, turn in zip(results, SCRIPT.turns, strict=True):
            assert result.record.bytes_up > 0
            assert result.record.bytes_down > len(turn.text) + sum(len(call.arguments) for call in turn.calls)
            assert result.record.events > 0


def test_only_a_full_history_grows(played: dict[str, Played]) -> None:
    def up(key: str) -> list[int]:
        return [result.record.bytes_up for result in played[key].sessions[0]]

    for key in "ab":
        assert up(key)[0] < up(key)[1] < up(key)[2]
    for key in "cdef":  # one output in the third request, two in the second
        assert up(key)[2] <= up(key)[1]
        assert up(key)[2] < up("a")[2]


@pytest.mark.parametrize("key", ["a", "c", "d", "e", "f"])
def test_a_refusal_is_an_error_that_says_why(server: Server, key: str) -> None:
    async def go() -> None:
        driver = make_driver(key, server.url, server.model)
        await driver.open()
        driver.begin(Script("nowhere", "{nonce}", "Hi", SCRIPT.turns), "00000000")
        with pytest.raises(BenchError, match="no session 'nowhere'"):
            await driver.turn(None)
        # and the connection is still good
        assert len(await play_session(driver, "00000001")) == len(SCRIPT.turns)
        await driver.close()

    asyncio.run(asyncio.wait_for(go(), BOUND))


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_the_server_is_a_peer_like_any_other(server: Server, scheme: str) -> None:
    async def go() -> list[TurnResult]:
        peer = await detect_peer("ours", server.url.replace("http", scheme))
        assert peer.kind == {"http": "responses", "ws": "websocket"}[scheme]
        assert peer.model == server.model
        driver = make_peer_driver(peer, extra={"caesura": {"replay": SCRIPT.name}})
        await driver.open()
        driver.begin(SCRIPT, "00000000")
        results = [await driver.turn(None)]
        for _ in SCRIPT.turns[1:]:
            outputs = [Output(call.call_id, OUTPUTS[call.arguments]) for call in results[-1].calls]
            results.append(await driver.turn(outputs))
        await driver.close()
        return results

    results = asyncio.run(asyncio.wait_for(go(), BOUND))
    assert [len(result.calls) for result in results] == [2, 1, 0]
    totals = [result.record.usage["total_tokens"] for result in results if result.record.usage]
    assert totals == sorted(totals)
    assert len(totals) == len(results)
