"""What a parser of the model's stream yields, and what it must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what the model thinks before it answers, without the marks around it."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The name of the turn's `index`-th call (from 0) is known."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """More of that call's arguments: JSON text, as sampled."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class CallFinished:
    """No more of that call will come. `arguments` is all its deltas together.

    complete:   the call was closed as its format wants it. False if it was cut off or is malformed: then the arguments
                are what there was. Also a complete call's arguments are only balanced, not checked as JSON.
    written_id: the id that the model itself gave the call, empty if its format has none. Results are rendered with it.
    """

    index: int
    name: str
    arguments: str
    complete: bool
    written_id: str = ""


Delta = TextDelta | ReasoningDelta | CallStarted | ArgumentsDelta | CallFinished


class ToolCallParser(Protocol):
    """Reads one assistant turn. Never raises on any bytes, and how they are split makes no difference to the result."""

    def feed(self, data: bytes) -> list[Delta]:
        """The next bytes of the stream, which may end inside a character. Control tokens are to be left out, except
        those that frame the format (`ToolFormat.structure`)."""
        ...

    def finish(self) -> list[Delta]:
        """The turn is over: everything held back comes out."""
        ...


def merged(deltas: list[Delta]) -> list[Delta]:
    """Neighbouring deltas of the same thing made one."""
    result: list[Delta] = []
    for delta in deltas:
        last = result[-1] if result else None
        if isinstance(delta, TextDelta) and isinstance(last, TextDelta):
            result[-1] = TextDelta(last.text + delta.text)
        elif isinstance(delta, ReasoningDelta) and isinstance(last, ReasoningDelta):
            result[-1] = ReasoningDelta(last.text + delta.text)
        elif isinstance(delta, ArgumentsDelta) and isinstance(last, ArgumentsDelta):
            result[-1] = ArgumentsDelta(delta.index, last.text + delta.text)
        else:
            result.append(delta)
    return result
