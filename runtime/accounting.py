"""What a rollout cost: counted and timed where it happens, never derived from what should have happened.

The stages are the three places of an agent loop's time (API service, model inference, client), plus postinference::

    wall = inference + hosted_tools + paused + post + api

``inference`` is what the engine reports for the sequence; ``paused`` runs from ``response.done`` on the wire to the
append that answers the last call; ``hosted_tools`` is time in which the rollout waited for hosted tools alone; ``api``
is the rest, measured as a difference since it is everything else that happened: validation, rendering, tokenising,
parsing, encoding, sending, waiting for the event loop or for a batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..sampler.engine import Ledger

_NS_PER_MS = 1e6


@dataclass(slots=True)
class Accounting:
    """One rollout's counters and stopwatches. All times are nanoseconds of :func:`time.perf_counter_ns`."""

    started_at: int = field(default_factory=time.perf_counter_ns)
    preinference_runs: int = 0
    postinference_runs: int = 0
    pauses: int = 0
    tool_calls: int = 0
    stages_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("hosted_tools", "paused", "post"), 0))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to that stage."""
        begin = time.perf_counter_ns()
        try:
            yield
        finally:
            self.stages_ns[name] += time.perf_counter_ns() - begin

    def report(self, ledger: Ledger, inference_ns: int) -> dict[str, Any]:
        """The ``caesura`` object of the final Response: times in milliseconds."""
        wall = time.perf_counter_ns() - self.started_at
        stages = {"inference": inference_ns, **self.stages_ns}
        stages["api"] = wall - sum(stages.values())
        return {
            "preinference_runs": self.preinference_runs,
            "postinference_runs": self.postinference_runs,
            "pauses": self.pauses,
            "tool_calls": self.tool_calls,
            "tokens": {
                "prefilled": ledger.prefilled,
                "sampled": ledger.sampled,
                "appended": ledger.appended,
                "copied": ledger.copied,
                "recomputed": ledger.recomputed,
                "rebuilds": len(ledger.rebuilds),
            },
            "stages_ms": {name: round(value / _NS_PER_MS, 3) for name, value in stages.items()},
            "wall_ms": round(wall / _NS_PER_MS, 3),
        }
