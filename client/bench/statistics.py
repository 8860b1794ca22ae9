"""Medians, quantiles, fits, and how sure they are.

Intervals are bootstrap intervals (Efron 1979, percentiles), with a fixed seed. What is drawn again is always whole
**repeats** of the experiment, never single turns: turns of one session share its connection, its server and the
machine's mood, and pooling them as if they were independent would make every interval too narrow. One repeat gives no
interval.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

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
    """A figure and its interval (95%), None where there is only one repeat."""

    value: float
    low: float | None
    high: float | None
    repeats: int


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
    """The median of one value a repeat. None without any."""
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    drawn = np.median(array[_draws(len(array), RESAMPLES)], axis=1)
    return _estimate(float(np.median(array)), drawn, len(array))


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
