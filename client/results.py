"""What a run gives: events of its own while it goes on, and a result at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..protocol.items import FunctionCall, OutputItem, OutputMessage
from ..protocol.messages import ResponseEvent, Usage
from .local_tools import ToolCall


@dataclass(frozen=True)
class ToolStarted:
    """A local tool begins. ``pause`` is the number of the pause that it belongs to, from 1."""

    pause: int
    call: FunctionCall


@dataclass(frozen=True)
class ToolFinished:
    """A local tool has its output."""

    pause: int
    result: ToolCall


RunEvent = ResponseEvent | ToolStarted | ToolFinished
"""What ``Client.stream`` yields: the Response's events as they come, and the client's own in its pauses."""


@dataclass(frozen=True)
class RunResult:
    """A run, or as much of one as there was when it broke off.

    :ivar response_id: None if the Response was never created.
    :ivar status: the Responses API's: ``completed``, ``incomplete`` or ``failed``; ``in_progress`` if it isn't over.
    :ivar output: all items, in order.
    :ivar incomplete_reason: why it is ``incomplete`` (``max_output_tokens``, say).
    :ivar tool_calls: the local calls that have been answered, in the order of their finishing.
    :ivar pauses: how many ``response.done`` came.
    :ivar stats: what the server counted and timed (the final Response's ``caesura`` object); empty if it sent none.
    :ivar client_tools_ms: time in which at least one local tool ran, summed over the pauses.
    :ivar wall_ms: from the create's sending to the last event.
    """

    response_id: str | None
    status: str
    output: Sequence[OutputItem]
    incomplete_reason: str | None
    usage: Usage | None
    tool_calls: Sequence[ToolCall]
    pauses: int
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
