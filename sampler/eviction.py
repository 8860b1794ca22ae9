"""Which paused sequence gives up its place: in the KV cache, in memory, on disk.

A policy sees the candidates and picks one; it is told when a pause ends, and may learn from that. It gets no hints from
clients. Which policy is the default, and by which figures: spec/decisions/0011-which-sequence-to-evict.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from .pause_history import PauseHistory, at


@dataclass(slots=True)
class Parked:
    """A paused sequence that could give up its place.

    key:       the sequence; those opened later have greater keys.
    size:      bytes that its state takes.
    paused_at: seconds, on any clock that `now` is read from too.
    tools:     what the pause waits for; empty if that is not known.
    tokens:    computed tokens: what a rebuild would have to compute again.
    """

    key: int
    size: int
    paused_at: float
    tools: tuple[str, ...]
    tokens: int


class EvictionPolicy(Protocol):
    """Deterministic: the same calls give the same victims. Used from one thread."""

    @property
    def name(self) -> str: ...

    def victim(self, candidates: Collection[Parked], now: float) -> Parked:
        """One of the candidates, of which there is at least one."""
        ...

    def resumed(self, parked: Parked, now: float) -> None:
        """The pause ended just now. To be called when its tools are done, whatever it waited for and wherever its state
        is, not when the sequence gets a slot: time spent in a queue is no tool's. From then on the sequence is wanted,
        and should be no candidate."""
        ...


class LeastWaste:
    """The one for which keeping its place wastes most: time, by what was seen of its tools, over cost of coming back.

    After InferCept (ICML 2024), which counts waste as memory x time. In the KV cache every sequence takes one slot, so
    memory is the same for all; what differs is the cost of copying it out and in again, which grows with its size.
    Below, memory and that cost both grow with size, but the cost of computing it again grows faster. So size divides.
    Waste as size x time, without that cost, was tried: it loses to `LeastRecentlyUsed`.
    """

    name = "least-waste"

    def __init__(self) -> None:
        self.history = PauseHistory()

    def victim(self, candidates: Collection[Parked], now: float) -> Parked:
        rows: dict[tuple[str, ...], Sequence[float]] = {}
        found: Parked | None = None
        most = -1.0
        for parked in candidates:
            row = rows.get(parked.tools)
            if row is None:
                row = rows[parked.tools] = self.history.prices(parked.tools)
            waste = at(row, now - parked.paused_at) / (parked.size + 1)
            if waste > most or (found is not None and waste == most and _before(parked, found)):
                found, most = parked, waste
        assert found is not None
        return found

    def resumed(self, parked: Parked, now: float) -> None:
        self.history.learn(parked.tools, now - parked.paused_at)


class LeastRecentlyUsed:
    """The one that paused first."""

    name = "lru"

    def victim(self, candidates: Collection[Parked], now: float) -> Parked:
        return min(candidates, key=lambda parked: (parked.paused_at, parked.key))

    def resumed(self, parked: Parked, now: float) -> None:
        pass


class FixedTimeToLive:
    """Those that paused more than `seconds` ago, longest ago first; then the latest to be opened.

    As in Continuum (arXiv 2511.02230), whose older programs go before newer ones, but with one time for all tools.
    """

    name = "fixed-ttl"

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds

    def victim(self, candidates: Collection[Parked], now: float) -> Parked:
        oldest = min(candidates, key=lambda parked: (parked.paused_at, parked.key))
        if now - oldest.paused_at > self.seconds:
            return oldest
        return max(candidates, key=lambda parked: parked.key)

    def resumed(self, parked: Parked, now: float) -> None:
        pass


class ShortestFirst:
    """The one with the fewest computed tokens: it costs least to compute again (ThunderAgent, arXiv 2602.13692)."""

    name = "shortest-first"

    def victim(self, candidates: Collection[Parked], now: float) -> Parked:
        return min(candidates, key=lambda parked: (parked.tokens, parked.paused_at, parked.key))

    def resumed(self, parked: Parked, now: float) -> None:
        pass


def _before(one: Parked, other: Parked) -> bool:
    return (one.paused_at, one.key) < (other.paused_at, other.key)


POLICIES: dict[str, Callable[[], EvictionPolicy]] = {
    policy.name: policy for policy in (LeastWaste, LeastRecentlyUsed, FixedTimeToLive, ShortestFirst)
}

DEFAULT_POLICY = LeastWaste.name
