"""Where a JSON value ends, found one character at a time."""

from __future__ import annotations

import enum

_CLOSERS = {"{": "}", "[": "]"}
_WHITESPACE = " \t\r\n"
_IN_STRING = '"\\'


class Step(enum.Enum):
    """What a character is to what is being read."""

    PART = enum.auto()  # a part of it; more may come
    LAST = enum.auto()  # its last character
    AFTER = enum.auto()  # no part of it: it had ended before (a number or a word, which have no closing character)
    BAD = enum.auto()  # no part of it, and what came before isn't all of it


class JsonValue:
    """Only strings and brackets are understood; what stands between them isn't checked.

    A "<" outside of a string is never JSON: there a model has broken off to write a mark.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._begun = self._quoted = self._escaped = False

    def feed(self, character: str) -> Step:
        if self._quoted:
            if character not in _IN_STRING and not self._escaped:  # nearly always
                return Step.PART
            return self._in_string(character)
        inside = bool(self._stack)
        if character in _WHITESPACE or character == ",":
            return Step.PART if inside else Step.AFTER if self._begun else Step.BAD
        if character in "}]":
            return self._close(character)
        if character == "<" and self._begun and not inside:
            return Step.AFTER
        if character == "<" or (not inside and (character == ":" or (self._begun and character in '"{['))):
            return Step.BAD
        self._begun = True
        if character == '"':
            self._quoted = True
        elif character in _CLOSERS:
            self._stack.append(_CLOSERS[character])
        return Step.PART

    def _in_string(self, character: str) -> Step:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._quoted = False
            return Step.PART if self._stack else Step.LAST
        return Step.PART

    def _close(self, character: str) -> Step:
        if not self._stack:
            return Step.AFTER if self._begun else Step.BAD
        if character != self._stack[-1]:
            return Step.BAD
        self._stack.pop()
        return Step.PART if self._stack else Step.LAST
