"""What the checks of a client are made of: its process, what it prints, how it may come in, how it waits."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sys
from pathlib import Path

import pytest
import websockets
from caesura.client.conformance.client_appends import AppendReader
from caesura.client.conformance.client_checks_reconnecting import (
    ATTEMPTS,
    GROWTH,
    MOST_ATTEMPTS,
    judge_waits,
)
from caesura.client.conformance.client_listener import Listener
from caesura.client.conformance.client_output import LAST_ERRORS, ClientOutput
from caesura.client.conformance.client_process import LONGEST_LINE, launch_command
from caesura.client.conformance.outcome import NotTestable, Violation
from caesura.client.conformance.transcript import Transcript
from caesura.client.reconnect import Backoff
from hypothesis import given, settings
from hypothesis import strategies as st

# --- the process ------------------------------------------------------------------------------------------------------


def run(code: str, *, kill: bool = False) -> tuple[int, list[tuple[str, str]]]:
    """The exit status and the lines of a Python program; with ``kill`` it is killed once it has printed something."""

    async def go() -> tuple[int, list[tuple[str, str]]]:
        lines: list[tuple[str, str]] = []
        has_begun = asyncio.Event()

        def take(stream: str, line: str) -> None:
            lines.append((stream, line))
            has_begun.set()

        launch = launch_command([sys.executable, "-c", code, "{url}"])
        client = await launch("ws://server", {"CAESURA_MODEL": "m"}, take)
        if kill:
            await asyncio.wait_for(has_begun.wait(), 30)
            await asyncio.wait_for(client.kill(), 30)
        return await asyncio.wait_for(client.wait(), 30), lines

    return asyncio.run(go())


def test_a_process_is_read_to_its_end() -> None:
    code = "import os, sys; print(sys.argv[1], os.environ['CAESURA_MODEL']); print('no end', end=''); sys.exit('bye')"
    status, lines = run(code)
    assert status == 1
    assert [line for stream, line in lines if stream == "stdout"] == ["ws://server m", "no end"]
    assert [line for stream, line in lines if stream == "stderr"] == ["bye"]


def test_a_line_without_end_is_cut() -> None:
    _, lines = run(f"print('x' * {2 * LONGEST_LINE + 10}, end='')")
    assert "".join(line for _, line in lines) == "x" * (2 * LONGEST_LINE + 10)
    assert len(lines) > 1


def test_what_a_process_has_started_is_killed_with_it(tmp_path: Path) -> None:
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    child = f"import time; held = open({str(fifo)!r}, 'w'); print('begun', flush=True); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    status, lines = run(code, kill=True)
    assert (status, lines) == (-signal.SIGKILL, [("stdout", "begun")])
    assert select.select([reader], [], [], 30)[0] == [reader]
    assert os.read(reader, 1) == b""  # nobody holds the other end any more
    os.close(reader)


def test_a_child_that_lives_on_does_not_hold_up_the_end() -> None:
    child = "import time; time.sleep(60)"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid)"
    status, lines = run(code)
    os.kill(int(lines[0][1]), signal.SIGKILL)  # it is there
    assert status == 0


# --- what it prints ---------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 20)))
@settings(deadline=None)
def test_the_order_of_events(numbers: list[int]) -> None:
    output = ClientOutput()
    for number in numbers:
        output.take("stdout", f'{{"event": "response.x", "sequence_number": {number}}}')
    assert output.numbers == numbers
    assert (output.out_of_order() is None) == (sorted(set(numbers)) == numbers)


@given(st.text() | st.sampled_from(["[]", "null", "1", '{"event": 1}', '{"event": "x", "sequence_number": null}']))
@settings(deadline=None)
def test_other_lines_say_nothing(line: str) -> None:
    output = ClientOutput()
    output.take("stdout", '{"status": "completed", "text": "a"}')
    output.take("stdout", line)
    assert output.events == []
    assert output.result == {"status": "completed", "text": "a"}
    for number in range(LAST_ERRORS + 1):
        output.take("stderr", str(number))
    assert list(output.errors) == [str(number) for number in range(1, LAST_ERRORS + 1)]


# --- how it comes in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query", "comes_in"),
    [
        ([("OpenAI-Beta", "responses_websockets=2026-02-04")], "", True),
        ([("OpenAI-Beta", "other=1, responses_websockets=2026-02-04 ,x")], "", True),
        ([("openai-beta", "other=1"), ("OpenAI-Beta", "responses_websockets=2026-02-04")], "", True),
        ([], "?a=b&responses_websockets=2026-02-04", True),
        ([], "", False),
        ([("OpenAI-Beta", "responses_websockets=2025-01-01")], "?responses_websockets=1", False),
    ],
)
def test_append_mode_has_to_be_asked_for(headers: list[tuple[str, str]], query: str, comes_in: bool) -> None:
    async def status() -> int:
        listener = Listener(Transcript())
        url = await listener.open()
        try:
            await websockets.connect(url + query, additional_headers=headers, proxy=None)
        except websockets.InvalidStatus as refused:
            return refused.response.status_code
        else:
            return 101
        finally:
            await listener.close()
            assert listener.lacks_append_mode is not comes_in

    assert asyncio.run(status()) == (101 if comes_in else 426)


def test_a_listener_turns_away() -> None:
    async def go() -> None:
        listener = Listener(Transcript())
        url = await listener.open()
        headers = {"OpenAI-Beta": "responses_websockets=2026-02-04"}
        listener.turn_away(2)
        for kind in (websockets.InvalidMessage, websockets.InvalidStatus):
            with pytest.raises(kind):
                await websockets.connect(url, additional_headers=headers, proxy=None)
        await websockets.connect(url, additional_headers=headers, proxy=None)
        assert len(listener.attempts) == 3
        await listener.close()

    asyncio.run(go())


# --- appends ----------------------------------------------------------------------------------------------------------


def test_what_counts_as_history() -> None:
    broken: list[str] = []
    create = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Go."}]}]}
    reader = AppendReader("resp_1", create, lambda requirement, text: broken.append(text))
    item = {"type": "function_call", "call_id": "c1", "name": "echo", "arguments": '{"text": "a"}'}
    output = {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "a"}]}

    def read(*items: object) -> None:
        reader.read({"response_id": "resp_1", "input": list(items)})

    reader.announce({"type": "response.output_item.added", "item": {**item, "status": "in_progress"}})
    with pytest.raises(Violation, match="has not come yet"):
        read(output)
    reader.announce({"type": "response.output_item.done", "item": {**item, "status": "completed"}})
    read(output, {"type": "message", "role": "user", "content": "Be brief."})
    assert broken == []
    for repeated in ({"role": "user", "content": "Go."}, {"role": "user", "content": "Be brief."}, item):
        read(repeated)
    assert len(broken) == 3
    with pytest.raises(Violation, match="and is"):
        read({**output, "output": "ab"})
    reader.accepted.add("c1")
    read(output)
    assert len(broken) == 4
    reader.may_repeat = True
    read(output, {"role": "user", "content": "Be brief."})
    assert len(broken) == 4


# --- how it waits -----------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 1), st.floats(1.5, 4), st.integers(4, 12))
@settings(deadline=None)
def test_waits_that_grow(first: float, factor: float, attempts: int) -> None:
    waits = [first * factor**number for number in range(attempts)]
    judge_waits(waits, has_ended=True)
    with pytest.raises(NotTestable, match="CAESURA_MAX_RECONNECTS"):
        judge_waits(waits, has_ended=False)
    with pytest.raises(Violation):
        judge_waits(waits[::-1], has_ended=True)


def test_too_many_attempts() -> None:
    waits = [0.01 * 1.1**number for number in range(MOST_ATTEMPTS)]
    judge_waits(waits, has_ended=True)
    with pytest.raises(Violation, match="goes on"):
        judge_waits(waits, has_ended=False)


@given(st.floats(0.01, 5), st.integers(4, 24), st.booleans())
@settings(deadline=None)
def test_waits_that_stay_the_same(wait: float, attempts: int, has_ended: bool) -> None:
    with pytest.raises(Violation):
        judge_waits([wait] * attempts, has_ended=has_ended)


@given(st.lists(st.floats(0.01, 5), max_size=3))
@settings(deadline=None)
def test_too_few_waits(waits: list[float]) -> None:
    with pytest.raises(NotTestable):
        judge_waits(waits, has_ended=True)


def test_full_jitter_is_seldom_taken_for_no_growth() -> None:
    jitter = random.Random(1).random
    runs = 20_000
    wrong = 0
    for _ in range(runs):
        waits = list(Backoff(ATTEMPTS).delays(jitter))
        wrong += sum(waits[-3:]) < GROWTH * sum(waits[:3])
    assert wrong / runs < 1 / 1000
