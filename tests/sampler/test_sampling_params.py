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
]


@pytest.mark.parametrize(("field", "value"), BAD, ids=[f"{field}={value!r}" for field, value in BAD])
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


def test_greedy_is_temperature_zero_or_one_candidate() -> None:
    assert SamplingParams(temperature=0).greedy
    assert SamplingParams(temperature=1, top_k=1).greedy
    assert not SamplingParams().greedy
