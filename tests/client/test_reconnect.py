"""How long a client waits before it connects again."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from caesura.client.reconnect import Backoff
from hypothesis import given
from hypothesis import strategies as st

backoffs = st.builds(
    Backoff,
    max_reconnects=st.integers(0, 200),
    first=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    cap=st.floats(0, 1e9),
)


@pytest.mark.requirement("client-backoff")
@given(backoffs)
def test_the_bound_grows_by_the_factor_up_to_the_cap_and_attempts_end(backoff: Backoff) -> None:
    bounds = list(backoff.delays(jitter=lambda: 1.0))
    assert len(bounds) == backoff.max_reconnects
    assert bounds == sorted(bounds)
    assert all(0 <= bound <= backoff.cap for bound in bounds)
    if bounds:
        assert bounds[0] == min(backoff.first, backoff.cap)
    for before, after in pairwise(bounds):
        assert after == min(before * backoff.factor, backoff.cap)


@pytest.mark.requirement("client-backoff")
@given(backoffs, st.lists(st.floats(0, 1), min_size=200, max_size=200))
def test_each_wait_is_a_random_part_of_its_bound(backoff: Backoff, parts: list[float]) -> None:
    bounds = backoff.delays(jitter=lambda: 1.0)
    delays = backoff.delays(jitter=iter(parts).__next__)
    assert all(delay == part * bound for delay, part, bound in zip(delays, parts, bounds, strict=False))


def test_the_defaults() -> None:
    assert list(Backoff().delays(jitter=lambda: 1.0)) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0])


def test_two_clients_do_not_wait_alike() -> None:
    assert list(Backoff().delays()) != list(Backoff().delays())


@pytest.mark.parametrize(
    "numbers",
    [
        {"max_reconnects": -1},
        {"first": -0.1},
        {"first": math.inf},
        {"first": math.nan},
        {"factor": 0.9},
        {"factor": math.nan},
        {"cap": -1.0},
        {"cap": math.inf},
    ],
)
def test_numbers_that_make_no_sense(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must not be negative|are seconds"):
        Backoff(**numbers)  # type: ignore[arg-type]
