"""``caesura:calculate``: arithmetic that a small model can't do in its head, with no network and no file.

Expressions are evaluated by simpleeval, which walks the syntax tree and knows nothing of imports, attributes or
assignments. What could still cost much, big powers and big integers, is bounded here.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Mapping
from typing import Any

from simpleeval import SimpleEval

MAX_EXPRESSION = 500
"""Characters."""
MAX_BITS = 4096
"""Of any integer on the way."""

CALCULATE: dict[str, Any] = {
    "type": "function",
    "name": "calculate",
    "description": "Evaluate an arithmetic expression exactly.",
    "parameters": {
        "type": "object",
        "properties": {
            "expression": {"type": "string", "description": "The expression, such as (3 + 4) * 5 or sqrt(2)."}
        },
        "required": ["expression"],
        "additionalProperties": False,
    },
    "strict": True,
}


async def calculate(arguments: Mapping[str, Any]) -> str:
    """The value of ``arguments["expression"]`` as text: integers exactly, other numbers to 12 digits.

    :raises ValueError: it is no arithmetic expression, or too large to evaluate.
    """
    expression = arguments.get("expression")
    if not isinstance(expression, str) or not expression.strip():
        raise ValueError("'expression' must be a string with an arithmetic expression.")
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"the expression is longer than {MAX_EXPRESSION} characters.")
    if ";" in expression or "\n" in expression.strip():
        raise ValueError("one expression at a time.")
    try:
        value = _evaluator().eval(expression.strip().replace("^", "**"))
        return _text(value)
    except ZeroDivisionError:
        raise ValueError("division by zero.") from None
    except (ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(f"can't be evaluated: {error}") from error
    except ValueError:
        raise
    except Exception as error:  # simpleeval raises a family of its own, plus whatever ast.parse does
        raise ValueError(f"not an arithmetic expression: {error}") from error


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("the expression's value is not a number.")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _bounded(function: Any) -> Any:
    def run(left: Any, right: Any) -> Any:
        return _check(function(_check(left), _check(right)))

    return run


def _check(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise ValueError("only numbers can be calculated with.")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError(f"an integer of more than {MAX_BITS} bits.")
    return value


def _power(base: Any, exponent: Any) -> Any:
    base, exponent = _check(base), _check(exponent)
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > 2 * MAX_BITS:
        raise ValueError(f"a power of more than {MAX_BITS} bits.")
    return _check(base**exponent)


def _evaluator() -> SimpleEval:
    return SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names={"pi": math.pi, "e": math.e})


_OPERATORS = {
    ast.Add: _bounded(operator.add),
    ast.Sub: _bounded(operator.sub),
    ast.Mult: _bounded(operator.mul),
    ast.Div: _bounded(operator.truediv),
    ast.FloorDiv: _bounded(operator.floordiv),
    ast.Mod: _bounded(operator.mod),
    ast.Pow: _power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}

_FUNCTIONS = {
    "abs": abs,
    "round": lambda value, digits=0: round(value, int(digits)),
    "sqrt": math.sqrt,
    "floor": math.floor,
    "ceil": math.ceil,
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "log": math.log,
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
}
