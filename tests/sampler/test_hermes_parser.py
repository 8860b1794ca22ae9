"""The Hermes parser: what counts as text, calls, arguments and reasoning, however the bytes are split."""

from __future__ import annotations

import json
import string

import pytest
from caesura.sampler.formats.hermes import HermesParser
from caesura.sampler.tool_call_deltas import ArgumentsDelta, CallFinished, CallStarted, ReasoningDelta, TextDelta
from hypothesis import given
from hypothesis import strategies as st
from parsing import Turn, arguments, check_splits, parse, split, streams, summary, turn_of

CASES: list[tuple[str, str, list[tuple[str, str, bool]]]] = [
    ("Hello, world.", "Hello, world.", []),
    ("a <b> & </tool_call> <tool_ca", "a <b> & </tool_call> <tool_ca", []),
    (
        'Sure.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
        "Sure.",
        [("f", '{"a": 1}', True)],
    ),
    (
        '<tool_call>{"name":"f","arguments":{}}</tool_call>\n<tool_call>{"name":"g","arguments":{"x":[1,{"y":"}"}]}}'
        "</tool_call>\n",
        "",
        [("f", "{}", True), ("g", '{"x":[1,{"y":"}"}]}', True)],
    ),
    ('<tool_call>{"arguments": {"k": "v"}, "name": "f"}</tool_call>', "", [("f", '{"k": "v"}', True)]),
    (r'<tool_call>{"name": "f", "arguments": "{\"a\": \"\u00e9\"}"}</tool_call>', "", [("f", '{"a": "é"}', True)]),
    ('<tool_call>{"name": "f"}</tool_call>', "", [("f", "{}", True)]),
    ('<tool_call>{"id": "x}y", "n": [1], "name": "f", "arguments": {}}</tool_call>', "", [("f", "{}", True)]),
    (
        r'<tool_call>{"name": "f", "arguments": {"s": "</tool_call>\"}"}}</tool_call>ok',
        "ok",
        [("f", r'{"s": "</tool_call>\"}"}', True)],
    ),
    ('<tool_call>{"name": "f", "arguments": {"a": 1}}}\n</tool_call>', "", [("f", '{"a": 1}', True)]),
    ('<tool_call>{"name": "f", "arguments": {"a": 1}} then text', " then text", [("f", '{"a": 1}', True)]),
    ('<tool_call>{"name": "f", "argu', "", [("f", "", False)]),
    ('<tool_call>{"name": "f", "arguments": {"a": "b', "", [("f", '{"a": "b', False)]),
    ('<tool_call>{"name": "f", "arguments": {"a": ]}}</tool_call>x', "x", [("f", '{"a": ', False)]),
    (
        '<tool_call>{"name": "f" oops <tool_call>{"name": "g", "arguments": {}}</tool_call>',
        "",
        [("f", "", False), ("g", "{}", True)],
    ),
    ("\n<tool_call>oops</tool_call>", "\n<tool_call>oops</tool_call>", []),
    ('<tool_call>{"name": 5}', '<tool_call>{"name": 5}', []),
    ('<tool_call>{"name": ""}', '<tool_call>{"name": ""}', []),
    ('<tool_call>{"arguments": {"a": 1}}</tool_call>', '<tool_call>{"arguments": {"a": 1}}</tool_call>', []),
    ('<tool_call><tool_call>{"name": "f"}</tool_call>', "<tool_call>", [("f", "{}", True)]),
    ("text\n", "text\n", []),
]


@pytest.mark.parametrize(("source", "text", "calls"), CASES, ids=range(len(CASES)))
def test_cases(source: str, text: str, calls: list[tuple[str, str, bool]]) -> None:
    assert turn_of(HermesParser(), source) == Turn(text, calls)
    stream = source.encode()
    assert summary(parse(HermesParser(), split(stream, set(range(len(stream)))))) == Turn(text, calls)


