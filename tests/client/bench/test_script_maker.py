"""Scripts come to the tokens that the workload asks for, whatever the tokenizer makes of words in their places."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caesura.client.bench.presets import PRESETS, make_workload
from caesura.client.bench.script import NONCE, Script
from caesura.client.bench.script_maker import make_scripts, scripts_of_trace, workload_of
from caesura.client.bench.trace_file import Trace, load, save
from caesura.client.bench.workload import Session, ToolUse, Turn, Workload
from caesura.client.bench.yardstick import Yardstick
from hypothesis import example, given
from hypothesis import strategies as st

CALL_TOKENS = 6
"""Syntax of a call in the tokenizer below."""


class Words:
    """A tokenizer of words. Those in arguments are ``step`` tokens each, as JSON may split what text does not."""

    def __init__(self, step: int = 1) -> None:
        self._step = step

    def texts(self, tokens: Sequence[int]) -> list[str]:
        return [" ".join(["w"] * number) for number in tokens]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def turn_tokens(self, turns: Sequence[Mapping[str, Any]]) -> list[int]:
        return [self._turn(turn) for turn in turns]

    def _turn(self, turn: Mapping[str, Any]) -> int:
        words = [len(json.loads(call["arguments"])["at"].split()) - 1 for call in turn["calls"]]
        return len(turn["text"].split()) + sum(CALL_TOKENS + self._step * count for count in words) + 1


LENGTHS = st.integers(1, 60)
TURNS = st.builds(
    Turn, LENGTHS, st.lists(st.builds(ToolUse, st.just(0.5), st.integers(0, 40)), min_size=1, max_size=3).map(tuple)
)
SESSIONS = st.builds(
    lambda prompt, turns, last: Session(prompt, (*turns, Turn(last))),
    st.integers(1, 500),
    st.lists(TURNS, max_size=5),
    LENGTHS,
)
WORKLOADS = st.lists(SESSIONS, min_size=1, max_size=3).map(lambda sessions: Workload("w", "d", tuple(sessions)))


def _least(turn: Turn) -> int:
    """What the syntax alone comes to; without calls some text has to be there."""
    return CALL_TOKENS * len(turn.tools) + 1 if turn.tools else 2


@example(Workload("w", "d", (Session(3, (Turn(1),)),)), 1)
@given(WORKLOADS, st.integers(1, 3))
def test_every_length_is_met_as_far_as_syntax_allows(workload: Workload, step: int) -> None:
    tokenizer = Words(step)
    scripts = make_scripts(workload, tokenizer)
    counted = workload_of("w", "d", scripts, tokenizer)
    for session, made in zip(workload.sessions, counted.sessions, strict=True):
        assert [turn.tools for turn in made.turns] == [turn.tools for turn in session.turns]
        assert [turn.output_tokens for turn in made.turns] == [
            max(turn.output_tokens, _least(turn)) for turn in session.turns
        ]
        assert made.prompt_tokens == max(session.prompt_tokens, 2)


@given(WORKLOADS)
def test_no_two_calls_of_a_session_are_alike(workload: Workload) -> None:
    for script in make_scripts(workload, Words()):
        arguments = [call.arguments for turn in script.turns for call in turn.calls]
        assert len(set(arguments)) == len(arguments)
        assert all(set(json.loads(text)) == {"at"} for text in arguments)


@given(WORKLOADS)
def test_scripts_can_be_played(workload: Workload) -> None:
    scripts = make_scripts(workload, Words())
    assert [script.name for script in scripts] == [f"s{number}" for number in range(len(workload.sessions))]
    for script in scripts:
        assert script.instructions.startswith(NONCE)
        assert script.task
        *turns, last = script.turns
        assert all(turn.calls for turn in turns)
        assert last.text
        assert not last.calls


def test_the_words_of_a_turn_are_shared_out_to_its_calls() -> None:
    workload = Workload("w", "d", (Session(9, (Turn(40, (ToolUse(0, 1),) * 3), Turn(2))),))
    (script,) = make_scripts(workload, Words())
    lengths = [len(json.loads(call.arguments)["at"].split()) for call in script.turns[0].calls]
    assert max(lengths) - min(lengths) <= 1


def test_a_trace_is_played_in_its_order(tmp_path: Path) -> None:
    tokenizer = Words()
    said = make_scripts(make_workload(tool_calls=3), tokenizer)[0]
    numbers = Session(50, (Turn(20, (ToolUse(0.1, 5),)), Turn(4)))
    save(tmp_path / "both.jsonl", Trace("both", "", (numbers, said)))
    first, second = scripts_of_trace(load(tmp_path / "both.jsonl"), tokenizer)
    assert (first.name, second.name) == ("s0", "s1")
    assert workload_of("w", "d", [first], tokenizer).sessions == (numbers,)
    assert second.turns == said.turns
    assert second.replay() == said.replay()


def test_the_default_workload_on_the_demo_model(demo_model_path: Path) -> None:
    workload = make_workload()
    with Yardstick(str(demo_model_path), context=512) as yardstick:
        scripts = make_scripts(workload, yardstick)
        counted = workload_of(workload.name, workload.description, scripts, yardstick)
    assert counted == workload


def test_presets_on_the_demo_model_come_near(demo_model_path: Path) -> None:
    """Only a turn that is shorter than the syntax of its calls is longer than it should be."""
    with Yardstick(str(demo_model_path), context=512) as yardstick:
        for name in PRESETS:
            workload = make_workload(name, scale_tokens=0.1, max_context=20_000)
            scripts: list[Script] = make_scripts(workload, yardstick)
            counted = workload_of("", "", scripts, yardstick)
            for asked, made in zip(workload.sessions[0].turns, counted.sessions[0].turns, strict=True):
                assert asked.tools == made.tools
                assert made.output_tokens == asked.output_tokens or asked.output_tokens < 26 * len(asked.tools) + 1
