"""Bounds of numbers in a schema, so that what llguidance writes within them is read as within them.

- Integers are kept to +-9e18, so that they fit 64 bits. Bounds of other numbers must be within +-1e15, which is also
  where the other side of a one-sided bound goes. llguidance writes no exponents where there are bounds, and without
  these it would allow more digits than Python's `json` reads.
- An exclusive bound of a number that isn't an integer moves inwards, by 1e-12 or to the next double: 0.0999... with
  enough nines is less than 0.1, and reads as 0.1.
- `multipleOf` is taken for integers alone: validators divide doubles, to whom 0.3 is no multiple of 0.1.
"""

from __future__ import annotations

import math
from typing import Any

from .errors import InvalidGrammar

MAX_INTEGER = 9 * 10**18
MAX_NUMBER = 1e15
MAX_MULTIPLE = 10**6
LEAST_VALUE = 1e-9
LEAST_STEP = 1e-12


def check_bound(keyword: str, value: object) -> int | float:
    """The value of `minimum` and the like. Raises InvalidGrammar."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidGrammar(f"{keyword} must be a number")
    return value


def check_number_value(value: object) -> int | float:
    """A number in `const` or `enum`, which llguidance writes without an exponent. Raises InvalidGrammar."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        raise InvalidGrammar("const and enum may hold JSON values alone, and numbers between -1e15 and 1e15")
    if value and abs(value) < LEAST_VALUE:
        raise InvalidGrammar(f"const and enum may not hold numbers closer to 0 than {LEAST_VALUE:g}")
    return value


def rewrite_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """One schema with its bounds rewritten, in place. Raises InvalidGrammar."""
    types = schema.get("type", ["integer", "number"])
    if isinstance(types, str):
        types = [types]
    bounds = [schema.pop(key, None) for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")]
    if "number" not in types:
        if "integer" in types:
            _rewrite_integer(schema, *bounds)
    elif any(bound is not None for bound in bounds):
        _rewrite_number(schema, *bounds)
    if "multipleOf" in schema:
        schema["multipleOf"] = _check_multiple(schema["multipleOf"], types)
    return schema


def _rewrite_integer(
    schema: dict[str, Any], low: float | None, above: float | None, high: float | None, below: float | None
) -> None:
    lows = [-MAX_INTEGER]
    if low is not None:
        lows.append(math.ceil(low))
    if above is not None:
        lows.append(math.floor(above) + 1)
    highs = [MAX_INTEGER]
    if high is not None:
        highs.append(math.floor(high))
    if below is not None:
        highs.append(math.ceil(below) - 1)
    least, most = max(lows), min(highs)
    if least > most:
        raise InvalidGrammar("no integer is within the bounds")
    # llguidance reads bounds as doubles: one that isn't exactly one moves inwards.
    schema["minimum"], schema["maximum"] = -_rounded_down(-least), _rounded_down(most)


def _rewrite_number(
    schema: dict[str, Any], low: float | None, above: float | None, high: float | None, below: float | None
) -> None:
    for bound in (low, above, high, below):
        if bound is not None and abs(bound) > MAX_NUMBER:
            raise InvalidGrammar("the bounds of a number must be between -1e15 and 1e15")
    lows, highs = [-MAX_NUMBER], [MAX_NUMBER]
    if low is not None:
        lows.append(low)
    if above is not None:
        lows.append(above + _step(above))
    if high is not None:
        highs.append(high)
    if below is not None:
        highs.append(below - _step(below))
    schema["minimum"], schema["maximum"] = max(lows), min(highs)


def _step(bound: float) -> float:
    return max(math.ulp(bound), LEAST_STEP)


def _rounded_down(value: int) -> int:
    rounded = float(value)
    while rounded > value:
        rounded = math.nextafter(rounded, -math.inf)
    return int(rounded)


def _check_multiple(value: float, types: list[str]) -> int:
    if "integer" not in types or "number" in types:
        raise InvalidGrammar("multipleOf is supported for integers alone")
    if value != int(value) or not 1 <= value <= MAX_MULTIPLE:
        raise InvalidGrammar(f"multipleOf must be a whole number between 1 and {MAX_MULTIPLE}")
    return int(value)
