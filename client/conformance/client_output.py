"""What the client under test prints: the events that it gave its user, and what the rollout came to."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field

from .events import Event

LAST_ERRORS = 12
"""Lines of its stderr that a report shows."""


@dataclass(frozen=True, slots=True)
class GivenEvent:
    """One that the client says it gave to its user."""

    type: str
    number: int


@dataclass(slots=True)
class ClientOutput:
    """``events`` are in the order in which they were printed; ``result`` is the last line of the form
    ``{"status": ..., "text": ...}``. Lines of any other form say nothing."""

    events: list[GivenEvent] = field(default_factory=list)
    result: Event | None = None
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_ERRORS))

    def take(self, stream: str, line: str) -> None:
        if stream == "stderr":
            self.errors.append(line)
            return
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(told, dict):
            return
        number = told.get("sequence_number")
        if isinstance(told.get("event"), str) and isinstance(number, int):
            self.events.append(GivenEvent(told["event"], number))
        elif "status" in told:
            self.result = told

    @property
    def numbers(self) -> list[int]:
        """The sequence numbers of the events."""
        return [event.number for event in self.events]

    @property
    def last_number(self) -> int:
        """The highest one; -1 without any."""
        return max(self.numbers, default=-1)

    def out_of_order(self) -> str | None:
        """What is wrong with their order: one that came twice, or after a later one. None if nothing is."""
        highest = -1
        seen: set[int] = set()
        for event in self.events:
            if event.number in seen:
                return f"event {event.number} ({event.type}) was given to the user twice"
            if event.number < highest:
                return f"event {event.number} ({event.type}) was given to the user after event {highest}"
            seen.add(event.number)
            highest = event.number
        return None
