"""The events of a Response that are kept, so that a client that lost its connection misses none."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class Budget:
    """Memory that all logs share, in bytes."""

    limit: int
    used: int = 0


class EventLog:
    """The last frames of one Response as they were first sent, bounded in number and size. The last one is always
    kept: it may be the end of the Response. :meth:`clear` when it is not needed any more: the budget is shared."""

    __slots__ = ("_budget", "_bytes", "_frames", "_max_bytes", "_max_events", "_next")

    def __init__(self, max_events: int, max_bytes: int, budget: Budget) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._budget = budget
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._next = 0

    def add(self, frame: str) -> None:
        """Keep the next frame; its number is one more than the last one's, from 0."""
        self._frames.append(frame)
        self._count(frame.__sizeof__())
        self._next += 1
        while len(self._frames) > 1 and self._is_over():
            self._count(-self._frames.popleft().__sizeof__())

    def _is_over(self) -> bool:
        budget = self._budget
        return len(self._frames) > self._max_events or self._bytes > self._max_bytes or budget.used > budget.limit

    def _count(self, size: int) -> None:
        self._bytes += size
        self._budget.used += size

    def clear(self) -> None:
        """Keep nothing any more."""
        self._frames.clear()
        self._count(-self._bytes)

    @property
    def last(self) -> int:
        """The last sequence number; -1 before the first."""
        return self._next - 1

    def after(self, sequence_number: int) -> list[str] | None:
        """The frames after this one, in order; None if some of them are not kept any more."""
        missing = self._next - 1 - sequence_number
        if missing > len(self._frames):
            return None
        return [self._frames[-behind] for behind in range(missing, 0, -1)]
