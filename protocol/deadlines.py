"""When something has to happen although no message comes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """A time for each key. Setting and cancelling leave stale entries behind in the heap, which are dropped when they
    come up or outnumber the others."""

    def __init__(self) -> None:
        self._when: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = itertools.count()

    def set(self, key: K, when: float) -> None:
        """In place of the time that the key had."""
        self._when[key] = when
        heapq.heappush(self._heap, (when, next(self._count), key))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._when):
            self._heap = [(when, next(self._count), key) for key, when in self._when.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: K) -> None:
        self._when.pop(key, None)

    def next(self) -> float | None:
        """The earliest time; None if there is none."""
        while self._heap and self._when.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[K]:
        """Take out the keys whose time has come, earliest first."""
        while (when := self.next()) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._when[key]
            yield key
