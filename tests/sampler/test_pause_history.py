"""What is learned from how long pauses last."""

from __future__ import annotations

import itertools
import math

import pytest
from caesura.sampler.pause_history import MAX_NAME, MAX_TOOLS, PauseHistory, at, octave_of
from hypothesis import given
from hypothesis import strategies as st

names = st.sampled_from(["read", "shell", "", "\ud800", "x" * 200])
several = st.lists(names, max_size=12).map(tuple)
seconds = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 1e5),
    st.sampled_from([0.0, -0.0, -5.0, 1e-3, 1e308, 5e-324, math.inf, -math.inf, math.nan]),
)
ELAPSED = [0.0, *(1e-4 * 2**step for step in range(60))]


def learned(*pauses: tuple[str, float], times: int = 1) -> PauseHistory:
    history = PauseHistory()
    for name, length in pauses * times:
        history.learn((name,), length)
    return history


def price(history: PauseHistory, tool: str, elapsed: float = 0.0) -> float:
    return at(history.prices((tool,)), elapsed)


@given(st.lists(st.tuples(several, seconds), max_size=60), several, seconds)
def test_prices_are_finite_and_not_negative_whatever_was_seen(
    pauses: list[tuple[tuple[str, ...], float]], tools: tuple[str, ...], elapsed: float
) -> None:
    history = PauseHistory()
    for waited_for, length in pauses:
        history.learn(waited_for, length)
    assert math.isfinite(at(history.prices(tools), elapsed))
    assert at(history.prices(tools), elapsed) > 0


def test_with_nothing_seen_a_longer_wait_means_a_longer_rest() -> None:
    """The guess has a tail like 1/t, of which that is true."""
    prices = [price(PauseHistory(), "read", elapsed) for elapsed in ELAPSED]
    assert all(later >= sooner for sooner, later in itertools.pairwise(prices))
    assert price(PauseHistory(), "read", 1000) > 100 * price(PauseHistory(), "read", 0)


@pytest.mark.parametrize("length", [0.002, 0.05, 1.0, 40.0, 3000.0])
def test_pauses_that_always_last_as_long_are_waited_for(length: float) -> None:
    """Nothing ends before it, so the price at the begin is that length, within the octave that is stored."""
    history = learned(("build", length), times=500)
    assert length / 2 <= price(history, "build") <= length * 2
    assert price(history, "build", length * 0.4) < price(history, "build")


@given(st.floats(0.001, 1e4), st.integers(20, 200))
def test_a_pause_that_outlives_all_history_is_a_long_one(length: float, count: int) -> None:
    history = learned(("read", length), times=count)
    late = 8 * length + 1
    assert price(history, "read", late) > price(history, "read")
    assert price(history, "read", 100 * late) > price(history, "read", late)


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.integers(1, 50))
def test_longer_pauses_never_make_a_tool_cheaper_to_wait_for(one: float, other: float, count: int) -> None:
    short, long = sorted((one, other))
    history = PauseHistory()
    for _ in range(count):
        history.learn(("short",), short)
        history.learn(("long",), long)
    # A price is a quotient of differences of large areas: some digits cancel out.
    assert price(history, "short") <= price(history, "long") * (1 + 1e-6)


def test_a_rare_long_pause_does_not_hide_that_the_others_are_short() -> None:
    """The mean is 36 s; but who waits for a second and then gives up has nearly all of them."""
    history = learned(*[("shell", 0.1)] * 99, ("shell", 3600.0), times=5)
    assert price(history, "shell") < 1
    assert price(history, "shell", 5) > 100


def test_one_who_pauses_for_several_tools_waits_for_the_slowest() -> None:
    history = learned(("read", 0.04), ("test", 30.0), times=50)
    assert list(history.prices(("read", "test"))) == [
        max(pair) for pair in zip(history.prices(("read",)), history.prices(("test",)), strict=True)
    ]
    before = price(history, "read")
    for _ in range(50):
        history.learn(("read", "test", "read"), 35.0)
    assert price(history, "read") <= 2 * before


def test_newer_pauses_count_for_more() -> None:
    history = learned(("fetch", 60.0), times=5000)
    for _ in range(3000):
        history.learn(("fetch",), 0.1)
    assert price(history, "fetch") < 1


def test_an_unknown_tool_is_like_the_others_together() -> None:
    history = learned(("a", 30.0), ("b", 40.0), times=50)
    assert 15 < price(history, "new") < 80


def test_what_clients_name_their_tools_takes_bounded_memory() -> None:
    history = PauseHistory()
    for number in range(20 * MAX_TOOLS):
        history.learn((f"{number}" * 100,), 1.0)
        assert len(history) <= MAX_TOOLS
    assert max(map(len, history._tools)) <= MAX_NAME
    history.prices(tuple(f"asked only {number}" for number in range(10_000)))
    assert len(history) <= MAX_TOOLS


def test_a_flood_of_names_forgets_the_tool_that_was_used_longest_ago() -> None:
    history = learned(("slow", 100.0), times=50)
    for number in range(MAX_TOOLS - 1):
        history.learn((f"tool {number}",), 0.01)
    assert list(history.prices(("slow",))) != list(history.prices(("never seen",)))
    history.learn(("one more",), 0.01)
    assert list(history.prices(("slow",))) == list(history.prices(("never seen",)))


@given(seconds)
def test_every_length_has_its_octave(length: float) -> None:
    octave = octave_of(length)
    if 0.001 <= length < 1e5:
        assert 2 ** (octave - 1) <= length * 1e3 < 2**octave
    else:
        assert 0 <= octave < 28
