"""Medians, quantiles, fits, and how sure they are.

The interval of a median of repeats is between two of their values, as far from either end (Thompson 1936): it holds
the true median with a probability that needs no assumption about how the values are distributed. With fewer than six
repeats that is below 95%, even from the smallest value to the largest, and the estimate says how much it is. A
percentile bootstrap would give the same two values there, and call them 95%.

Spreads and slopes, whose values are not one a repeat, have bootstrap intervals (Efron 1979, percentiles), with a fixed
seed: too narrow where repeats are few. What is drawn again is always whole **repeats** of the experiment, never single
turns: turns of one session share its connection, its server and the machine's mood, and pooling them as if they were
independent would make every interval narrower still. One repeat gives no interval.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
SEED = 20260422
PARTS = (0.5, 0.9, 0.99)
LARGEST_TABLE = 1_000_000
"""Of draws times values, at a time: 8 MB."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval, None where there is only one repeat. ``coverage``: the probability with which the
    interval of a median holds it; None where that is not known: without an interval, and for a bootstrap one."""

    value: float
    low: float | None
    high: float | None
    repeats: int
    coverage: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure of single turns is spread over all turns of all repeats."""

    median: Estimate
    p90: Estimate
    p99: Estimate


@dataclass(frozen=True, slots=True)
class Line:
    """``y = intercept + slope * x``, least squares. ``r2``: the part of y's variance that it explains."""

    slope: Estimate
    intercept: float
    r2: float


def quantile(values: Sequence[float], part: float) -> float:
    """Linear between the two nearest values. ValueError without any."""
    if not values:
        raise ValueError("no values")
    return float(np.quantile(np.asarray(values, dtype=np.float64), part))


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def estimate_median(values: Sequence[float]) -> Estimate | None:
    """The median of one value a repeat, with its order-statistic interval. None without any."""
    if not values:
        return None
    ordered = sorted(values)
    if len(ordered) < 2:
        return Estimate(median(ordered), None, None, 1)
    at, coverage = median_ranks(len(ordered))
    return Estimate(median(ordered), float(ordered[at]), float(ordered[-1 - at]), len(ordered), coverage)


def median_ranks(repeats: int) -> tuple[int, float]:
    """How many of the ordered values the interval of a median leaves out at either end, the most with which it still
    covers 95%, and what it covers. None are left out, and less may be covered, with fewer than six values."""
    # Of all ways in which values can lie below and above the median: those that leave it outside.
    left, outside, ways = 0, 2, 2**repeats
    while True:
        more = outside + 2 * comb(repeats, left + 1)
        if 1 - more / ways < CONFIDENCE:
            return left, 1 - outside / ways
        left, outside = left + 1, more


def estimate_ratio(above: Mapping[Hashable, float], below: Mapping[Hashable, float]) -> Estimate | None:
    """The median of the ratios of values of the same repeat: what slowed a whole repeat down slowed both. None if no
    repeat has both, or only with 0 below."""
    return estimate_median([above[repeat] / below[repeat] for repeat in above if below.get(repeat)])


def estimate_spread(groups: Sequence[Sequence[float]]) -> Spread | None:
    """Median, 90th and 99th percentile of all turns' values, given a group a repeat. None without values."""
    arrays = [np.asarray(group, dtype=np.float64) for group in groups if len(group)]
    if not arrays:
        return None
    values = np.concatenate(arrays)
    order = np.argsort(values, kind="stable")
    repeat_of = np.repeat(np.arange(len(arrays)), [len(array) for array in arrays])[order]
    ordered = values[order]
    draws = _draws(len(arrays), RESAMPLES)
    times = np.stack([(draws == repeat).sum(axis=1) for repeat in range(len(arrays))], axis=1)
    rows = max(LARGEST_TABLE // len(ordered), 1)
    drawn = np.concatenate(
        [_quantiles(ordered, repeat_of, times[at : at + rows], PARTS) for at in range(0, RESAMPLES, rows)]
    )
    found = np.quantile(ordered, PARTS)
    return Spread(*(_estimate(float(found[at]), drawn[:, at], len(arrays)) for at in range(len(PARTS))))


def fit_line(groups: Sequence[Sequence[tuple[float, float]]]) -> Line | None:
    """A line through all points (x, y), given a group a repeat. None if all points have the same x."""
    arrays = [np.asarray(group, dtype=np.float64) for group in groups if len(group)]
    if not arrays:
        return None
    points = np.concatenate(arrays)
    centre = points[:, 0].mean()
    # Sums from the centre: sums of squares of numbers that are large and close lose their last digits.
    sums = np.stack([_sums(array[:, 0] - centre, array[:, 1]) for array in arrays])
    total = sums.sum(axis=0)
    slope = float(_slopes(total[None])[0])
    if not np.isfinite(slope):
        return None
    drawn = _slopes(sums[_draws(len(arrays), RESAMPLES)].sum(axis=1))
    intercept = float((total[2] - slope * total[1]) / total[0] - slope * centre)
    left = points[:, 1] - intercept - slope * points[:, 0]
    spread = points[:, 1] - points[:, 1].mean()
    variance = float(spread @ spread)
    r2 = 1.0 if variance == 0 else 1 - float(left @ left) / variance
    return Line(_estimate(slope, drawn[np.isfinite(drawn)], len(arrays)), intercept, r2)


def ecdf(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """(values in order, part of all values that is not greater)."""
    ordered = sorted(values)
    return ordered, [(at + 1) / len(ordered) for at in range(len(ordered))]


def _estimate(value: float, drawn: Floats, repeats: int) -> Estimate:
    if repeats < 2:
        return Estimate(value, None, None, repeats)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), repeats)


def _draws(size: int, count: int) -> NDArray[np.intp]:
    """``count`` rows of ``size`` indices, with replacement; the same each time."""
    return np.random.default_rng(SEED).integers(0, size, size=(count, size), dtype=np.intp)


def _quantiles(ordered: Floats, repeat_of: NDArray[np.intp], times: NDArray[np.intp], parts: Sequence[float]) -> Floats:
    """By draw and part: of the values of all repeats, each as many ``times`` as its repeat was drawn. The same as
    ``np.quantile`` of what was drawn, which would be sorted again for each draw."""
    until = np.cumsum(times[:, repeat_of], axis=1)
    columns = []
    for part in parts:
        position = part * (until[:, -1] - 1)
        below = np.floor(position)
        low = ordered[(until > below[:, None]).argmax(axis=1)]
        high = ordered[(until > np.ceil(position)[:, None]).argmax(axis=1)]
        columns.append(low + (high - low) * (position - below))
    return np.stack(columns, axis=1)


def _sums(x: Floats, y: Floats) -> Floats:
    return np.asarray([len(x), x.sum(), y.sum(), (x * x).sum(), (x * y).sum()])


def _slopes(sums: Floats) -> Floats:
    n, x, y, xx, xy = sums.T
    below = n * xx - x * x
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below > 1e-9 * np.maximum(n * xx, 1e-300), (n * xy - x * y) / below, np.nan))
