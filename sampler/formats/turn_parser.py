"""What the parsers of all families are made of: a decoder, a writer of deltas, a scanner for marks.

A parser is an explicit state machine, one method a state, fed one character at a time. So no bytes can make it raise,
and how the stream is split can't matter.
"""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Callable

from ..tool_call_deltas import ArgumentsDelta, CallFinished, CallStarted, Delta, ReasoningDelta, TextDelta


class DeltaWriter:
    """Collects deltas, neighbouring ones of one kind as one. At most one call is open at a time.

    said: whether the turn has had text or a call yet.
    """

    def __init__(self) -> None:
        self.said = False
        self.after_call = False  # a call was the last thing written
        self._deltas: list[Delta] = []
        self._kind: type[TextDelta] | type[ReasoningDelta] | type[ArgumentsDelta] = TextDelta
        self._pending: list[str] = []
        self._index = 0
        self._name = ""
        self._arguments: list[str] = []

    def text(self, text: str) -> None:
        if text:
            self.said, self.after_call = True, False
            self._add(TextDelta, text)

    def reasoning(self, text: str) -> None:
        if text:
            self._add(ReasoningDelta, text)

    def begin_call(self, name: str) -> None:
        self._flush()
        self.said = True
        self._name, self._arguments = name, []
        self._deltas.append(CallStarted(self._index, name))

    def arguments(self, text: str) -> None:
        if text:
            self._arguments.append(text)
            if self._kind is not ArgumentsDelta:
                self._flush()
                self._kind = ArgumentsDelta
            self._pending.append(text)

    def end_call(self, complete: bool, written_id: str = "") -> None:
        self._flush()
        arguments = "".join(self._arguments)
        self._deltas.append(CallFinished(self._index, self._name, arguments, complete, written_id))
        self._index += 1
        self.after_call = True

    def take(self) -> list[Delta]:
        """What was written since the last time."""
        self._flush()
        deltas, self._deltas = self._deltas, []
        return deltas

    def _add(self, kind: type[TextDelta] | type[ReasoningDelta] | type[ArgumentsDelta], text: str) -> None:
        if kind is not self._kind:
            self._flush()
            self._kind = kind
        self._pending.append(text)

    def _flush(self) -> None:
        if not self._pending:
            return
        text = "".join(self._pending)
        self._pending.clear()
        if self._kind is ArgumentsDelta:
            self._deltas.append(ArgumentsDelta(self._index, text))
        elif self._kind is ReasoningDelta:
            self._deltas.append(ReasoningDelta(text))
        else:
            self._deltas.append(TextDelta(text))


class MarkScanner:
    """Finds marks (`<tool_call>`, say) in a stream of characters; holds back what may be the beginning of one.

    strip: hold back whitespace too, so that a parser can leave out what stands before a mark.
    """

    def __init__(self, *marks: str, strip: bool = True) -> None:
        self._marks = frozenset(marks)
        self._first = frozenset(mark[0] for mark in marks)
        self._beginnings = frozenset(mark[:end] for mark in marks for end in range(1, len(mark)))
        self._strip = strip
        self._space: list[str] = []
        self._held = ""

    def feed(self, character: str) -> tuple[str, str]:
        """Text and mark. With a mark, the text is the whitespace before it; without, what turned out to be text."""
        if not self._held and character not in self._first:  # nearly always
            if self._strip and character.isspace():
                self._space.append(character)
                return "", ""
            return (self._take_space() + character if self._space else character), ""
        held = self._held + character
        if held in self._beginnings:
            self._held = held
            return "", ""
        if held in self._marks:
            self._held = ""
            return self._take_space(), held
        # No mark contains whitespace, nor the whole of another.
        keep = next((at for at in range(1, len(held)) if held[at:] in self._beginnings), len(held))
        self._held = held[keep:]
        text = self._take_space() + held[:keep]
        if self._strip and not self._held and character.isspace():
            self._space.append(character)
            text = text[:-1]
        return text, ""

    def rest(self) -> str:
        """What is held back, when nothing more will come."""
        held, self._held = self._held, ""
        return self._take_space() + held

    def _take_space(self) -> str:
        if not self._space:
            return ""
        space = "".join(self._space)
        self._space.clear()
        return space


class TurnParser(ABC):
    """Base of the parsers. A subclass sets `_state` to a method that takes a character, and defines `_end`."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._out = DeltaWriter()
        self._state: Callable[[str], None]

    def feed(self, data: bytes) -> list[Delta]:
        self._run(self._decoder.decode(data))
        return self._out.take()

    def finish(self) -> list[Delta]:
        self._run(self._decoder.decode(b"", final=True))
        self._end()
        return self._out.take()

    def _run(self, text: str) -> None:
        for character in text:
            self._state(character)

    @abstractmethod
    def _end(self) -> None:
        """Write what is held back, and end a call that is open."""
