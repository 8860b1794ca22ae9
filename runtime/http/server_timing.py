"""Where the time went, as a ``Server-Timing`` header (W3C Server Timing)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

HEADER = "server-timing"


class _Cost(msgspec.Struct, frozen=True):
    stages_ms: dict[str, float] = {}
    preinference_ms: dict[str, float] = {}
    wall_ms: float = 0.0


class _Ended(msgspec.Struct, frozen=True):
    caesura: _Cost | None = None


_ended = msgspec.json.Decoder(_Ended)


def timing_of(response: bytes | msgspec.Raw) -> dict[str, float]:
    """Milliseconds by stage, of a Response as JSON; empty until it has ended."""
    cost = _ended.decode(response).caesura
    return {} if cost is None else {**cost.stages_ms, **cost.preinference_ms, "total": cost.wall_ms}


def timing_headers(timing: Mapping[str, float]) -> dict[str, str]:
    """The header for these durations, in milliseconds; none for no durations."""
    value = ", ".join(f"{name};dur={duration:g}" for name, duration in timing.items())
    return {HEADER: value} if value else {}
