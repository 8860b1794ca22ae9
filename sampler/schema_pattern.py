"""Regular expressions of JSON schemas that mean the same to llguidance as to Python's `re`, which validators use.

What the two read differently is refused: constrained decoding promises that the result validates.
"""

from __future__ import annotations

import re
import warnings

from .errors import InvalidGrammar

MAX_PATTERN_LENGTH = 1000

# \d and \w are ASCII in llguidance and Unicode in `re`, so llguidance allows less; \D and \W would allow more. \s and
# \S agree on everything that a JSON string can hold here.
_ESCAPES = frozenset("dwsSnrtfv")
_NEGATABLE = frozenset("sSnrtfv")
_TWICE_IN_CLASS = ("&&", "--", "~~", "||")  # set operations to one of the two
_HEX_DIGITS = {"x": 2, "u": 4}


def check_pattern(pattern: object) -> str:
    """The pattern. Raises InvalidGrammar if it isn't one, or could match something else for a validator."""
    if not isinstance(pattern, str):
        raise InvalidGrammar("a pattern must be a string")
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidGrammar(f"a pattern of {len(pattern)} characters, {MAX_PATTERN_LENGTH} at most are taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise InvalidGrammar(f"the pattern {_short(pattern)} is no regular expression: {error}") from None
    position = 0
    while position < len(pattern):
        check = _check_class if pattern[position] == "[" else _check_outside
        position = check(pattern, position)
    return pattern


def _check_outside(pattern: str, position: int) -> int:
    """Check what begins here, outside of a class; returns where it ends."""
    if pattern[position] == "\\":
        return _check_escape(pattern, position, _ESCAPES)
    if pattern.startswith("(?", position) and not pattern.startswith("(?:", position):
        raise _unsupported(pattern, pattern[position : position + 3])
    if pattern.startswith("{,", position):
        raise _unsupported(pattern, "{,")
    if pattern[position] in "*+?}" and pattern.startswith("+", position + 1):
        raise _unsupported(pattern, "a possessive quantifier")
    return position + 1


def _check_class(pattern: str, position: int) -> int:
    negated = pattern.startswith("^", position + 1)
    position += 2 if negated else 1
    first = position
    while pattern[position] != "]" or position == first:
        if pattern[position] == "\\":
            position = _check_escape(pattern, position, _NEGATABLE if negated else _ESCAPES)
            continue
        if pattern[position] == "[":
            raise _unsupported(pattern, "[ in a class, unless it is escaped")
        for operator in _TWICE_IN_CLASS:
            if pattern.startswith(operator, position):
                raise _unsupported(pattern, f"{operator} in a class")
        position += 1
    return position + 1


def _check_escape(pattern: str, position: int, letters: frozenset[str]) -> int:
    escaped = pattern[position + 1]  # there is one: `re` compiled the pattern
    if escaped in _HEX_DIGITS:
        return position + 2 + _HEX_DIGITS[escaped]
    # \< and \> are the ends of a word to llguidance.
    if escaped in letters or (escaped.isascii() and not escaped.isalnum() and escaped not in "<>"):
        return position + 2
    raise _unsupported(pattern, f"\\{escaped}")


def _unsupported(pattern: str, what: str) -> InvalidGrammar:
    return InvalidGrammar(f"the pattern {_short(pattern)} can't be used for constrained decoding: {what}")


def _short(pattern: str) -> str:
    return f"`{pattern[:60]}`"
