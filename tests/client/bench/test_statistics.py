"""Statistics against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from caesura.client.bench.statistics import (
    RESAMPLES,
    SEED,
    Estimate,
    ecdf,
    estimate_median,
    estimate_ratio,
    estimate_spread,
    fit_line,
    median,
    median_ranks,
    quantile,
)
from hypothesis import given
from hypothesis import strategies as st

FLOAT = st.floats(-1e6, 1e6)


def test_quantiles() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5
    assert quantile([10, 20, 30, 40, 50], 0.9) == pytest.approx(46)
    with pytest.raises(ValueError, match="no values"):
        median([])


@given(st.lists(FLOAT, min_size=2, max_size=12))
def test_an_interval_holds_the_median_and_lies_within_the_values(values: list[float]) -> None:
    estimate = estimate_median(values)
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert min(values) <= estimate.low <= estimate.value <= estimate.high <= max(values)
    assert {estimate.low, estimate.high} <= set(values)
    assert estimate.repeats == len(values)


@pytest.mark.parametrize(
    ("repeats", "left_out", "coverage"),
    # Left out of each end, as tables of the sign test have it.
    [
        *((2, 0, 0.5), (3, 0, 0.75), (4, 0, 0.875), (5, 0, 0.9375), (6, 0, 0.96875), (8, 0, 0.9921875)),
        *((9, 1, 0.9609375), (10, 1, 0.978515625), (15, 3, 0.96484375), (20, 5, 0.95861053)),
    ],
)
def test_an_interval_covers_what_it_says(repeats: int, left_out: int, coverage: float) -> None:
    estimate = estimate_median([float(value) for value in reversed(range(repeats))])
    assert estimate is not None
    assert (estimate.low, estimate.high) == (left_out, repeats - 1 - left_out)
    assert estimate.coverage == pytest.approx(coverage)


@given(st.integers(6, 3000))
def test_an_interval_is_the_narrowest_that_covers_enough(repeats: int) -> None:
    left, coverage = median_ranks(repeats)
    assert coverage >= 0.95
    assert coverage - 2 * math.comb(repeats, left + 1) / 2**repeats < 0.95
    assert 2 * left < repeats


def test_one_repeat_has_no_interval_and_none_no_figure() -> None:
    assert estimate_median([7]) == Estimate(7, None, None, 1)
    assert estimate_median([]) is None
    assert estimate_spread([[], []]) is None


def test_ratios_are_of_the_same_repeat() -> None:
    # The second repeat was ten times slower for both: pooled, that would hide that one takes half of the other.
    estimate = estimate_ratio({0: 1.0, 1: 10.0, 2: 1.1}, {0: 2.0, 1: 20.0, 2: 2.2, 3: 5.0})
    assert estimate is not None
    assert estimate.value == pytest.approx(0.5)
    assert (estimate.low, estimate.high) == (pytest.approx(0.5), pytest.approx(0.5))
    assert estimate.repeats == 3
    assert estimate_ratio({0: 1.0}, {1: 1.0}) is None
    assert estimate_ratio({0: 1.0}, {0: 0.0}) is None


def test_turns_of_one_repeat_are_not_taken_for_independent() -> None:
    # Two repeats that differ by 10: a thousand turns each say nothing about a third one.
    spread = estimate_spread([[0.0] * 1000, [10.0] * 1000])
    assert spread is not None
    assert spread.median == Estimate(5.0, 0.0, 10.0, 2)


def test_a_spread_is_over_all_turns() -> None:
    spread = estimate_spread([list(range(0, 101, 2)), list(range(1, 101, 2))])
    assert spread is not None
    assert (spread.median.value, spread.p90.value, spread.p99.value) == (50, 90, 99)
    single = estimate_spread([[1, 2, 3]])
    assert single is not None
    assert single.median == Estimate(2, None, None, 1)


@given(st.lists(st.lists(FLOAT, min_size=1, max_size=9), min_size=2, max_size=4))
def test_the_interval_of_a_quantile_is_that_of_draws_done_one_by_one(groups: list[list[float]]) -> None:
    spread = estimate_spread(groups)
    assert spread is not None
    rows = np.random.default_rng(SEED).integers(0, len(groups), size=(RESAMPLES, len(groups))).tolist()
    by_row: dict[tuple[int, ...], float] = {}
    for row in map(tuple, rows):
        if row not in by_row:
            by_row[row] = float(np.quantile([value for at in row for value in groups[at]], 0.9))
    expected = np.quantile([by_row[tuple(row)] for row in rows], [0.025, 0.975])
    assert (spread.p90.low, spread.p90.high) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert spread.p90.value == pytest.approx(np.quantile([value for group in groups for value in group], 0.9))


@given(st.floats(-100, 100), st.floats(-100, 100), st.integers(2, 5))
def test_a_line_is_found_again(slope: float, intercept: float, repeats: int) -> None:
    groups = [[(x, intercept + slope * x) for x in (1.0, 2.0, 30.0)] for _ in range(repeats)]
    line = fit_line(groups)
    assert line is not None
    assert line.slope.low is not None
    assert line.slope.high is not None
    assert line.slope.value == pytest.approx(slope, abs=1e-6)
    assert line.slope.low == pytest.approx(slope, abs=1e-6)
    assert line.slope.high == pytest.approx(slope, abs=1e-6)
    assert line.intercept == pytest.approx(intercept, abs=1e-4)


def test_least_squares_by_hand() -> None:
    # x 0 1 2, y 0 0 3: means 1 and 1, slope 3/2, intercept -1/2; squares left 1.5 of 6.
    line = fit_line([[(0, 0), (1, 0), (2, 3)]])
    assert line is not None
    assert line.slope == Estimate(pytest.approx(1.5), None, None, 1)  # type: ignore[arg-type]
    assert line.intercept == pytest.approx(-0.5)
    assert line.r2 == pytest.approx(0.75)


def test_repeats_with_other_slopes_make_the_interval() -> None:
    line = fit_line([[(0.0, 0.0), (10.0, 10.0)], [(0.0, 0.0), (10.0, 30.0)]])
    assert line is not None
    assert line.slope.value == pytest.approx(2)
    assert (line.slope.low, line.slope.high) == (pytest.approx(1), pytest.approx(3))


def test_no_line_through_one_place() -> None:
    assert fit_line([]) is None
    assert fit_line([[(5, 1), (5, 2)], [(5, 3)]]) is None


@given(st.lists(FLOAT, min_size=1))
def test_the_ecdf_reaches_one(values: list[float]) -> None:
    ordered, parts = ecdf(values)
    assert ordered == sorted(values)
    assert parts[-1] == 1
    assert all(part * len(values) == pytest.approx(at) for at, part in enumerate(parts, 1))
