"""The Llama 3 parser: bare JSON calls, built-in calls and code after the python tag."""

from __future__ import annotations

import json
import string

import pytest
from caesura.sampler.formats.llama import CODE_INTERPRETER, LlamaParser
from caesura.sampler.tool_call_deltas import ArgumentsDelta, CallFinished, CallStarted, TextDelta
from hypothesis import given
from hypothesis import strategies as st
from parsing import Turn, arguments, check_splits, streams, turn_of

F = ("f", '{"a": 1}', True)


def code(text: str) -> tuple[str, str, bool]:
    return (CODE_INTERPRETER, json.dumps({"code": text}, ensure_ascii=False), True)


CASES: list[tuple[str, Turn]] = [
    ("Hello, world.", Turn("Hello, world.")),
    ('{"name": "f", "parameters": {"a": 1}}', Turn("", [F])),
    (' \n{"type": "function", "name": "f", "parameters": {"a": 1}}\n', Turn("", [F])),
    ('{"parameters": {"a": 1}, "name": "f"}', Turn("", [F])),
    ('{"name": "f", "arguments": {"a": 1}}', Turn("", [F])),
    ('{"name": "f", "parameters": {"a": 1}}; {"name": "f", "parameters": {"a": 1}}', Turn("", [F, F])),
    ('{"name": "f", "parameters": {"a": 1}}}', Turn("", [F])),
    ('<|python_tag|>{"name": "f", "parameters": {"a": 1}}', Turn("", [F])),
    ('<|python_tag|> {"name": "f", "parameters": {"a": 1}}<|python_tag|>g.call()', Turn("", [F, ("g", "{}", True)])),
    (
        '<|python_tag|>brave_search.call(query="say \\"é\\"", n=3)',
        Turn("", [("brave_search", '{"query": "say \\"é\\"", "n": 3}', True)]),
    ),
    (
        "<|python_tag|>a.call(x=[1, None]); b.c.call(y={'k': True})",
        Turn("", [("a", '{"x": [1, null]}', True), ("b.c", '{"y": {"k": true}}', True)]),
    ),
    ("Let me see. <|python_tag|>print(1)\nprint(2)", Turn("Let me see.", [code("print(1)\nprint(2)")])),
    ("<|python_tag|>f.call(x)", Turn("", [code("f.call(x)")])),
    ("<|python_tag|>f.call(1)", Turn("", [code("f.call(1)")])),
    ("<|python_tag|>f.call(**{'a': 1})", Turn("", [code("f.call(**{'a': 1})")])),
    ("<|python_tag|>f.call(x=1e999)", Turn("", [code("f.call(x=1e999)")])),
    ("<|python_tag|>f.call(x=b'')", Turn("", [code("f.call(x=b'')")])),
    ("<|python_tag|>f.call(x='\\ud800')", Turn("", [("f", '{"x": "\ufffd"}', True)])),
    ("<|python_tag|>f.call(" + "(" * 5000, Turn("", [code("f.call(" + "(" * 5000)])),
    ('<|python_tag|>{"a": 1}["a"]', Turn("", [code('{"a": 1}["a"]')])),
    ("<|python_tag|> ", Turn()),
    # JSON that is an answer, not a call.
    ('{"name": "Bob", "age": 3}', Turn('{"name": "Bob", "age": 3}')),
    ('{"a": 1} and more', Turn('{"a": 1} and more')),
    ("{oops", Turn("{oops")),
    ('Use {"name": "f", "parameters": {}}.', Turn('Use {"name": "f", "parameters": {}}.')),
    # Cut off, or malformed.
    ('{"name": "f", "parameters": {"a": "b', Turn("", [("f", '{"a": "b', False)])),
    ('{"name": "f", "para', Turn('{"name": "f", "para')),
    (
        '{"name": "f", "parameters": {"a": ]}} <|python_tag|>g.call()',
        Turn("", [("f", '{"a": ', False), ("g", "{}", True)]),
    ),
    ('{"name": "f", "parameters": {"a": 1}} Done.', Turn(" Done.", [F])),
    ('{"name": "f", "parameters": {"a": 1}}; done', Turn("done", [F])),
]


@pytest.mark.parametrize(("source", "turn"), CASES, ids=range(len(CASES)))
def test_cases(source: str, turn: Turn) -> None:
    assert turn_of(LlamaParser(), source) == turn


@given(stream=streams("<|python_tag|>", "f.call(", "a=1)", ";"), data=st.data())
def test_no_bytes_raise_and_no_split_matters(stream: bytes, data: st.DataObject) -> None:
    check_splits(LlamaParser, stream, data)


@given(st.lists(st.tuples(st.text(string.ascii_letters, min_size=1), arguments), min_size=1, max_size=3))
def test_well_formed_calls_come_back(calls: list[tuple[str, dict[str, object]]]) -> None:
    source = "; ".join(json.dumps({"name": name, "parameters": values}) for name, values in calls)
    turn = turn_of(LlamaParser(), source)
    assert turn.text == ""
    assert [(name, json.loads(given), complete) for name, given, complete in turn.calls] == [
        (name, values, True) for name, values in calls
    ]


def test_deltas_come_as_early_as_they_can() -> None:
    parser = LlamaParser()
    assert parser.feed(b'{"name": "f"') == []
    assert parser.feed(b', "parameters": ') == []
    assert parser.feed(b'{"a') == [CallStarted(0, "f"), ArgumentsDelta(0, '{"a')]
    assert parser.feed(b'": 1}}') == [ArgumentsDelta(0, '": 1}'), CallFinished(0, "f", '{"a": 1}', True)]
    assert LlamaParser().feed(b"Hi") == [TextDelta("Hi")]
