"""Reading what a parser yields: checked on the way to tell one consistent story."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from caesura.sampler.tool_call_deltas import (
    ArgumentsDelta,
    CallFinished,
    CallStarted,
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallParser,
)
from hypothesis import strategies as st


@dataclass
class Turn:
    """calls: name, arguments, and whether the call is complete."""

    text: str = ""
    calls: list[tuple[str, str, bool]] = field(default_factory=list)
    reasoning: str = ""


def parse(parser: ToolCallParser, pieces: list[bytes]) -> list[Delta]:
    deltas = [delta for piece in pieces for delta in parser.feed(piece)]
    return deltas + parser.finish()


def summary(deltas: list[Delta]) -> Turn:
    turn = Turn()
    open_call: tuple[str, list[str]] | None = None
    for delta in deltas:
        match delta:
            case TextDelta(piece):
                assert open_call is None
                assert piece
                turn.text += piece
            case ReasoningDelta(piece):
                assert open_call is None
                assert piece
                turn.reasoning += piece
            case CallStarted(index, name):
                assert open_call is None
                assert index == len(turn.calls)
                assert name
                open_call = (name, [])
            case ArgumentsDelta(index, piece):
                assert open_call is not None
                assert index == len(turn.calls)
                open_call[1].append(piece)
            case CallFinished(index, name, arguments, complete):
                assert open_call is not None
                assert open_call[0] == name
                assert index == len(turn.calls)
                assert "".join(open_call[1]) == arguments
                turn.calls.append((name, arguments, complete))
                open_call = None
    assert open_call is None
    return turn


def turn_of(parser: ToolCallParser, text: str) -> Turn:
    return summary(parse(parser, [text.encode()]))


def split(stream: bytes, cuts: set[int]) -> list[bytes]:
    bounds = [0, *sorted(cuts), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(bounds)]


def check_splits(make: Callable[[], ToolCallParser], stream: bytes, data: st.DataObject) -> None:
    """However the stream is split, the parser says the same."""
    whole = summary(parse(make(), [stream]))
    cuts = data.draw(st.sets(st.integers(0, len(stream))))
    assert summary(parse(make(), split(stream, cuts))) == whole
    assert summary(parse(make(), split(stream, set(range(len(stream)))))) == whole


def streams(*marks: str) -> st.SearchStrategy[bytes]:
    """Bytes that are a turn of a format by and large."""
    json_parts = [
        '{"name": "f", ',
        '"name": "g"',
        '"arguments": ',
        '"parameters": ',
        '{"a": "b"}',
        '"{\\"a\\": 1}"',
        "{",
    ]
    others = ["}", "[", "]", '"', "\\", ",", ":", ";", "\n", " ", "<", "é😀", "\\ud83d", "1", "null", "f"]
    beginnings = [mark[: len(mark) // 2] for mark in marks]
    fragments = st.sampled_from([*marks, *marks, *beginnings, *json_parts, *others]).map(str.encode)
    return st.lists(st.one_of(fragments, st.binary(max_size=6)), max_size=25).map(b"".join)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(st.text(), json_values, max_size=3)
