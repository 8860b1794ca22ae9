"""What an experiment found, computed from its raw data alone.

Durations are milliseconds. A figure's interval is over repeats (see ``statistics``); two designs are compared within
the same repeat and the same session.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from .caveats import caveats
from .costs import added_rtt_ms, costs_of
from .design_analysis import design_figures
from .design_figures import DesignFigures
from .load_analysis import LoadFigures, largest_meeting, load_figures
from .records import Results, RunRecord
from .statistics import median


@dataclass(frozen=True, slots=True)
class Analysis:
    """``limit_rate``: tokens a second that the engine decodes alone, over whole sessions; ``peak_rate``: in its fastest
    turns, those of the shortest context as a rule. ``largest``: by design, the most agents that met
    the objective. ``warnings``: why its figures may be worth less than they look."""

    arm: str
    simulated: bool
    engine: dict[str, Any]
    workload: str
    calls: float
    repeats: int
    rtt_ms: float
    limit_rate: float | None
    peak_rate: float | None
    designs: list[DesignFigures]
    loads: list[LoadFigures] = field(default_factory=list)
    largest: dict[str, int | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def design(self, key: str) -> DesignFigures | None:
        return next((design for design in self.designs if design.key == key), None)

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def analyse(results: Results) -> Analysis:
    """All figures of one experiment. A run without turns counts as failed.

    :raises ValueError: its settings are not what an experiment writes.
    """
    results = _judged(results)
    costs = costs_of(results)
    by_design = {info.key: [cost for cost in costs if cost.run.design == info.key] for info in results.designs}
    loads = [load_figures(load) for load in results.loads]
    runs = results.runs or [run for load in results.loads for run in load.runs]
    calls = [float(sum(len(turn.tools) for turn in run.turns)) for run in runs if run.error is None]
    decoded = [turn for limit in results.limits for turn in limit.turns if turn.sampled > 1]
    decode_ns = sum(turn.decode_ns for turn in decoded)
    return Analysis(
        arm=results.arm,
        simulated=results.simulated,
        engine=results.engine,
        workload=str(results.workload.get("name", "")),
        calls=median(calls) if calls else 0.0,
        repeats=len({run.repeat for run in results.runs}),
        rtt_ms=added_rtt_ms(results),
        peak_rate=_peak_rate(results),
        limit_rate=sum(turn.sampled - 1 for turn in decoded) * 1e9 / decode_ns if decode_ns else None,
        designs=[design_figures(results, info, by_design) for info in results.designs],
        loads=loads,
        largest=largest_meeting(loads),
        warnings=caveats(results),
    )


def _judged(results: Results) -> Results:
    loads = [msgspec.structs.replace(load, runs=[_failed_if_empty(run) for run in load.runs]) for load in results.loads]
    return msgspec.structs.replace(results, runs=[_failed_if_empty(run) for run in results.runs], loads=loads)


def _failed_if_empty(run: RunRecord) -> RunRecord:
    if run.turns or run.error is not None:
        return run
    return msgspec.structs.replace(run, error="it has no turns")


def _peak_rate(results: Results) -> float | None:
    """Of each turn the median over repeats; of these the highest."""
    rates: dict[tuple[str, int], list[float]] = {}
    for limit in results.limits:
        for number, turn in enumerate(limit.turns):
            if turn.sampled > 1 and turn.decode_ns:
                rates.setdefault((limit.script, number), []).append((turn.sampled - 1) * 1e9 / turn.decode_ns)
    return max(map(median, rates.values()), default=None)
