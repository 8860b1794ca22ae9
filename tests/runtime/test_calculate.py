"""The hosted calculator."""

from __future__ import annotations

import asyncio

import pytest
from caesura.runtime.hosted.calculate import calculate
from hypothesis import example, given
from hypothesis import strategies as st


def value(expression: object) -> str:
    return asyncio.run(calculate({"expression": expression}))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("1 / 3", "0.333333333333"),
        ("6 / 3", "2"),
        ("7 // 2", "3"),
        ("7 % 4", "3"),
        ("2 ^ 10", "1024"),
        ("-2 ** 2", "-4"),
        ("0.1 + 0.2", "0.3"),
        ("sqrt(16) + max(1, 2)", "6"),
        ("123456789012345678901234567890 * 2", "246913578024691357802469135780"),
    ],
)
def test_values(expression: str, expected: str) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "must be a string"),
        (3, "must be a string"),
        ("1 / 0", "division by zero"),
        ("9 ** 9 ** 9", "power"),
        ("10 ** 999 * 10 ** 999", "bits"),
        ("'a' * 1000", "only numbers"),
        ("__import__('os').system('true')", "not an arithmetic expression"),
        ("(1).__class__", "not an arithmetic expression"),
        ("1 if", "not an arithmetic expression"),
        ("(-1) ** 0.5", "only numbers"),
        ("1 < 2", "not"),
        ("(" * 400, "not an arithmetic expression"),
        ("1 +" * 300, "longer than"),
        ("1; 2", "one expression"),
        ("1\n2", "one expression"),
        ("sqrt()", "not an arithmetic expression"),
    ],
)
def test_what_it_refuses(expression: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        value(expression)


@given(st.text(max_size=30) | st.text(alphabet="0123456789.+-*/%^()e, ", max_size=30))
@example("9**9**9")
@example("min(1)")
@example("round(1, 1e999)")
def test_any_text_gives_a_number_or_a_value_error(expression: str) -> None:
    try:
        result = value(expression)
    except ValueError:
        return
    float(result)
