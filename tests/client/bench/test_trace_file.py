"""Traces: what is saved is loaded again, and a bad line is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from caesura.client.bench.driver import BenchError
from caesura.client.bench.script import NONCE, Script, ScriptedCall, ScriptedTurn
from caesura.client.bench.trace_file import Recorded, Trace, load, save
from caesura.client.bench.workload import Session, ToolUse, Turn
from hypothesis import given, settings
from hypothesis import strategies as st

FORMAT = Path(__file__).parents[3] / "spec" / "TRACE_FORMAT.md"

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SECONDS = st.floats(0, 1e6)
TOOLS = st.lists(st.builds(ToolUse, SECONDS, st.integers(0, 10**6)), min_size=1, max_size=3).map(tuple)
LENGTH = st.integers(1, 10**6)
NUMBERS = st.builds(
    lambda prompt, turns, last: Session(prompt, (*turns, Turn(last))),
    LENGTH,
    st.lists(st.builds(Turn, LENGTH, TOOLS), max_size=3),
    LENGTH,
)
ARGUMENTS = st.dictionaries(TEXT, TEXT | st.integers(-(2**53), 2**53) | st.none()).map(json.dumps)
CALLS = st.lists(st.builds(ScriptedCall, ARGUMENTS, TEXT, SECONDS), min_size=1, max_size=3).map(tuple)
SAID = st.builds(
    lambda instructions, task, turns, last: Script(
        "", f"{NONCE}\n{instructions}", task, (*turns, ScriptedTurn(last, (), 0))
    ),
    TEXT,
    TEXT.filter(bool),
    st.lists(st.builds(ScriptedTurn, TEXT, CALLS, st.just(0)), max_size=3),
    TEXT.filter(bool),
)


def _named(sessions: list[Recorded]) -> tuple[Recorded, ...]:
    return tuple(
        Script(f"s{number}", session.instructions, session.task, session.turns)
        if isinstance(session, Script)
        else session
        for number, session in enumerate(sessions)
    )


TRACES = st.builds(
    Trace, TEXT.filter(bool), TEXT.filter(bool), st.lists(NUMBERS | SAID, min_size=1, max_size=3).map(_named)
)


@settings(max_examples=50)
@given(trace=TRACES)
def test_what_is_saved_is_loaded_again(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    save(path, trace)
    assert load(path) == trace
    assert len(path.read_bytes().splitlines()) == len(trace.sessions) + 1


def _write(folder: Path, *lines: object) -> Path:
    path = folder / "night.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


NUMBERS_LINE: dict[str, Any] = {
    "prompt_tokens": 10,
    "turns": [{"output_tokens": 5, "tools": [{"seconds": 1, "tokens": 7}]}, {"output_tokens": 3}],
}
TEXT_LINE: dict[str, Any] = {
    "task": "Go.",
    "turns": [{"calls": [{"arguments": {"at": "x"}, "output": "y"}]}, {"text": "Done."}],
}


def test_numbers_are_a_workload(tmp_path: Path) -> None:
    workload = load(_write(tmp_path, NUMBERS_LINE)).workload()
    assert workload.sessions == (Session(10, (Turn(5, (ToolUse(1.0, 7),)), Turn(3))),)
    assert (workload.name, workload.description) == ("night", "recorded, night.jsonl")


def test_text_is_a_script(tmp_path: Path) -> None:
    trace = load(_write(tmp_path, {"caesura_trace": 1, "name": "n", "description": "d"}, "", TEXT_LINE))
    call = ScriptedCall('{"at":"x"}', "y", 0.0)
    turns = (ScriptedTurn("", (call,), 0), ScriptedTurn("Done.", (), 0))
    assert trace == Trace("n", "d", (Script("s0", f"{NONCE}\n", "Go.", turns),))
    with pytest.raises(BenchError, match="the trace n has sessions with text"):
        trace.workload()


def test_arguments_as_a_string_are_kept_as_they_are(tmp_path: Path) -> None:
    line = {**TEXT_LINE, "turns": [{"calls": [{"arguments": '{ "b": 1,  "a":2 }', "output": ""}]}, {"text": "."}]}
    session = load(_write(tmp_path, line)).sessions[0]
    assert isinstance(session, Script)
    assert session.turns[0].calls[0].arguments == '{ "b": 1,  "a":2 }'


def test_the_examples_of_the_description_are_good(tmp_path: Path) -> None:
    examples = re.findall(r"```json\n(.*?)\n```", FORMAT.read_text(), re.DOTALL)
    assert len(examples) == 3
    trace = load(_write(tmp_path, *examples))
    assert trace.name == "nightly"
    assert [type(session) for session in trace.sessions] == [Session, Script]


def test_the_error_of_the_description_is_what_is_said(tmp_path: Path) -> None:
    bad = {**NUMBERS_LINE, "turns": [{"output_tokens": 5, "tools": [{"seconds": "1", "tokens": 7}]}]}
    path = tmp_path / "nightly.jsonl"
    path.write_text("\n".join(map(json.dumps, (NUMBERS_LINE, TEXT_LINE, bad))))
    with pytest.raises(BenchError) as caught:
        load(path)
    assert f"    {caught.value}\n" in FORMAT.read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"task": "\\ud800"}', "no JSON"),
        ("[]", "a line is a JSON object"),
        ({}, 'a session has "prompt_tokens" (numbers) or "task" (text)'),
        ({"caesura_trace": 1}, 'a session has "prompt_tokens"'),
        ({**NUMBERS_LINE, "promt": 1}, "unknown field `promt`"),
        ({**NUMBERS_LINE, "prompt_tokens": 0}, "$.prompt_tokens"),
        ({**NUMBERS_LINE, "prompt_tokens": 1e9}, "$.prompt_tokens"),
        ({**NUMBERS_LINE, "prompt_tokens": True}, "$.prompt_tokens"),
        ({**NUMBERS_LINE, "turns": []}, "$.turns"),
        ({**NUMBERS_LINE, "turns": [{"output_tokens": 5}, {"output_tokens": 3}]}, "turn 1 needs tools"),
        ({**NUMBERS_LINE, "turns": NUMBERS_LINE["turns"][:1]}, "the last turn, 1, can't have tools"),
        ({**TEXT_LINE, "task": ""}, "$.task"),
        ({**TEXT_LINE, "turns": [{"text": "a"}, {"text": "b"}]}, "turn 1 needs calls"),
        ({**TEXT_LINE, "turns": [{}]}, "the last turn needs text"),
        ({**TEXT_LINE, "turns": [{"calls": [{"arguments": "[1]", "output": ""}]}, {"text": "b"}]}, "no JSON object"),
        ({**TEXT_LINE, "turns": [{"calls": [{"arguments": {}}]}, {"text": "b"}]}, "missing required field `output`"),
        ({**TEXT_LINE, "turns": [{"calls": [{"arguments": {}, "output": "", "seconds": -1}]}, {"text": "b"}]}, ">= 0"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        load(_write(tmp_path, NUMBERS_LINE, "", line))
    assert str(caught.value).startswith("night.jsonl, line 3: ")
    assert message in str(caught.value)


def test_what_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"night\.jsonl has no session"):
        load(_write(tmp_path, {"caesura_trace": 1}))
    with pytest.raises(BenchError, match="line 1: version 2 of the format"):
        load(_write(tmp_path, {"caesura_trace": 2}, NUMBERS_LINE))
    with pytest.raises(BenchError, match=r"can't read the trace none\.jsonl: No such file"):
        load(tmp_path / "none.jsonl")
    with pytest.raises(BenchError, match="can't read the trace"):
        load(tmp_path)
    with pytest.raises(BenchError, match="can't write the trace"):
        save(tmp_path, Trace("a", "b", ()))


@given(content=st.binary(max_size=200))
def test_any_file_is_understood_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"^any\.jsonl"):
        load(path)
