"""The Hermes parser: what counts as text, calls and arguments, however the bytes are split."""

from __future__ import annotations

import itertools
import json
import string

import pytest
from caesura.sampler.tool_calls import ArgumentsDelta, CallFinished, CallStarted, Delta, HermesParser, TextDelta
from hypothesis import example, given
from hypothesis import strategies as st

Summary = tuple[str, list[tuple[str, str, bool]]]


def parse(pieces: list[bytes]) -> list[Delta]:
    parser = HermesParser()
    deltas = [delta for piece in pieces for delta in parser.feed(piece)]
    return deltas + parser.finish()


def summary(deltas: list[Delta]) -> Summary:
    """All text, and every call; checks on the way that the deltas tell one consistent story."""
    text: list[str] = []
    calls: list[tuple[str, str, bool]] = []
    open_call: tuple[str, list[str]] | None = None
    for delta in deltas:
        match delta:
            case TextDelta(piece):
                assert open_call is None
                assert piece
                text.append(piece)
            case CallStarted(index, name):
                assert open_call is None
                assert index == len(calls)
                open_call = (name, [])
            case ArgumentsDelta(index, piece):
                assert open_call is not None
                assert index == len(calls)
                open_call[1].append(piece)
            case CallFinished(index, name, arguments, complete):
                assert open_call == (name, open_call[1] if open_call else [])
                assert index == len(calls)
                assert "".join(open_call[1]) == arguments
                calls.append((name, arguments, complete))
                open_call = None
    assert open_call is None
    return "".join(text), calls


def summary_of(text: str) -> Summary:
    return summary(parse([text.encode()]))


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
    assert summary_of(source) == (text, calls)


@pytest.mark.parametrize("source", [source for source, _, _ in CASES], ids=range(len(CASES)))
def test_byte_by_byte_is_the_same(source: str) -> None:
    data = source.encode()
    assert summary(parse([data[at : at + 1] for at in range(len(data))])) == summary_of(source)


fragments = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        '{"name": "f", ',
        '"name": "g"',
        '"arguments": ',
        '{"a": "b"}',
        '"{\\"a\\": \\"\\ud83d\\ude00\\"}"',
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
        ",",
        ":",
        "\n",
        " ",
        "<",
        "é😀",
        "\\ud83d",
        "1",
        "null",
    ]
).map(str.encode)
streams = st.lists(st.one_of(fragments, st.binary(max_size=6)), max_size=25).map(b"".join)


@given(streams, st.data())
@example(b'<tool_call>{"name":"f","arguments":"\\ud83d', None)
def test_no_bytes_raise_and_no_split_matters(stream: bytes, data: st.DataObject | None) -> None:
    whole = summary(parse([stream]))
    cuts = data.draw(st.sets(st.integers(0, len(stream)))) if data is not None else set(range(len(stream)))
    bounds = [0, *sorted(cuts), len(stream)]
    assert summary(parse([stream[a:b] for a, b in itertools.pairwise(bounds)])) == whole


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.text(string.ascii_letters + "_", min_size=1)


@given(st.lists(st.tuples(names, st.dictionaries(st.text(), json_values, max_size=3)), max_size=3), st.booleans())
def test_well_formed_calls_come_back(calls: list[tuple[str, dict[str, object]]], as_text: bool) -> None:
    source = "Some text."
    for name, arguments in calls:
        value = json.dumps(arguments) if as_text else arguments
        source += f"\n<tool_call>\n{json.dumps({'name': name, 'arguments': value}, ensure_ascii=False)}\n</tool_call>"
    text, found = summary(parse([source.encode("utf-8", "surrogatepass")]))
    assert text == "Some text."
    assert [(name, json.loads(arguments), complete) for name, arguments, complete in found] == [
        (name, arguments, True) for name, arguments in calls
    ]


def test_deltas_come_as_early_as_they_can() -> None:
    parser = HermesParser()
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
