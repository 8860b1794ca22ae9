"""Workloads: the same for the same arguments, within what was asked for, and what can't be had is said."""

from __future__ import annotations

from typing import Any

import pytest
from caesura.client.bench.distributions import Constant, Uniform
from caesura.client.bench.driver import BenchError
from caesura.client.bench.presets import PRESETS, make_workload
from caesura.client.bench.workload import ToolUse, Turn
from hypothesis import given, settings
from hypothesis import strategies as st

ARGUMENTS = st.fixed_dictionaries(
    {
        "preset": st.sampled_from(sorted(PRESETS)),
        "tool_calls": st.none() | st.integers(0, 30),
        "seed": st.integers(0, 2**32),
        "sessions": st.integers(1, 3),
        "scale_tokens": st.floats(0.001, 2),
        "scale_tool_time": st.floats(0, 2),
        "max_tool_time": st.none() | st.floats(0, 10),
    }
)


@settings(max_examples=40)
@given(ARGUMENTS)
def test_the_same_arguments_give_the_same_workload(arguments: dict[str, Any]) -> None:
    assert make_workload(**arguments) == make_workload(**arguments)


@settings(max_examples=40)
@given(ARGUMENTS)
def test_every_turn_but_the_last_has_calls(arguments: dict[str, Any]) -> None:
    for session in make_workload(**arguments).sessions:
        *turns, last = session.turns
        assert not last.tools
        assert all(turn.tools for turn in turns)
        assert session.prompt_tokens >= 1
        assert all(turn.output_tokens >= 1 for turn in session.turns)
        assert all(tool.tokens >= 1 for turn in turns for tool in turn.tools)


@settings(max_examples=40)
@given(ARGUMENTS)
def test_calls_and_times_are_as_asked_for(arguments: dict[str, Any]) -> None:
    calls, longest = arguments["tool_calls"], arguments["max_tool_time"]
    for session in make_workload(**arguments).sessions:
        assert calls is None or session.num_calls == calls
        assert longest is None or all(tool.seconds <= longest for turn in session.turns for tool in turn.tools)


@settings(max_examples=40)
@given(ARGUMENTS, st.integers(1, 200_000))
def test_no_session_is_longer_than_the_context(arguments: dict[str, Any], context: int) -> None:
    try:
        workload = make_workload(**arguments, max_context=context)
    except BenchError:
        return  # there is no room, which is another test
    free = make_workload(**arguments)
    for session, whole in zip(workload.sessions, free.sessions, strict=True):
        assert session.context_tokens <= context
        kept = len(session.turns) - 1
        assert (session.turns[:kept], session.turns[-1]) == (whole.turns[:kept], whole.turns[-1])
    assert ("cut to" in workload.description) == (workload.sessions != free.sessions)


@settings(max_examples=40)
@given(ARGUMENTS)
def test_a_session_does_not_depend_on_how_many_there_are(arguments: dict[str, Any]) -> None:
    more = make_workload(**{**arguments, "sessions": arguments["sessions"] + 2})
    assert make_workload(**arguments).sessions == more.sessions[: arguments["sessions"]]


@given(st.integers(1, 5), st.integers(1, 500), st.integers(0, 2**16))
def test_the_outputs_of_a_turn_share_what_it_appends(calls: int, appended: int, seed: int) -> None:
    workload = make_workload("coding-agent", tool_calls=20 * calls, append_tokens=Constant(appended), seed=seed)
    for turn in workload.sessions[0].turns[:-1]:
        lengths = [tool.tokens for tool in turn.tools]
        assert sum(lengths) == max(appended, len(lengths))
        assert max(lengths) - min(lengths) <= 1


def test_given_numbers_are_not_scaled() -> None:
    workload = make_workload(
        "coding-agent",
        tool_calls=1,
        prompt_tokens=Constant(700),
        append_tokens=Constant(90),
        output_tokens=Constant(30),
        tool_time=Constant(0.5),
        scale_tokens=0.01,
        scale_tool_time=0.5,
    )
    session = workload.sessions[0]
    assert session.prompt_tokens == 700
    assert session.turns == (Turn(30, (ToolUse(0.25, 90),)), Turn(30))


def test_the_default_is_uniform() -> None:
    session = make_workload().sessions[0]
    assert session.turns == (Turn(60, (ToolUse(0, 250),)),) * 20 + (Turn(60),)
    assert session.context_tokens == 1000 + 21 * 60 + 20 * 250


def test_the_description_has_every_number() -> None:
    text = make_workload(
        "coding-agent", tool_calls=7, append_tokens=Uniform(10, 20), scale_tokens=0.0625, max_tool_time=2, seed=5
    ).description
    for part in ("7 calls", "119000 x 0.0625", "uniform:10,20,", "2 s at most", "seed 5", "p90=13.6"):
        assert part in text


def test_every_preset_says_what_is_published_and_what_is_not() -> None:
    assert all(preset.assumed for preset in PRESETS.values())
    assert [name for name, preset in PRESETS.items() if not preset.published] == ["uniform"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "gardening"}, "there is no workload 'gardening'; there are uniform"),
        ({"tool_calls": -1}, "tool calls: -1"),
        ({"sessions": 0}, "sessions: 0"),
        ({"scale_tokens": 0}, "the scale of tokens: 0"),
        ({"scale_tokens": float("nan")}, "the scale of tokens"),
        ({"scale_tool_time": -1}, "the scale of tool times"),
        ({"max_tool_time": float("nan")}, "the longest tool time"),
        ({"max_context": 0}, "the context: 0"),
        ({"tool_calls": 5, "max_context": 2000}, "a session of 2610 tokens does not fit 2000"),
        ({"max_context": 1000}, "does not fit 1000"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        make_workload(**arguments)
    assert message in str(caught.value)
