"""Distributions: text to object and back, quantiles by construction, and what is refused."""

from __future__ import annotations

import itertools
import random

import pytest
from caesura.client.bench.distributions import (
    NAMED,
    Discrete,
    Distribution,
    Empirical,
    InvalidDistribution,
    parse_distribution,
)
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.floats(1e-3, 1e6)
PARTS = st.floats(0, 1)


def _increasing(count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(VALUES, min_size=count, max_size=count).map(sorted)


@st.composite
def _empirical(draw: st.DrawFn) -> str:
    percents = sorted(draw(st.sets(st.integers(1, 99), min_size=2, max_size=5)))
    values = draw(_increasing(len(percents) + 2))
    names = [*([0] if draw(st.booleans()) else []), *percents, *([100] if draw(st.booleans()) else [])]
    first = 0 if names[0] == 0 else 1
    return "empirical:" + ",".join(
        f"p{name}={value!r}" for name, value in zip(names, values[first : first + len(names)], strict=True)
    )


TEXTS = st.one_of(
    VALUES.map(repr),
    _increasing(2).map(lambda pair: f"uniform:{pair[0]!r},{pair[1]!r}"),
    VALUES.map(lambda mean: f"exp:{mean!r}"),
    _increasing(2).map(lambda pair: f"lognormal:{pair[0]!r},{pair[1]!r}"),
    _empirical(),
    st.dictionaries(VALUES, VALUES, min_size=1, max_size=4).map(
        lambda weights: "discrete:" + ",".join(f"{value!r}={weight!r}" for value, weight in weights.items())
    ),
    st.sampled_from(sorted(NAMED)),
)
DISTRIBUTIONS = TEXTS.map(parse_distribution)


@given(DISTRIBUTIONS)
def test_the_text_form_means_the_same(distribution: Distribution) -> None:
    assert parse_distribution(str(distribution)) == distribution


@given(DISTRIBUTIONS, st.lists(PARTS, min_size=2).map(sorted))
def test_quantiles_rise_and_are_never_negative(distribution: Distribution, parts: list[float]) -> None:
    values = [distribution.quantile(part) for part in parts]
    assert values[0] >= 0
    # Two logarithms that differ in their last bit may come out the wrong way round.
    assert all(low <= high * (1 + 1e-9) for low, high in itertools.pairwise(values))


@given(DISTRIBUTIONS, st.integers())
def test_a_seed_gives_the_same_samples(distribution: Distribution, seed: int) -> None:
    def samples() -> list[float]:
        rng = random.Random(seed)
        return [distribution.sample(rng) for _ in range(5)]

    assert samples() == samples()


@given(DISTRIBUTIONS, st.integers(), st.integers(0, 5))
def test_a_sample_takes_one_random_number(distribution: Distribution, seed: int, minimum: int) -> None:
    rng, other = random.Random(seed), random.Random(seed)
    assert distribution.sample_int(rng, minimum) >= minimum
    other.random()
    assert rng.random() == other.random()


@pytest.mark.parametrize(
    ("text", "quantiles"),
    [
        ("0.3", {0: 0.3, 0.5: 0.3, 1: 0.3}),
        ("uniform:2,6", {0: 2, 0.25: 3, 1: 6}),
        ("exp:2", {0: 0, 0.5: 1.3862943611, 0.9: 4.6051701860}),
        ("lognormal:3,12", {0.1: 0.75, 0.5: 3, 0.9: 12}),
        ("empirical:p50=0.3,p90=13.6,p99=216", {0.5: 0.3, 0.9: 13.6, 0.99: 216}),
        ("empirical:p0=1,p50=2,p90=4,p100=5", {0: 1, 0.001: 1, 0.5: 2, 0.9: 4, 0.99: 5, 1: 5}),
        ("discrete:1=3,2=1", {0: 1, 0.7: 1, 0.8: 2, 1: 2}),
        ("tracelab-tool-time", {0.5: 0.3, 0.9: 13.6, 0.99: 216}),
        ("tracelab-tool-steps", {0.25: 4, 0.5: 15, 0.9: 135, 0.99: 1107}),
    ],
)
def test_quantiles_are_those_it_was_made_of(text: str, quantiles: dict[float, float]) -> None:
    distribution = parse_distribution(text)
    assert {part: distribution.quantile(part) for part in quantiles} == pytest.approx(quantiles, rel=1e-6)


def test_samples_have_the_quantiles() -> None:
    rng = random.Random(0)
    samples = sorted(NAMED["tracelab-tool-time"].sample(rng) for _ in range(20_000))
    assert samples[10_000] == pytest.approx(0.3, rel=0.1)
    assert samples[18_000] == pytest.approx(13.6, rel=0.1)


def test_the_published_figures_that_it_was_not_made_of() -> None:
    """61% of TraceLab's calls take under a second, 4% over a minute."""
    tool_time = NAMED["tracelab-tool-time"]
    shares = [part / 1000 for part in range(1001)]
    assert sum(tool_time.quantile(part) < 1 for part in shares) / 1001 == pytest.approx(0.61, abs=0.06)
    assert sum(tool_time.quantile(part) > 60 for part in shares) / 1001 == pytest.approx(0.04, abs=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a number"),
        ("soon", "is not a number"),
        ("-1", "is not a number from 0"),
        ("nan", "is not a number"),
        ("inf", "is not a number"),
        ("gauss:1,2", "there is no distribution 'gauss'"),
        ("uniform:1", "needs 2 numbers"),
        ("uniform:2,1", "the first number is the lower one"),
        ("exp:1,2", "needs 1 number,"),
        ("lognormal:0,1", "the median must be above 0"),
        ("lognormal:2,1", "the median must be above 0"),
        ("empirical:0.3,13.6", "is not of the form p90=VALUE"),
        ("empirical:p50=1", "at least two quantiles"),
        ("empirical:p0=1,p50=2,p100=3", "at least two quantiles"),
        ("empirical:p50=1,p50=2", "each quantile once"),
        ("empirical:p50=1,p101=2", "is not of the form"),
        ("empirical:p50=2,p90=1", "can't have a lower value"),
        ("empirical:p50=0,p90=1", "values above 0"),
        ("discrete:1=0", "not all weights 0"),
        ("discrete:1=1,1=2", "each value once"),
        ("discrete:1", "is not a number"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidDistribution) as caught:
        parse_distribution(text)
    assert message in str(caught.value)
    assert repr(text) in str(caught.value)


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        distribution = parse_distribution(text)
    except InvalidDistribution:
        return
    assert parse_distribution(str(distribution)) == distribution


def test_bounds_and_weights() -> None:
    assert Empirical(((50, 1), (90, 10)), high=5).quantile(0.95) == 5
    assert Discrete(((1, 1), (2, 1))).quantile(0.5) == 2
    assert parse_distribution("discrete:1=1,7=0") == Discrete(((1, 1),))
