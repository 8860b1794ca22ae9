"""The rollout as it happens, for people: streamed on a terminal, whole lines anywhere else."""

from __future__ import annotations

import time

from rich.console import Console
from rich.text import Text

from ...protocol.events import (
    FunctionCallArgumentsDelta,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningTextDelta,
    ResponseCancelled,
    ResponseCompleted,
    ResponseCreated,
    ResponseDone,
    ResponseFailed,
    ResponseIncomplete,
)
from ...protocol.items import FunctionCall
from ..results import EventsLost, Reconnecting, Resumed, RunEvent, ToolFinished

_INDENT = " " * 11
_SHOWN_OUTPUT = 72


class Progress:
    """Prints each event that it is shown. One per rollout."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._streams = console.is_terminal
        self._line: Text | None = None
        self._going_on_since = time.perf_counter()
        self._num_pauses = 0

    def show(self, event: RunEvent) -> None:
        match event:
            case ResponseCreated():
                self._print("response", event.response.id, "dim")
            case OutputItemAdded(item=FunctionCall(name=name)):
                self._begin("call", "cyan")
                self._add(f"{name} ")
            case OutputTextDelta(delta=delta):
                if self._line is None:
                    self._begin("text", "")
                self._add(delta)
            case ReasoningTextDelta(delta=delta):
                if self._line is None:
                    self._begin("thought", "dim")
                self._add(delta)
            case FunctionCallArgumentsDelta(delta=delta):
                self._add(delta)
            case OutputItemDone():
                self._end()
            case ResponseDone():
                self._num_pauses += 1
                self._print(f"pause {self._num_pauses}", f"after {self._lap()}", "bold yellow")
            case ToolFinished(result=result):
                text = f"{result.call.name} ({result.seconds * 1000:.1f} ms): {_shortened(result.output.text)}"
                self._print("tool", text, "red" if result.output.is_error else "green")
                self._going_on_since = time.perf_counter()
            case Reconnecting(attempt=attempt, delay=delay, reason=reason):
                self._print("lost", f"{reason}; attempt {attempt} to connect again in {delay:.1f} s", "bold red")
            case Resumed(replayed=replayed):
                self._print("resumed", f"with {replayed} events that came meanwhile", "bold yellow")
            case EventsLost(first=first, last=last):
                self._print("lost", f"the server no longer had the events {first} to {last}", "bold red")
            case ResponseCompleted() | ResponseIncomplete() | ResponseFailed() | ResponseCancelled():
                self.break_off()
                self._print(event.response.status, f"after {self._lap()}", "bold")

    def break_off(self) -> None:
        """End a line that will not be finished."""
        if self._line is not None:
            self._end()

    def _lap(self) -> str:
        return f"{(time.perf_counter() - self._going_on_since) * 1000:.1f} ms"

    def _print(self, label: str, text: str, style: str) -> None:
        self._begin(label, style)
        self._add(text)
        self._end()

    def _begin(self, label: str, style: str) -> None:
        self.break_off()
        self._line = Text(style=style)
        self._add_raw(f"{label:<{len(_INDENT) - 1}} ")

    def _add(self, text: str) -> None:
        self._add_raw(_harmless(text).replace("\n", "\n" + _INDENT))

    def _add_raw(self, text: str) -> None:
        assert self._line is not None
        if self._streams:
            self._console.print(Text(text, style=self._line.style), end="", soft_wrap=True)
        else:
            self._line.append(text)

    def _end(self) -> None:
        if self._line is not None:
            self._console.print(self._line, soft_wrap=True)
        self._line = None


def _shortened(text: str) -> str:
    """The lines that aren't blank, joined, as far as they go."""
    line = " | ".join(each.strip() for each in text.splitlines() if each.strip())
    return line if len(line) <= _SHOWN_OUTPUT else line[: _SHOWN_OUTPUT - 3] + "..."


def _harmless(text: str) -> str:
    """Without control characters: what a model or a tool says must not drive the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text.expandtabs(4))
