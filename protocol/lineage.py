"""Which Responses of a connection a create can go on from (WebSocket mode).

Lineage is ``previous_response_id``, never the lane: a Response may be continued on any lane, and more than once.
"""

from __future__ import annotations


class Lineage:
    """The ended Responses that are remembered, and the lane that each was on."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lanes: dict[str, str | None] = {}  # the one that was used longest ago first

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._lanes

    def __len__(self) -> int:
        return len(self._lanes)

    def add(self, response_id: str, lane: str | None) -> list[str]:
        """Remember this one. Returns those that are forgotten for it."""
        self._lanes[response_id] = lane
        return [self._forget_oldest() for _ in range(len(self._lanes) - self._capacity)]

    def use(self, response_id: str) -> None:
        """A create goes on from this one."""
        if response_id in self._lanes:
            self._lanes[response_id] = self._lanes.pop(response_id)

    def fail(self, response_id: str, lane: str | None) -> bool:
        """A create on this lane was to go on from this one, and failed; whether it is forgotten now. A fork that fails,
        on another lane, costs its parent nothing (Open Responses; OpenAI's WebSocket mode)."""
        if response_id not in self._lanes or self._lanes[response_id] != lane:
            return False
        del self._lanes[response_id]
        return True

    def discard(self, response_id: str) -> bool:
        """Forget this one; whether it was remembered."""
        if response_id not in self._lanes:
            return False
        del self._lanes[response_id]
        return True

    def clear(self) -> list[str]:
        """Forget all. Returns them."""
        forgotten = list(self._lanes)
        self._lanes.clear()
        return forgotten

    def pop_oldest(self) -> str | None:
        """Forget the one that was used longest ago, if there is one."""
        return self._forget_oldest() if self._lanes else None

    def _forget_oldest(self) -> str:
        oldest = next(iter(self._lanes))
        del self._lanes[oldest]
        return oldest
