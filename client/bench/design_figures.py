"""What is told of one design."""

from __future__ import annotations

from dataclasses import dataclass

from .growth import Growth
from .statistics import Estimate, Spread


@dataclass(frozen=True, slots=True)
class Series:
    """Single turns, for plots. By turn: the median over all sessions that have that turn. ``overhead_ms``: of all turns
    of all repeats, pooled."""

    cost_by_turn_ms: list[float]
    limit_by_turn_ms: list[float]
    ttft_by_turn_ms: list[float]
    overhead_ms: list[float]


@dataclass(frozen=True, slots=True)
class DesignFigures:
    """One design.

    runs, failed, errors: sessions that ended well, sessions that are left out, and why (each reason once).
    session_ms:  T, wall time of a session. limit_ms: T* of the same sessions. efficiency: T*/T.
    overhead_ms: of a turn, over its limit, its tools and a round trip, spread over all turns.
    boundary_overhead_ms: (T - T*) / N, N the turns that were followed by another one.
    boundary_ms: from the last token sampled to the next turn's first one, less tools, round trip and the engine's own
                 prefill; ours alone, which have server spans.
    ttft_ms:     began to first token of a turn, all turns.
    saved, ttft_saved: by other design, the part of its time (of its median time to first token) that this one saves;
                 negative if it takes longer.
    stages_ms:   mean of a session, so that stages and residual add up to ``mean_session_ms``.
    excess_ms:   the same less the engine's own prefill and decode and the tools, mean of a turn.
    tokens:      of a session, mean: given, decoded (computed), reused, sampled; None where the server doesn't say.
    bytes_up, bytes_down, events: of a session, mean. connect_ms: median.
    cpu_ms:      processor time of a turn by process, mean.
    stream_rate: tokens a second while a turn streams: from its first token in the engine (of a peer: from the first
                 event that carries output) until the client has read its last event.
    """

    key: str
    title: str
    kind: str
    runs: int
    failed: int
    errors: list[str]
    turns: float
    session_ms: Estimate | None
    mean_session_ms: float
    limit_ms: Estimate | None
    efficiency: Estimate | None
    overhead_ms: Spread | None
    boundary_overhead_ms: Estimate | None
    boundary_ms: Spread | None
    ttft_ms: Spread | None
    saved: dict[str, Estimate]
    ttft_saved: dict[str, Estimate]
    stages_ms: dict[str, float]
    residual_ms: float
    excess_ms: dict[str, float]
    tokens: dict[str, float | None]
    bytes_up: float
    bytes_down: float
    events: float
    connect_ms: float
    cpu_ms: dict[str, float]
    stream_rate: Estimate | None
    growth: Growth | None
    notes: list[str]
    series: Series
