"""Text and tool calls out of the model's stream, as they come.

`HermesParser` reads what Hermes and Qwen write, `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`. It is an
explicit state machine: one method a state, one character at a time. Those of other families are further modules that
implement `ToolCallParser`.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from .json_string import Unescape, decode_string
from .tool_call_deltas import ArgumentsDelta, CallFinished, CallStarted, Delta, TextDelta, ToolCallParser, merged

__all__ = ["ArgumentsDelta", "CallFinished", "CallStarted", "Delta", "HermesParser", "TextDelta", "ToolCallParser"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_WHITESPACE = " \t\r\n"
_CLOSERS = {"{": "}", "[": "]"}


class HermesParser:
    """`<tool_call>` and JSON. Tolerates whitespace, either order of the keys, and further keys.

    - Whitespace before `<tool_call>` and between calls is not text, nor are brackets too many at the end of a call.
    - Arguments may be an object or a JSON string that holds one; of a string, its content is what is passed on.
    - A call without arguments gets `{}`, the only text here that wasn't sampled.
    - What turns out to be no call before its name is known becomes text. After the name, the call is finished as
      incomplete, and the rest up to `</tool_call>` is dropped.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._name: str | None
        self._arguments: str  # sent so far
        self._unsent: str  # waits for the name, or for the end of this feed
        self._state: Callable[[str], None] = self._in_text
        self._deltas: list[Delta] = []
        self._held = ""  # whitespace and the beginning of a tag, which may turn out to be no text
        self._after_call = False
        self._calls = 0
        self._begin_call()

    def feed(self, data: bytes) -> list[Delta]:
        return self._feed(self._decoder.decode(data))

    def finish(self) -> list[Delta]:
        deltas = self._feed(self._decoder.decode(b"", final=True))
        if self._state == self._in_text:
            if not self._after_call or self._held.strip():
                self._text(self._held)
        elif self._state not in (self._after_object, self._in_rest):
            self._malformed("")
        self._held = ""
        self._state = self._in_text
        deltas += self._take()
        return merged(deltas)

    def _feed(self, text: str) -> list[Delta]:
        for character in text:
            self._state(character)
        return self._take()

    def _take(self) -> list[Delta]:
        if self._name is not None and self._unsent:
            self._arguments += self._unsent
            self._deltas.append(ArgumentsDelta(self._calls, self._unsent))
            self._unsent = ""
        deltas, self._deltas = self._deltas, []
        return merged(deltas)

    def _text(self, text: str) -> None:
        if text:
            self._after_call = False
            self._deltas.append(TextDelta(text))

    # Outside of calls.

    def _in_text(self, character: str) -> None:
        held = self._held + character
        space = len(held) - len(held.lstrip())
        if held[space:] == _OPEN:
            self._open(held)
        elif _OPEN.startswith(held[space:]):
            self._held = held
        else:
            # Only this character can begin a tag or a run of whitespace: both tags begin with their only "<".
            again = character == "<" or character.isspace()
            self._text(held[:-1] if again else held)
            self._held = character if again else ""

    def _after_object(self, character: str) -> None:
        """After the call's last brace: its end tag should follow."""
        held = self._held + character
        if held.lstrip() == _CLOSE:
            self._held = ""
            self._state = self._in_text
        elif _CLOSE.startswith(held.lstrip()):
            self._held = held
        elif character in "}]" and not self._held.strip():
            pass  # small models close one bracket too many
        else:  # the end tag was left out
            self._held = ""
            self._state = self._in_text
            for again in held:
                self._state(again)

    def _in_rest(self, character: str) -> None:
        """After a malformed call: drop everything up to its end tag, or the next call."""
        self._held = (self._held + character)[-len(_CLOSE) :]
        if self._held == _CLOSE:
            self._held = ""
            self._state = self._in_text
        elif self._held.endswith(_OPEN):
            self._open(_OPEN)

    # Inside a call. `_raw` keeps what a call that isn't one has to give back.

    def _open(self, raw: str) -> None:
        self._raw = raw
        self._held = ""
        self._begin_call()
        self._state = self._before_object

    def _begin_call(self) -> None:
        self._name = None
        self._arguments = self._unsent = ""
        self._has_arguments = False
        self._key = ""
        self._string = ""
        self._stack = ""
        self._quoted = self._escaped = False

    def _keep(self, character: str) -> None:
        if self._name is None:
            self._raw += character

    def _before_object(self, character: str) -> None:
        if character == "{":
            self._keep(character)
            self._state = self._before_key
        elif character in _WHITESPACE:
            self._keep(character)
        else:
            self._malformed(character)

    def _before_key(self, character: str) -> None:
        if character == '"':
            self._string = ""
            self._state = self._in_key
        elif character == "}":
            self._end_object(character)
            return
        elif character not in _WHITESPACE:
            self._malformed(character)
            return
        self._keep(character)

    def _in_key(self, character: str) -> None:
        self._keep(character)
        if self._in_string(character):
            self._key = self._string
            self._state = self._before_colon

    def _before_colon(self, character: str) -> None:
        if character == ":":
            self._keep(character)
            self._state = self._before_value
        elif character in _WHITESPACE:
            self._keep(character)
        else:
            self._malformed(character)

    def _before_value(self, character: str) -> None:
        if character in _WHITESPACE:
            self._keep(character)
            return
        if character in ",:}]":
            self._malformed(character)
            return
        is_name = self._key == "name" and self._name is None
        is_arguments = self._key == "arguments" and not self._has_arguments
        if is_name and character != '"':
            self._malformed(character)
            return
        self._keep(character)
        self._string = ""
        self._has_arguments = self._has_arguments or is_arguments
        if is_name:
            self._state = self._in_name
        elif is_arguments and character == '"':
            self._unescape = Unescape()
            self._state = self._in_quoted_arguments
        else:
            self._passes = is_arguments
            self._state = self._in_value
            self._value(character)

    def _in_name(self, character: str) -> None:
        if not self._in_string(character):
            self._keep(character)
            return
        name = decode_string(self._string)
        if not name:
            self._malformed(character)
            return
        self._name = name
        self._raw = ""
        self._deltas.append(CallStarted(self._calls, name))
        self._state = self._after_value

    def _in_quoted_arguments(self, character: str) -> None:
        self._keep(character)
        if character == '"' and not self._unescape.pending:
            self._state = self._after_value
            self._unsent += self._unescape.finish()
        else:
            self._unsent += self._unescape.feed(character)

    def _in_value(self, character: str) -> None:
        # Outside of brackets and strings the value is complete, or a number or a word, which ends like this.
        complete = character in ",}" or character in _WHITESPACE or self._string in ("}", "]", '"')
        if complete and not self._stack and not self._quoted:
            self._state = self._after_value
            self._state(character)
            return
        # A bracket that closes nothing is malformed, and so is a "<" outside of a string: there the call breaks off,
        # perhaps with its end tag.
        unmatched = character in "}]" and character != _CLOSERS.get(self._stack[-1:])
        if not self._quoted and (unmatched or character == "<"):
            self._malformed(character)
            return
        self._keep(character)
        self._value(character)

    def _value(self, character: str) -> None:
        """One more character of a value: raw JSON, of which only strings and brackets are understood."""
        if self._passes:
            self._unsent += character
        self._string = character
        if self._quoted:
            if self._escaped:
                self._escaped = False
                self._string = ""  # an escaped quote doesn't end a value
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._quoted = False
        elif character == '"':
            self._quoted = True
        elif character in "{[":
            self._stack += character
        elif character in "}]":
            self._stack = self._stack[:-1]

    def _after_value(self, character: str) -> None:
        if character == ",":
            self._keep(character)
            self._state = self._before_key
        elif character == "}":
            self._end_object(character)
        elif character in _WHITESPACE:
            self._keep(character)
        else:
            self._malformed(character)

    def _in_string(self, character: str) -> bool:
        """Collects a string's raw content; True at its closing quote."""
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            return True
        self._string += character
        return False

    def _end_object(self, character: str) -> None:
        if self._name is None:
            self._malformed(character)
            return
        if not self._has_arguments:
            self._unsent = "{}"
        self._finish_call(True)
        self._state = self._after_object

    def _finish_call(self, complete: bool) -> None:
        assert self._name is not None
        self._deltas = self._take()
        self._deltas.append(CallFinished(self._calls, self._name, self._arguments, complete))
        self._calls += 1
        self._after_call = True
        self._name = None
        self._unsent = ""

    def _malformed(self, character: str) -> None:
        """This is no call, or not any more; `character` is the first that doesn't belong to it."""
        if self._name is None:
            raw, self._raw = self._raw, ""
            self._unsent = ""
            self._text(raw)
            self._state = self._in_text
        else:
            self._finish_call(False)
            self._state = self._in_rest
        self._held = ""
        for again in character:
            self._state(again)
