"""Which paused sequence each policy evicts."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from caesura.sampler.eviction import (
    DEFAULT_POLICY,
    POLICIES,
    EvictionPolicy,
    FixedTimeToLive,
    LeastRecentlyUsed,
    LeastWaste,
    Parked,
    ShortestFirst,
)
from hypothesis import given
from hypothesis import strategies as st

times = st.one_of(st.floats(0, 1e6), st.floats(allow_nan=False, allow_infinity=False))
parked = st.builds(
    Parked,
    key=st.integers(0, 10_000),
    size=st.integers(0, 2**40),
    paused_at=times,
    tools=st.lists(st.sampled_from(["read", "shell", "\ud800", "y" * 300]), max_size=10).map(tuple),
    tokens=st.integers(0, 10**6),
)
crowds = st.lists(parked, min_size=1, max_size=30, unique_by=lambda each: each.key)
every_policy = pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)


def at(key: int, paused_at: float = 0.0, *, size: int = 1000, tool: str = "tool", tokens: int = 100) -> Parked:
    return Parked(key, size, paused_at, (tool,), tokens)


def test_the_default_is_one_of_them() -> None:
    assert DEFAULT_POLICY in POLICIES
    assert [make().name for make in POLICIES.values()] == list(POLICIES)


@every_policy
@given(history=st.lists(st.tuples(parked, times), max_size=20), crowd=crowds, now=times, order=st.randoms())
def test_the_victim_is_a_candidate_and_their_order_says_nothing(
    make: Callable[[], EvictionPolicy],
    history: list[tuple[Parked, float]],
    crowd: list[Parked],
    now: float,
    order: random.Random,
) -> None:
    one, other = make(), make()
    for each, ended_at in history:
        one.resumed(each, ended_at)
        other.resumed(each, ended_at)
    victim = one.victim(crowd, now)
    assert any(victim is each for each in crowd)
    order.shuffle(crowd)
    assert other.victim(crowd, now) is victim


@every_policy
def test_of_equal_ones_the_policy_picks_always_the_same(make: Callable[[], EvictionPolicy]) -> None:
    equal = [at(key) for key in range(5)]
    assert make().victim(equal, 1.0) is make().victim(equal[::-1], 1.0)


def test_least_waste_learns_which_tools_are_slow() -> None:
    policy = LeastWaste()
    for _ in range(30):
        policy.resumed(at(1, 0.0, tool="read"), 0.04)
        policy.resumed(at(2, 0.0, tool="test"), 60.0)
    older_read, test = at(1, 9.98, tool="read"), at(2, 10.0, tool="test")
    assert policy.victim([older_read, test], 10.0) is test
    assert LeastRecentlyUsed().victim([older_read, test], 10.0) is older_read


def test_least_waste_evicts_a_pause_that_outlives_what_its_tool_ever_took() -> None:
    policy = LeastWaste()
    for _ in range(30):
        policy.resumed(at(1, 0.0, tool="read"), 0.04)
        policy.resumed(at(2, 0.0, tool="test"), 60.0)
    stuck, test = at(1, 0.0, tool="read"), at(2, 590.0, tool="test")
    assert policy.victim([stuck, test], 600.0) is stuck


def test_least_waste_keeps_what_is_dear_to_bring_back() -> None:
    small, large = at(1, 0.0, size=1_000), at(2, 0.0, size=9_000)
    assert LeastWaste().victim([large, small], 5.0) is small


def test_least_waste_learns_pauses_of_which_nothing_is_known() -> None:
    policy = LeastWaste()
    for _ in range(30):
        policy.resumed(Parked(1, 1000, 0.0, (), 100), 500.0)
        policy.resumed(at(2, tool="read"), 0.04)
    person, tool = Parked(1, 1000, 10.0, (), 100), at(2, 9.99, tool="read")
    assert policy.victim([tool, person], 10.0) is person


def test_least_recently_used_evicts_who_paused_first() -> None:
    assert LeastRecentlyUsed().victim([at(1, 3.0), at(2, 1.0), at(3, 2.0)], 9.0).key == 2


def test_fixed_time_to_live_evicts_the_expired_then_the_latest_to_be_opened() -> None:
    policy = FixedTimeToLive(seconds=5.0)
    crowd = [at(1, 3.0), at(3, 1.0), at(2, 2.0)]
    assert policy.victim(crowd, 9.0).key == 3
    assert policy.victim(crowd[:1] + crowd[2:], 6.5).key == 2


def test_shortest_first_evicts_the_fewest_tokens() -> None:
    assert ShortestFirst().victim([at(1, tokens=30), at(2, tokens=10), at(3, tokens=20)], 9.0).key == 2
