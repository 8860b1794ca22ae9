"""The harmony parser: channels and recipients."""

from __future__ import annotations

import json
import string

import pytest
from caesura.sampler.formats.harmony import HarmonyParser
from caesura.sampler.tool_call_deltas import ArgumentsDelta, CallFinished, CallStarted, ReasoningDelta, TextDelta
from hypothesis import example, given
from hypothesis import strategies as st
from parsing import Turn, arguments, check_splits, streams, turn_of

ANALYSIS = "<|channel|>analysis<|message|>Hm. <|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>"
CALL = '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}'
F = ("f", '{"a": 1}', True)

CASES: list[tuple[str, Turn]] = [
    (FINAL + "Hello, <b>world</b>.\n", Turn("Hello, <b>world</b>.\n")),
    (FINAL + "Hello<|return|>", Turn("Hello")),
    (ANALYSIS + FINAL + "Hello", Turn("Hello", [], "Hm. ")),
    (CALL, Turn("", [F])),
    (CALL + "<|call|>", Turn("", [F])),
    (ANALYSIS + CALL + "<|call|>", Turn("", [F], "Hm. ")),
    (' to=functions.f<|channel|>commentary json<|message|>{"a": 1}<|call|>', Turn("", [F])),
    ("<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant" + CALL, Turn("Let me see.", [F])),
    (
        "<|channel|>commentary<|message|>One.<|end|><|start|>assistant<|channel|>final<|message|>Two.",
        Turn("One.\n\nTwo."),
    ),
    (ANALYSIS + ANALYSIS + FINAL + "Yes.", Turn("Yes.", [], "Hm. \n\nHm. ")),
    (CALL + "<|call|><|start|>assistant" + CALL, Turn("", [F, F])),
    ("<|channel|>commentary to=browser.search<|message|>{}", Turn("", [("browser.search", "{}", True)])),
    ("<|channel|>commentary to=functions.f<|message|><|call|>", Turn("", [("f", "{}", True)])),
    ("<|channel|>commentary to=user<|message|>Hi.", Turn("Hi.")),
    (
        '<|channel|>commentary to=functions.f<|message|>{"s": "<|call|>"}<|call|>',
        Turn("", [("f", '{"s": "<|call|>"}', True)]),
    ),
    # Cut off, or malformed.
    ('<|channel|>commentary to=functions.f<|message|>{"a"', Turn("", [("f", '{"a"', False)])),
    ("<|channel|>commentary to=functions.f<|message|>", Turn("", [("f", "", False)])),
    (
        "<|channel|>commentary to=functions.f<|message|>{]x<|end|><|start|>assistant" + FINAL + "y",
        Turn("y", [("f", "{", False)]),
    ),
    ("<|channel|>analysis<|message|>Hm", Turn("", [], "Hm")),
    ("<|channel|>analy", Turn()),
    ("<|channel|>analysis<|message|>a<|channel|>final<|message|>b", Turn("b", [], "a")),
    ("No header at all.", Turn("No header at all.")),
    (" to be, or not", Turn(" to be, or not")),
    (" to", Turn(" to")),
    ("<|message|>a<|message|>b", Turn("ab")),
]


@pytest.mark.parametrize(("source", "turn"), CASES, ids=range(len(CASES)))
def test_cases(source: str, turn: Turn) -> None:
    assert turn_of(HarmonyParser(), source) == turn


def test_a_turn_can_begin_inside_reasoning() -> None:
    turn = turn_of(HarmonyParser(in_reasoning=True), "Hm.<|end|><|start|>assistant" + FINAL + "Hi.")
    assert turn == Turn("Hi.", [], "Hm.")


MARKS = (
    "<|start|>",
    "<|channel|>",
    "<|message|>",
    "<|end|>",
    "<|call|>",
    "<|constrain|>",
    "analysis",
    " to=functions.f",
)


@given(stream=streams(*MARKS), data=st.data())
def test_no_bytes_raise_and_no_split_matters(stream: bytes, data: st.DataObject) -> None:
    check_splits(HarmonyParser, stream, data)


@example("user", {}, False)
@given(st.text(string.ascii_letters, min_size=1), arguments, st.booleans())
def test_a_well_formed_call_comes_back(name: str, values: dict[str, object], early: bool) -> None:
    recipient, channel = (
        (f" to=functions.{name}", "commentary json") if early else ("", f"commentary to=functions.{name}")
    )
    source = f"{recipient}<|channel|>{channel}<|message|>{json.dumps(values)}<|call|>"
    turn = turn_of(HarmonyParser(), source)
    ((found, given_arguments, complete),) = turn.calls
    assert (turn.text, found, json.loads(given_arguments), complete) == ("", name, values, True)


def test_deltas_come_as_early_as_they_can() -> None:
    parser = HarmonyParser()
    assert parser.feed(b"<|channel|>analysis<|message|>") == []
    assert parser.feed(b"Hm") == [ReasoningDelta("Hm")]
    assert parser.feed(b"<|end|><|start|>assistant<|channel|>final<|message|>Hi") == [TextDelta("Hi")]
    assert parser.feed(b"<|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>") == [
        CallStarted(0, "f")
    ]
    assert parser.feed(b'{"a') == [ArgumentsDelta(0, '{"a')]
    assert parser.feed(b'": 1}') == [ArgumentsDelta(0, '": 1}'), CallFinished(0, "f", '{"a": 1}', True)]
