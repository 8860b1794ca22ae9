"""A tool call written as one JSON object, `{"name": ..., "arguments": {...}}`, read as it comes."""

from __future__ import annotations

from collections.abc import Callable

from ..json_string import Unescape, decode_string
from .json_value import JsonValue, Step
from .turn_parser import DeltaWriter

_WHITESPACE = " \t\r\n"


class CallObject:
    """Feed it the object from its "{" on. Tolerates whitespace, any order of the keys, and further keys.

    The call begins as soon as its name is known; with `needs_arguments` only when its arguments begin too, so
    that an object which just has a "name" is none. Arguments may be an object, or a JSON string that holds one: of a
    string, its content is passed on. A call without arguments gets `{}`, the only text here that wasn't sampled.

    prefix: what stood before the object and is text if this is no call.
    keys:   the names that the arguments go by.
    """

    def __init__(
        self,
        out: DeltaWriter,
        *,
        prefix: str = "",
        keys: tuple[str, ...] = ("arguments",),
        needs_arguments: bool = False,
    ) -> None:
        self._out = out
        self._raw = [prefix]  # what a call that isn't one has to give back
        self._keys = keys
        self._needs_arguments = needs_arguments
        self._state: Callable[[str], Step] = self._before_object
        self._name = self._id = self._key = ""
        self._begun = self._has_arguments = self._passes = False
        self._waiting: list[str] = []  # arguments that came before the call could begin
        self._string: list[str] = []
        self._escaped = False

    def feed(self, character: str) -> Step:
        """PART, LAST (the call is finished then), or BAD: `give_up` has to follow."""
        step = self._state(character)
        if step is Step.PART and not self._begun:
            self._raw.append(character)
        return step

    def give_up(self) -> str:
        """This is no call, or not any more. One that has begun is finished as incomplete; otherwise what was read so
        far is returned, and is text."""
        if self._begun:
            self._out.end_call(False, self._id)
            return ""
        return "".join(self._raw)

    def _before_object(self, character: str) -> Step:
        if character == "{":
            self._state = self._before_key
            return Step.PART
        return Step.PART if character in _WHITESPACE else Step.BAD

    def _before_key(self, character: str) -> Step:
        if character == '"':
            self._string.clear()
            self._state = self._in_key
            return Step.PART
        if character == "}":
            return self._end()
        return Step.PART if character in _WHITESPACE else Step.BAD

    def _in_key(self, character: str) -> Step:
        if self._closes_string(character):
            self._key = "".join(self._string)
            self._state = self._before_colon
        return Step.PART

    def _before_colon(self, character: str) -> Step:
        if character == ":":
            self._state = self._before_value
            return Step.PART
        return Step.PART if character in _WHITESPACE else Step.BAD

    def _before_value(self, character: str) -> Step:
        if character in _WHITESPACE:
            return Step.PART
        self._string.clear()
        if self._key == "name" and not self._name:
            if character != '"':
                return Step.BAD
            self._state = self._in_name
            return Step.PART
        if self._key == "id" and character == '"':
            self._state = self._in_id
            return Step.PART
        self._passes = self._key in self._keys and not self._has_arguments
        if self._passes:
            self._has_arguments = True
            self._begin()
            if character == '"':
                self._unescape = Unescape()
                self._state = self._in_quoted_arguments
                return Step.PART
        self._value = JsonValue()
        self._state = self._in_value
        return self._in_value(character)

    def _in_name(self, character: str) -> Step:
        if self._closes_string(character):
            self._name = decode_string("".join(self._string))
            if not self._name:
                return Step.BAD
            self._state = self._after_value
            self._begin()
        return Step.PART

    def _in_id(self, character: str) -> Step:
        if self._closes_string(character):
            self._id = decode_string("".join(self._string))
            self._state = self._after_value
        return Step.PART

    def _in_quoted_arguments(self, character: str) -> Step:
        if character == '"' and not self._unescape.pending:
            self._pass(self._unescape.finish())
            self._state = self._after_value
        else:
            self._pass(self._unescape.feed(character))
        return Step.PART

    def _in_value(self, character: str) -> Step:
        step = self._value.feed(character)
        if step is Step.AFTER:
            self._state = self._after_value
            return self._after_value(character)
        if step is Step.BAD:
            return step
        if self._passes:
            if self._begun:
                self._out.arguments(character)
            else:
                self._waiting.append(character)
        if step is Step.LAST:
            self._state = self._after_value
        return Step.PART

    def _after_value(self, character: str) -> Step:
        if character == ",":
            self._state = self._before_key
            return Step.PART
        if character == "}":
            return self._end()
        return Step.PART if character in _WHITESPACE else Step.BAD

    def _closes_string(self, character: str) -> bool:
        """Collects a string's raw content; True at its closing quote."""
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            return True
        self._string.append(character)
        return False

    def _begin(self) -> None:
        if not self._begun and self._name and (self._has_arguments or not self._needs_arguments):
            self._begun = True
            self._out.begin_call(self._name)
            self._out.arguments("".join(self._waiting))

    def _pass(self, text: str) -> None:
        if self._begun:
            self._out.arguments(text)
        else:
            self._waiting.append(text)

    def _end(self) -> Step:
        if not self._begun:
            return Step.BAD
        if not self._has_arguments:
            self._out.arguments("{}")
        self._out.end_call(True, self._id)
        return Step.LAST
