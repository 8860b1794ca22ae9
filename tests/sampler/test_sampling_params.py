"""SamplingParams lets nothing through that the engine can't use."""

from __future__ import annotations

import math
from typing import Any

import pytest
from caesura.sampler.engine import SamplingParams
from caesura.sampler.errors import InvalidSamplingParams
from hypothesis import given
from hypothesis import strategies as st

BAD: list[tuple[str, Any]] = [
    ("temperature", math.nan),
    ("temperature", math.inf),
    ("temperature", -0.1),
    ("temperature", 101),
    ("temperature", True),
    ("temperature", "1"),
    ("temperature", None),
    ("top_k", -1),
    ("top_k", 1.5),
    ("top_k", 2**31),
    ("top_p", 1.1),
    ("top_p", -1e-9),
    ("top_p", math.nan),
    ("min_p", math.inf),
    ("min_p", 2),
    ("seed", -1),
    ("seed", 2**63),
    ("seed", 1.0),
    ("max_tokens", 0),
    ("max_tokens", -5),
    ("max_tokens", True),
    ("stop_tokens", [1]),
    ("stop_tokens", frozenset({-1})),
    ("stop_tokens", frozenset({"a"})),
    ("logprobs", 1),
    ("presence_penalty", 2.1),
    ("presence_penalty", math.nan),
    ("presence_penalty", True),
    ("frequency_penalty", -2.1),
    ("frequency_penalty", -math.inf),
    ("frequency_penalty", None),
    ("top_logprobs", 21),
    ("top_logprobs", -1),
    ("top_logprobs", True),
    ("stop", "stop"),
    ("stop", ["stop"]),
    ("stop", None),
    ("stop", ("a", "")),
    ("stop", ("a", 1)),
    ("stop", ("\ud800",)),
    ("stop", ("a",) * 17),
    ("stop", ("é" * 1025, "é" * 1024)),
    ("grammar", ""),
    ("grammar", b"start: /a/"),
    ("grammar", False),
]


@pytest.mark.parametrize(("field", "value"), BAD, ids=[f"{field}={value!r:.40}" for field, value in BAD])
def test_a_bad_value_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidSamplingParams) as caught:
        SamplingParams(**{field: value})
    assert caught.value.param == field
    assert str(caught.value).startswith(f"{field}: ")


@given(st.floats(), st.floats(), st.floats(), st.integers())
def test_what_is_accepted_is_finite_and_in_range(temperature: float, top_p: float, min_p: float, top_k: int) -> None:
    try:
        params = SamplingParams(temperature=temperature, top_p=top_p, min_p=min_p, top_k=top_k)
    except InvalidSamplingParams as error:
        named = error.param
        assert named in ("temperature", "top_p", "min_p", "top_k")
    else:
        assert 0 <= params.temperature <= 100
        assert 0 <= params.top_p <= 1
        assert 0 <= params.min_p <= 1
        assert 0 <= params.top_k < 2**31


def test_a_huge_stop_list_is_refused_with_a_short_message() -> None:
    for stop in (("x" * 2**20,), tuple("x" * 2**16 for _ in range(16)), tuple(str(number) for number in range(2**18))):
        with pytest.raises(InvalidSamplingParams) as caught:
            SamplingParams(stop=stop)
        assert caught.value.param == "stop"
        assert len(str(caught.value)) < 100


def test_the_largest_stop_list() -> None:
    assert SamplingParams(stop=("é" * 128,) * 16).stop


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.5},
        {"logprobs": True},
        {"top_logprobs": 1},
        {"stop": ("a",)},
        {"grammar": "start: /a/"},
        {"presence_penalty": 0.1},
        {"frequency_penalty": -0.1},
    ],
    ids=str,
)
def test_whatever_needs_more_than_the_argmax_says_so(changed: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"temperature": 0}
    assert SamplingParams(**plain, stop_tokens=frozenset({1}), max_tokens=3, top_p=0.5).is_argmax
    assert not SamplingParams(**(plain | changed)).is_argmax


def test_greedy_is_temperature_zero_or_one_candidate() -> None:
    assert SamplingParams(temperature=0).greedy
    assert SamplingParams(temperature=1, top_k=1).greedy
    assert not SamplingParams().greedy