REASONING: list[tuple[str, Turn]] = [
    ("<think>\nHm.\n</think>\n\nHi.", Turn("Hi.", [], "Hm.")),
    ("<think>\n\n</think>\n\nHi.\n", Turn("Hi.\n")),
    ("<think>a < b </thin>\n c", Turn("", [], "a < b </thin>\n c")),
    ("\n<think>a</think>b<think>c</think>", Turn("b<think>c</think>", [], "a")),
    (
        '<think>a <tool_call>{}</think>\n<tool_call>{"name": "f"}</tool_call>',
        Turn("", [("f", "{}", True)], "a <tool_call>{}"),
    ),
    ("<think>a</think>\n\n", Turn("", [], "a")),
    ("no </think> no", Turn("no </think> no")),
]


@pytest.mark.parametrize(("source", "turn"), REASONING, ids=range(len(REASONING)))
def test_reasoning(source: str, turn: Turn) -> None:
    assert turn_of(HermesParser(reasons=True), source) == turn


def test_a_turn_can_begin_inside_reasoning() -> None:
    turn = turn_of(HermesParser(reasons=True, in_reasoning=True), "\nHm.\n</think>\n\nHi.")
    assert turn == Turn("Hi.", [], "Hm.")


def test_without_reasoning_the_tags_are_text() -> None:
    assert turn_of(HermesParser(), "<think>a</think>") == Turn("<think>a</think>")


@given(stream=streams("<tool_call>", "</tool_call>", "<think>", "</think>"), reasons=st.booleans(), data=st.data())
def test_no_bytes_raise_and_no_split_matters(stream: bytes, reasons: bool, data: st.DataObject) -> None:
    check_splits(lambda: HermesParser(reasons=reasons), stream, data)


@given(
    st.lists(st.tuples(st.text(string.ascii_letters + "_", min_size=1), arguments), max_size=3),
    st.booleans(),
)
def test_well_formed_calls_come_back(calls: list[tuple[str, dict[str, object]]], as_text: bool) -> None:
    source = "Some text."
    for name, values in calls:
        value = json.dumps(values) if as_text else values
        source += f"\n<tool_call>\n{json.dumps({'name': name, 'arguments': value})}\n</tool_call>"
    turn = turn_of(HermesParser(), source)
    assert turn.text == "Some text."
    assert [complete for _, _, complete in turn.calls] == [True] * len(calls)
    assert [(name, json.loads(given)) for name, given, _ in turn.calls] == calls


def test_deltas_come_as_early_as_they_can() -> None:
    parser = HermesParser(reasons=True)
    assert parser.feed(b"<think>") == []
    assert parser.feed(b"\nHm") == [ReasoningDelta("Hm")]
    assert parser.feed(b".\n</think>\n\n") == [ReasoningDelta(".")]
    assert parser.feed(b"Hi") == [TextDelta("Hi")]
    assert parser.feed(b'\n<tool_call>{"name": "f') == []
    assert parser.feed(b'"') == [CallStarted(0, "f")]
    assert parser.feed(b', "arguments": {"a') == [ArgumentsDelta(0, '{"a')]
    assert parser.feed(b'": 1}') == [ArgumentsDelta(0, '": 1}')]
    assert parser.feed(b"}") == [CallFinished(0, "f", '{"a": 1}', True)]
    assert parser.feed(b"\n</tool_call>") == []
    assert parser.finish() == []


def test_half_a_character_waits_for_the_other() -> None:
    parser = HermesParser()
    first, second = "é".encode()[:1], "é".encode()[1:]
    assert parser.feed(first) == []
    assert parser.feed(second) == [TextDelta("é")]


def test_long_white_space_is_no_burden() -> None:
    parser = HermesParser()
    for _ in range(200):
        assert parser.feed(b" " * 1000) == []
    assert parser.feed(b"x") == [TextDelta(" " * 200_000 + "x")]
