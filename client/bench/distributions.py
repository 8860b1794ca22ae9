"""Distributions of times and lengths, as a command line names them.

=========================  ==============================================================================
``0.3``                    always the same
``uniform:A,B``            anything from A to B
``exp:MEAN``               exponential
``lognormal:P50,P90``      lognormal, by its median and the value that 90% stay below
``empirical:p50=A,p90=B``  through published quantiles, two at least: piecewise lognormal between and beyond
                           them (log of the value over the normal quantile), within ``p0`` and ``p100`` if given
``discrete:V=W,V=W``       values with their weights
``tracelab-tool-time``     a name of :data:`NAMED`: published figures
=========================  ==============================================================================

All of them draw by inverse transform: one random number a sample, so that a sequence depends on nothing but the seed.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()
_Z90 = _NORMAL.inv_cdf(0.9)
_EDGE = 1e-9
"""The normal quantile has no value at 0 and 1."""

MAX_VALUE = 1e9


class InvalidDistribution(ValueError):
    """The text names no distribution; the message says what is wrong with it."""


class Distribution(ABC):
    """Values are never negative. ``str`` gives text that :func:`parse_distribution` understands."""

    @abstractmethod
    def quantile(self, p: float) -> float:
        """The value that the part ``p`` (0 to 1) of all samples stays at or below."""

    def sample(self, rng: random.Random) -> float:
        return self.quantile(rng.random())

    def sample_int(self, rng: random.Random, minimum: int = 0, scale: float = 1.0) -> int:
        """A count: ``scale`` times a sample, rounded, ``minimum`` at least."""
        return max(minimum, round(self.sample(rng) * scale))


@dataclass(frozen=True)
class Constant(Distribution):
    value: float

    def quantile(self, p: float) -> float:
        return self.value

    def __str__(self) -> str:
        return _number(self.value)


@dataclass(frozen=True)
class Uniform(Distribution):
    low: float
    high: float

    def quantile(self, p: float) -> float:
        return self.low + (self.high - self.low) * p

    def __str__(self) -> str:
        return f"uniform:{_number(self.low)},{_number(self.high)}"


@dataclass(frozen=True)
class Exponential(Distribution):
    mean: float

    def quantile(self, p: float) -> float:
        return -self.mean * math.log1p(-min(p, 1 - _EDGE))

    def __str__(self) -> str:
        return f"exp:{_number(self.mean)}"


@dataclass(frozen=True)
class Lognormal(Distribution):
    p50: float
    p90: float

    def quantile(self, p: float) -> float:
        return _exp(math.log(self.p50) + _z(p) / _Z90 * math.log(self.p90 / self.p50))

    def __str__(self) -> str:
        return f"lognormal:{_number(self.p50)},{_number(self.p90)}"


@dataclass(frozen=True)
class Empirical(Distribution):
    """``points``: (percent, value), rising, at least two of them between 0 and 100. ``low`` and ``high`` bound it."""

    points: tuple[tuple[float, float], ...]
    low: float | None = None
    high: float | None = None

    def quantile(self, p: float) -> float:
        percents = [percent for percent, _ in self.points]
        right = min(max(bisect.bisect_left(percents, 100 * p), 1), len(percents) - 1)
        (percent_a, a), (percent_b, b) = self.points[right - 1 : right + 1]
        z_a, z_b = _z(percent_a / 100), _z(percent_b / 100)
        value = _exp(math.log(a) + (_z(p) - z_a) / (z_b - z_a) * math.log(b / a))
        return min(max(value, self.low or 0.0), MAX_VALUE if self.high is None else self.high)

    def __str__(self) -> str:
        ends = [(0.0, self.low), *self.points, (100.0, self.high)]
        return "empirical:" + ",".join(f"p{percent:g}={_number(value)}" for percent, value in ends if value is not None)


@dataclass(frozen=True)
class Discrete(Distribution):
    """``values``: (value, weight), values rising."""

    values: tuple[tuple[float, float], ...]

    def quantile(self, p: float) -> float:
        sums = list(itertools.accumulate(weight for _, weight in self.values))
        return self.values[min(bisect.bisect_right(sums, p * sums[-1]), len(sums) - 1)][0]

    def __str__(self) -> str:
        return "discrete:" + ",".join(f"{_number(value)}={_number(weight)}" for value, weight in self.values)


NAMED: dict[str, Distribution] = {
    "tracelab-tool-time": Empirical(((50, 0.3), (90, 13.6), (99, 216)), 0.001, 8 * 3600.0),
    "tracelab-tool-steps": Empirical(((25, 4), (50, 15), (90, 135), (99, 1107)), 1, 10_000),
}
"""TraceLab (arXiv 2606.30560): seconds of a tool call; turns with calls in a session. By construction its quantiles;
what lies between them fits, without having been fitted, what else is published: of the calls 66% take less than a
second (published: 61%) and 3.3% more than a minute (4%). The bounds are assumed."""


def parse_distribution(text: str) -> Distribution:
    """:raises InvalidDistribution: it is none of those above."""
    text = text.strip()
    if text in NAMED:
        return NAMED[text]
    kind, colon, parameters = text.partition(":")
    if not colon:
        return Constant(_value(text, text))
    parts = [part.strip() for part in parameters.split(",")]
    match kind:
        case "uniform":
            low, high = _values(parts, 2, text)
            if low > high:
                raise InvalidDistribution(f"{text!r}: the first number is the lower one")
            return Uniform(low, high)
        case "exp":
            return Exponential(*_values(parts, 1, text))
        case "lognormal":
            p50, p90 = _values(parts, 2, text)
            if not 0 < p50 <= p90:
                raise InvalidDistribution(f"{text!r}: the median must be above 0, and the p90 at least as high")
            return Lognormal(p50, p90)
        case "empirical":
            return _empirical(parts, text)
        case "discrete":
            return _discrete(parts, text)
    raise InvalidDistribution(
        f"{text!r}: there is no distribution {kind!r}; give a number, uniform:A,B, exp:MEAN, lognormal:P50,P90, "
        f"empirical:p50=A,p90=B, discrete:VALUE=WEIGHT,... or one of {', '.join(NAMED)}"
    )


def _empirical(parts: list[str], text: str) -> Distribution:
    points: dict[float, float] = {}
    for part in parts:
        name, _, value = part.partition("=")
        percent = _value(name.removeprefix("p"), text)
        if not name.startswith("p") or percent > 100 or percent in points:
            raise InvalidDistribution(f"{text!r}: {part!r} is not of the form p90=VALUE, each quantile once")
        points[percent] = _value(value, text)
    ordered = sorted(points.items())
    values = [value for _, value in ordered]
    if values != sorted(values):
        raise InvalidDistribution(f"{text!r}: a higher quantile can't have a lower value")
    inner = tuple((percent, value) for percent, value in ordered if 0 < percent < 100)
    if len(inner) < 2 or not inner[0][1] > 0:
        raise InvalidDistribution(
            f"{text!r}: at least two quantiles between p0 and p100 are needed, with values above 0"
        )
    return Empirical(inner, points.get(0), points.get(100))


def _discrete(parts: list[str], text: str) -> Distribution:
    pairs = [
        (_value(value, text), _value(weight, text)) for value, _, weight in (part.partition("=") for part in parts)
    ]
    if len({value for value, _ in pairs}) < len(pairs) or not sum(weight for _, weight in pairs):
        raise InvalidDistribution(f"{text!r}: give each value once, as VALUE=WEIGHT, and not all weights 0")
    return Discrete(tuple(sorted(pair for pair in pairs if pair[1])))


def _values(parts: list[str], count: int, text: str) -> list[float]:
    if len(parts) != count:
        raise InvalidDistribution(f"{text!r} needs {count} number{'s' * (count > 1)}, separated by commas")
    return [_value(part, text) for part in parts]


def _value(part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_VALUE:
        raise InvalidDistribution(f"{text!r}: {part!r} is not a number from 0 to {MAX_VALUE:g}")
    return value


def _z(p: float) -> float:
    return _NORMAL.inv_cdf(min(max(p, _EDGE), 1 - _EDGE))


def _exp(logarithm: float) -> float:
    return min(math.exp(min(logarithm, 700.0)), MAX_VALUE)


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) else repr(value)
