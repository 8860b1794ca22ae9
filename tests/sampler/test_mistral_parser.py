"""The Mistral parser: JSON lists of calls, calls with marks of their own, thoughts."""

from __future__ import annotations

import json
import string

import pytest
from caesura.sampler.formats.mistral import MistralParser
from caesura.sampler.tool_call_deltas import ArgumentsDelta, CallFinished, CallStarted
from hypothesis import given
from hypothesis import strategies as st
from parsing import Turn, arguments, check_splits, parse, streams, turn_of

F, G = ("f", '{"a": 1}', True), ("g", '{"s": "]}[TOOL_CALLS]"}', True)

CASES: list[tuple[str, Turn]] = [
    ("Hello, [INST] world [.", Turn("Hello, [INST] world [.")),
    ('[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}]', Turn("", [F])),
    (
        'Sure. [TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abc123456"}, '
        '{"name": "g", "arguments": {"s": "]}[TOOL_CALLS]"}}]\n',
        Turn("Sure.", [F, G]),
    ),
    ('[TOOL_CALLS] {"name": "f", "arguments": {"a": 1}}', Turn("", [F])),
    ('[TOOL_CALLS]f[ARGS]{"a": 1}', Turn("", [F])),
    ('[TOOL_CALLS]f[CALL_ID]abc123456[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS] {"s": "]}[TOOL_CALLS]"}', Turn("", [F, G])),
    ('[TOOL_CALLS]f{"a": 1}', Turn("", [F])),
    ('[TOOL_CALLS]f[ARGS]{"a": 1} Done.', Turn(" Done.", [F])),
    ('[THINK]Hm.\n[/THINK]\nYes.[TOOL_CALLS]f[ARGS]{"a": 1}', Turn("Yes.", [F], "Hm.")),
    ("Yes.[THINK]Hm.[/THINK]", Turn("Yes.[THINK]Hm.[/THINK]")),
    ("[THINK]Hm", Turn("", [], "Hm")),
    # Cut off, or malformed.
    ('[TOOL_CALLS][{"name": "f", "arguments": {"a"', Turn("", [("f", '{"a"', False)])),
    ('[TOOL_CALLS]f[ARGS]{"a"', Turn("", [("f", '{"a"', False)])),
    ("[TOOL_CALLS]f[ARGS]", Turn("", [("f", "", False)])),
    ('[TOOL_CALLS]f[ARGS]{"a": ]} x [TOOL_CALLS]f[ARGS]{"a": 1}', Turn("", [("f", '{"a": ', False), F])),
    ('[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}} x [TOOL_CALLS]f[ARGS]{"a": 1}', Turn("", [F, F])),
    ("[TOOL_CALLS]", Turn("[TOOL_CALLS]")),
    ("[TOOL_CALLS][]", Turn("[TOOL_CALLS][]")),
    ("[TOOL_CALLS][oops", Turn("[TOOL_CALLS][oops")),
    ('[TOOL_CALLS][{"a": 1}]', Turn('[TOOL_CALLS][{"a": 1}]')),
    ('[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}, 5]', Turn("", [F])),
    ("[TOOL_CALLS]no name\nat all", Turn("[TOOL_CALLS]no name\nat all")),
    ("[TOOL_CALLS][ARGS]{}", Turn("[TOOL_CALLS][ARGS]{}")),
    ("[TOOL_CALLS]f[CALL_ID]x[CALL_ID]y", Turn("[TOOL_CALLS]f[CALL_ID]x[CALL_ID]y")),
    ('[TOOL_CALLS][TOOL_CALLS]f[ARGS]{"a": 1}', Turn("[TOOL_CALLS]", [F])),
]


@pytest.mark.parametrize(("source", "turn"), CASES, ids=range(len(CASES)))
def test_cases(source: str, turn: Turn) -> None:
    assert turn_of(MistralParser(), source) == turn


def test_a_turn_can_begin_inside_reasoning() -> None:
    assert turn_of(MistralParser(in_reasoning=True), "Hm.[/THINK]Hi.") == Turn("Hi.", [], "Hm.")


@given(stream=streams("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"), data=st.data())
def test_no_bytes_raise_and_no_split_matters(stream: bytes, data: st.DataObject) -> None:
    check_splits(MistralParser, stream, data)


calls = st.lists(st.tuples(st.text(string.ascii_letters, min_size=1), arguments), min_size=1, max_size=3)


@given(calls, st.booleans())
def test_well_formed_calls_come_back(calls: list[tuple[str, dict[str, object]]], as_list: bool) -> None:
    if as_list:
        source = "[TOOL_CALLS]" + json.dumps([{"name": name, "arguments": values} for name, values in calls])
    else:
        source = "".join(f"[TOOL_CALLS]{name}[ARGS]{json.dumps(values)}" for name, values in calls)
    turn = turn_of(MistralParser(), source)
    assert turn.text == ""
    assert [(name, json.loads(given), complete) for name, given, complete in turn.calls] == [
        (name, values, True) for name, values in calls
    ]


@pytest.mark.parametrize(
    "source",
    ['[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "abc123456"}]', "[TOOL_CALLS]f[CALL_ID]abc123456[ARGS]{}"],
)
def test_the_id_that_the_model_wrote(source: str) -> None:
    (finished,) = (delta for delta in parse(MistralParser(), [source.encode()]) if isinstance(delta, CallFinished))
    assert finished.written_id == "abc123456"


def test_deltas_come_as_early_as_they_can() -> None:
    parser = MistralParser()
    assert parser.feed(b"[TOOL_CALLS]f") == []
    assert parser.feed(b"[ARGS]") == [CallStarted(0, "f")]
    assert parser.feed(b'{"a') == [ArgumentsDelta(0, '{"a')]
    assert parser.feed(b'": 1}') == [ArgumentsDelta(0, '": 1}'), CallFinished(0, "f", '{"a": 1}', True)]
