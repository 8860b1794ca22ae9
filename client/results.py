"""What a run gives: events of its own while it goes on, and a result at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..protocol.events import ResponseEvent
from ..protocol.items import FunctionCall, OutputItem, OutputMessage
from ..protocol.resource import Usage
from .local_tools import ToolCall


@dataclass(frozen=True)
class ToolStarted:
    """A local tool begins. ``pause`` is the number of the pause that it belongs to, from 1; while the model still
    samples it is the next one, which doesn't come if all is answered by then."""

    pause: int
    call: FunctionCall


@dataclass(frozen=True)
class ToolFinished:
    """A local tool has its output."""

    pause: int
    result: ToolCall


@dataclass(frozen=True)
class Reconnecting:
    """The connection is gone for ``reason``. The next attempt to make another one, the ``attempt``-th in a row that has
    not got any further, begins in ``delay`` seconds. Tools run on."""

    attempt: int
    delay: float
    reason: str


@dataclass(frozen=True)
class Resumed:
    """The Response goes on where it was, on another connection. ``replayed`` events that came meanwhile follow."""

    response_id: str
    replayed: int


@dataclass(frozen=True)
class EventsLost:
    """The server no longer had the events from number ``first`` to ``last``: text deltas, say, are missing. What they
    came to is not: the run goes on from a snapshot, and its result is whole."""

    first: int
    last: int


RunEvent = ResponseEvent | ToolStarted | ToolFinished | Reconnecting | Resumed | EventsLost
"""What ``Client.stream`` yields: the Response's events, each once and in order, and the client's own between them."""


@dataclass(frozen=True)
class RunResult:
    """A run, or as much of one as there was when it broke off.

    :ivar response_id: None if the Response was never created.
    :ivar status: the Responses API's: ``completed``, ``incomplete``, ``failed`` or ``cancelled``; ``in_progress`` if it
        isn't over.
    :ivar output: all items, in order.
    :ivar incomplete_reason: why it is ``incomplete`` or ``cancelled`` (``max_output_tokens``, say).
    :ivar tool_calls: the local calls that have been answered, in the order of their finishing.
    :ivar pauses: how many ``response.done`` came.
    :ivar reconnects: how often the connection was lost and made anew.
    :ivar stats: what the server counted and timed (the final Response's ``caesura`` object); empty if it sent none.
    :ivar client_tools_ms: time in which at least one local tool ran.
    :ivar wall_ms: from the create's sending to the last event.
    """

    response_id: str | None
    status: str
    output: Sequence[OutputItem]
    incomplete_reason: str | None
    usage: Usage | None
    tool_calls: Sequence[ToolCall]
    pauses: int
    reconnects: int
    stats: Mapping[str, Any]
    client_tools_ms: float
    wall_ms: float

    @property
    def output_text(self) -> str:
        """The text of the last assistant message; empty if there is none."""
        for item in reversed(self.output):
            if isinstance(item, OutputMessage):
                return "".join(part.text for part in item.content)
        return ""
