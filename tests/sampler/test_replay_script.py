"""Replay scripts: what is accepted, and that errors name the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from caesura.sampler.chat_template import ChatTemplate, ToolCall
from caesura.sampler.errors import InvalidReplay, ReplayExhausted
from caesura.sampler.formats.hermes import HermesParser
from caesura.sampler.model import Model
from caesura.sampler.replay import ReplayScript
from caesura.sampler.tool_call_deltas import CallFinished, TextDelta

TURNS = {
    "turns": [
        {"text": "Looking.", "calls": [{"name": "read_file", "arguments": {"path": "a<|im_end|>b"}}]},
        {"calls": [{"name": "f", "arguments": "{ }"}, {"name": "g"}]},
        {"text": "Done."},
    ]
}


def test_loads_a_file(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_text(json.dumps(TURNS))
    script = ReplayScript.load(file)
    assert len(script) == 3
    assert script.turns[0].text == "Looking."
    assert script.turns[1].calls == (ToolCall("f", "{ }"), ToolCall("g", "{}"))
    assert script.turns[2].calls == ()


def test_a_turns_tokens_say_what_the_script_says(model: Model, template: ChatTemplate) -> None:
    script = ReplayScript.parse(TURNS)
    for number, turn in enumerate(script.turns):
        tokens = script.tokens(number, template)
        assert tokens[-1] in model.stop_tokens
        assert not model.stop_tokens.intersection(tokens[:-1])
        parser = HermesParser()
        deltas = [delta for token in tokens for delta in parser.feed(model.vocab.visible_piece(token))]
        deltas += parser.finish()
        assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == turn.text
        calls = [delta for delta in deltas if isinstance(delta, CallFinished)]
        assert [(call.name, json.loads(call.arguments)) for call in calls] == [
            (call.name, json.loads(call.arguments)) for call in turn.calls
        ]


@pytest.mark.parametrize("turn", [-1, 3])
def test_past_the_end_is_an_error(model: Model, turn: int) -> None:
    with pytest.raises(ReplayExhausted, match="3 turns"):
        ReplayScript.parse(TURNS).tokens(turn, model.chat_template)


def test_sessions_are_scripts_with_names(template: ChatTemplate) -> None:
    script = ReplayScript.parse({"sessions": {"a": TURNS, "b": {"turns": [{"text": "Done."}]}}})
    assert len(script) == 0
    assert {name: len(session) for name, session in script.sessions.items()} == {"a": 3, "b": 1}
    assert script.sessions["a"].tokens(2, template) == script.sessions["b"].tokens(0, template)
    with pytest.raises(ReplayExhausted):
        script.tokens(0, template)


BAD: list[tuple[Any, str]] = [
    ({"sessions": {}}, 'list "turns"'),
    ({"sessions": []}, 'object "sessions"'),
    ({"turns": [], "sessions": 1}, 'object "sessions"'),
    ({"sessions": {"a": {"turns": 1}}}, "session 'a'"),
    ({"sessions": {"a": TURNS, "b": {"turns": [{"text": 1}]}}}, "session 'b': turn 0"),
    ({"sessions": {"a": {"sessions": {"b": TURNS}}}}, "session 'a' can't have sessions"),
    ([], 'list "turns"'),
    ({}, 'list "turns"'),
    ({"turns": {}}, 'list "turns"'),
    ({"turns": [1]}, "turn 0 must be an object"),
    ({"turns": [{"text": "a"}, {}]}, "turn 1 needs"),
    ({"turns": [{"text": None, "calls": None}]}, "turn 0 needs"),
    ({"turns": [{"text": 1}]}, '"text" must be a string'),
    ({"turns": [{"calls": {}}]}, '"calls" must be a list'),
    ({"turns": [{"calls": [3]}]}, "turn 0, call 0 must be an object"),
    ({"turns": [{"calls": [{"name": ""}]}]}, '"name"'),
    ({"turns": [{"calls": [{"name": "f", "arguments": 1}]}]}, '"arguments"'),
    ({"turns": [{"text": "a", "tool_calls": []}]}, "unknown key 'tool_calls'"),
]


@pytest.mark.parametrize(("data", "message"), BAD, ids=range(len(BAD)))
def test_a_malformed_script_says_where(tmp_path: Path, data: object, message: str) -> None:
    file = tmp_path / "script.json"
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidReplay, match=message) as caught:
        ReplayScript.load(file)
    assert str(file) in str(caught.value)


def test_files_that_cant_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidReplay, match="no replay script at"):
        ReplayScript.load(tmp_path / "none.json")
    with pytest.raises(InvalidReplay, match="can't read"):
        ReplayScript.load(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidReplay, match="can't read"):
        ReplayScript.load(tmp_path / "bytes")
    (tmp_path / "text").write_text("{")
    with pytest.raises(InvalidReplay, match="no JSON"):
        ReplayScript.load(tmp_path / "text")
