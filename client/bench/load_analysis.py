"""What many agents at once got, and how many a design can serve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .costs import cost_of_turn
from .records import LoadRecord
from .statistics import quantile

MS = 1e6


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """One design under so many agents in a closed loop.

    agents, seconds, sessions, failed: of how many sessions over what time the rest tells; failed ones count for
                 nothing else.
    ttft_ms:     quantiles of the time to first token over all turns: ``p50``, ``p90``, ``p99``. No interval: its turns
                 ran beside each other, once.
    cpu_share:   processor time by process over wall time: 1 is one core.
    meets:       whether the objective was met; None without one.
    """

    design: str
    agents: int
    seconds: float
    sessions: int
    failed: int
    turns_per_second: float
    tokens_per_second: float | None
    ttft_ms: dict[str, float]
    cpu_share: dict[str, float]
    meets: bool | None


def load_figures(load: LoadRecord) -> LoadFigures:
    """Of all its sessions that ended well; rates are over its whole time."""
    good = [run for run in load.runs if run.error is None]
    turns = [cost_of_turn(turn) for run in good for turn in run.turns]
    seconds = max(load.ended - load.began, 1) / 1e9
    counted = [turn.sampled for turn in turns if turn.sampled is not None]
    waits = [turn.ttft / MS for turn in turns]
    return LoadFigures(
        design=load.design,
        agents=load.agents,
        seconds=seconds,
        sessions=len(good),
        failed=len(load.runs) - len(good),
        turns_per_second=len(turns) / seconds,
        # A sum over some of the turns only would be no rate.
        tokens_per_second=sum(counted) / seconds if turns and len(counted) == len(turns) else None,
        ttft_ms={f"p{part}": quantile(waits, part / 100) for part in (50, 90, 99)} if waits else {},
        cpu_share={process: ns / (seconds * 1e9) for process, ns in load.cpu_ns.items()},
        meets=load.meets,
    )


def largest_meeting(loads: Sequence[LoadFigures]) -> dict[str, int | None]:
    """By design: the largest number of agents that met the objective each time, with none smaller that missed it; None
    if even the smallest missed it. Designs without an objective are not in it."""
    largest: dict[str, int | None] = {}
    judged = [load for load in loads if load.meets is not None]
    for design in dict.fromkeys(load.design for load in judged):
        tried = [load for load in judged if load.design == design]
        missed = min((load.agents for load in tried if not load.meets), default=math.inf)
        largest[design] = max((load.agents for load in tried if load.agents < missed), default=None)
    return largest
