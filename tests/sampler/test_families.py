"""Every family: what is appended turn by turn is the full render, no text forges a control token, calls come back."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import pytest
from caesura.sampler.chat_message import short_id
from caesura.sampler.chat_template import Message, ToolCall, assistant_message, tool_message
from caesura.sampler.model import Model
from caesura.sampler.tool_call_deltas import CallFinished
from families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing import summary

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]

SPECIALS = sorted(
    {token for chat in FAMILIES.values() for token in chat.special_tokens} | {"<|im_end|>", "<tool_call>"}
)
special = st.sampled_from(SPECIALS)
noncharacters = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # reserved: they become U+FFFD
others = st.text(st.characters(codec="utf-8", exclude_characters=noncharacters), max_size=5)
beginnings = st.tuples(special, st.integers(1, 9)).map(lambda pair: pair[0][: pair[1]])
ends = st.tuples(special, st.integers(1, 9)).map(lambda pair: pair[0][-pair[1] :])
pieces = st.one_of(special, beginnings, ends, st.sampled_from([" ", "\n", "<", "|>", "[", "]", '"', "é😀"]), others)
words = st.lists(pieces, max_size=6).map("".join)
values = st.dictionaries(others, words | st.integers() | st.none(), max_size=3)
names = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
calls = st.builds(
    lambda name, value, number: ToolCall(name, json.dumps(value, ensure_ascii=False), f"call_{number}"),
    names,
    values,
    st.integers(0, 999),
)


@dataclass
class Turn:
    """One assistant turn, and the outputs of its calls."""

    reasoning: str
    text: str
    calls: list[ToolCall]
    outputs: list[str]


def turns(text: st.SearchStrategy[str]) -> st.SearchStrategy[Turn]:
    outputs = st.lists(words, min_size=2, max_size=2)
    return st.builds(
        Turn, text, text, st.lists(calls, min_size=1, max_size=2, unique_by=lambda call: call.call_id), outputs
    )


def fitted(model: Model, turn: Turn) -> Turn:
    """As much of the turn as the family can say."""
    reasoning = turn.reasoning if model.tool_format.reasoning else ""
    calls = turn.calls if model.chat_template.parallel_calls else turn.calls[:1]
    return Turn(reasoning, "" if model.name == "llama3" and calls else turn.text, calls, turn.outputs)


questions = st.lists(st.tuples(words, st.lists(turns(words), max_size=2), words, words), min_size=1, max_size=3)


def test_what_a_template_rewrites_is_named(family: Model) -> None:
    expected = {
        "qwen3": {"reasoning before a further user message"},
        "always_thinking": set(),
        "llama3": {"several calls in a turn"},
        "mistral": {"a further user message", "a user message after tool results"},
        "mistral_v11": set(),
        "harmony": {"a further user message", "reasoning before a further user message", "several calls in a turn"},
    }
    assert set(family.chat_template.divergences) == expected[family.name]
    assert family.chat_template.tool_problem is None
    assert family.chat_template.user_problem is None
    assert family.chat_template.renders_tools


@settings(max_examples=40)
@given(conversation=questions, system=st.none() | words)
def test_equals_the_full_render(
    family: Model, conversation: list[tuple[str, list[Turn], str, str]], system: str | None
) -> None:
    """Where a template rewrites earlier turns, the comparison leaves out what it rewrites: the thoughts of Qwen3 and
    harmony, the place of Mistral's tools, the token that ends harmony's text."""
    template = family.chat_template
    several = len(conversation) > 1
    tools = [] if several and family.name == "mistral" else TOOLS
    thinks = not several or family.name not in ("qwen3", "harmony")
    history: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    tokens: list[int] = []
    for question, rounds, answer, thought in conversation:
        user: Message = {"role": "user", "content": question}
        tokens += template.encode_suffix([user]) if tokens else template.encode_prompt([*history, user], tools)
        history.append(user)
        for turn in [*rounds, Turn(thought, answer, [], [])]:
            turn = fitted(family, turn)
            reasoning = turn.reasoning if thinks else ""
            sampled = template.encode_turn(turn.text, turn.calls, reasoning=reasoning)
            assert sampled[-1] in family.stop_tokens
            tokens += sampled
            history.append(assistant_message(turn.text, turn.calls, reasoning=reasoning))
            if turn.calls:
                results = [
                    tool_message(output, call_id=call.call_id, name=call.name)
                    for call, output in zip(turn.calls, turn.outputs, strict=False)
                ]
                tokens += template.encode_suffix(results, calls=turn.calls)
                history += results
                appended, full = family.vocab.decode(tokens), template.render(history, tools)
                if family.name == "harmony":
                    appended, full = (text.replace("<|return|>", "<|end|>") for text in (appended, full))
                assert appended == full


@settings(max_examples=40)
@given(output=words, name=words.filter(bool), call_id=words, user=words)
def test_appended_text_forges_no_control_token(family: Model, output: str, name: str, call_id: str, user: str) -> None:
    template = family.chat_template

    def suffix(output: str, name: str, call_id: str, user: str) -> Counter[int]:
        call = ToolCall(name, "{}", call_id)
        messages: list[Message] = [tool_message(output, call_id=call_id, name=name), {"role": "user", "content": user}]
        tokens = template.encode_suffix(messages, calls=[call])
        special = set(family.vocab.special_tokens.values())
        return Counter(token for token in tokens if token in special)

    assert suffix(output, name, call_id, user) == suffix("x", "x", "x", "x")


@settings(max_examples=40)
@given(text=words, thought=words, name=words.filter(bool), value=values, schema=values, system=words)
def test_a_prompt_forges_no_control_token(
    family: Model, text: str, thought: str, name: str, value: dict[str, object], schema: dict[str, object], system: str
) -> None:
    def prompt(text: str, thought: str, name: str, value: object, schema: object, system: str) -> Counter[int]:
        call = ToolCall(name, json.dumps(value), name)
        tool = {"type": "function", "function": {"name": name, "parameters": schema}}
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": text},
            assistant_message(text, [call], reasoning=thought),
            tool_message(text, call_id=name, name=name),
            assistant_message(text),
            {"role": "user", "content": text},
        ]
        special = set(family.vocab.special_tokens.values())
        return Counter(token for token in family.chat_template.encode_prompt(messages, [tool]) if token in special)

    assert prompt(text, thought, name, value, schema, system) == prompt(
        "x" if text else "", "x" if thought else "", "x", {}, {}, "x"
    )


plain = st.text("abc é😀.,!", min_size=1).map(str.strip).filter(bool)


@settings(max_examples=40)
@given(turn=turns(plain))
def test_a_rendered_turn_parses_to_what_it_says(family: Model, turn: Turn) -> None:
    turn = fitted(family, turn)
    tokens = family.chat_template.encode_turn(turn.text, turn.calls, reasoning=turn.reasoning)
    parser = family.turn_parser()
    deltas = [delta for token in tokens for delta in parser.feed(family.vocab.visible_piece(token))] + parser.finish()
    found = summary(deltas)
    assert (found.text, found.reasoning) == (turn.text, turn.reasoning)
    assert [(name, json.loads(text), complete) for name, text, complete in found.calls] == [
        (call.name, json.loads(call.arguments), True) for call in turn.calls
    ]
    ids = [delta.written_id for delta in deltas if isinstance(delta, CallFinished)]
    assert ids == [short_id(call.call_id) if family.name.startswith("mistral") else "" for call in turn.calls]


def test_control_tokens_outside_the_format_are_hidden(family: Model) -> None:
    for text, token in family.vocab.special_tokens.items():
        shown = text in family.tool_format.structure
        if text in FAMILIES[family.name].special_tokens:
            assert family.vocab.visible_piece(token) == (text.encode() if shown else b"")


def test_a_turn_that_was_cut_gets_its_end(family: Model) -> None:
    template = family.chat_template
    message: Message = {"role": "user", "content": "And then?"}
    stopped, suffix = template.encode_suffix([message]), template.encode_suffix([message], stopped=False)
    assert suffix[1:] == stopped
    assert suffix[0] in family.stop_tokens or family.vocab.decode(suffix[:1]) in family.tool_format.turn_ends


@pytest.mark.parametrize("call_id", ["", "call_0123456789abcdef", "é\ud800", "abc_12345"])
def test_a_short_id_is_nine_letters_and_digits(call_id: str) -> None:
    assert short_id(call_id).isalnum()
    assert short_id(call_id).isascii()
    assert len(short_id(call_id)) == 9
    assert short_id(short_id(call_id)) == short_id(call_id) == short_id(call_id)


def test_several_calls_of_a_history_where_a_template_takes_one(family: Model) -> None:
    """A client's history may hold what the template can't show in one turn."""
    two = [ToolCall("first", "{}", "call_1"), ToolCall("second", "{}", "call_2")]
    results = [tool_message(f"output of {call.name}", call_id=call.call_id, name=call.name) for call in reversed(two)]
    history: list[Message] = [{"role": "user", "content": "Go."}, assistant_message("", two), *results]
    text = family.chat_template.render(history)
    places = [text.index(part) for part in ("first", "output of first", "second", "output of second")]
    assert places[0] < places[1]
    assert places[2] < places[3]
    if not family.chat_template.parallel_calls:
        assert places == sorted(places)
