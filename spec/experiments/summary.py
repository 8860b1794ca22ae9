"""What the paper needs of an experiment's raw data: figures without single turns, small enough to be committed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from caesura.client.bench.analysis import Analysis
from caesura.client.bench.records import Results
from caesura.client.bench.targets import Target, targets

DIGITS = 6
"""Significant ones: more is noise, and every digit is in the repository's history for good."""
_ENVIRONMENT = ("cpu", "cores", "usable_cores", "memory_bytes", "os", "python", "versions", "model")


def summarise(results: Results, analysis: Analysis, command: Sequence[str], left_out: Sequence[str]) -> dict[str, Any]:
    """:param command: as the arm has it, without files and ports of one run.
    :param left_out: the peers that could not be had, each with why.
    """
    data = analysis.as_data()
    designs = {design["key"]: {**design, "series": None} for design in data["designs"]}
    for design in designs.values():
        del design["series"]
    found = {
        **data,
        "designs": designs,
        "targets": {slug(target.name): _as_data(target) for target in targets(analysis)},
        "command": " ".join(command),
        "left_out": list(left_out),
        "began_at": results.began_at,
        "settings": results.settings,
        "workload": {key: value for key, value in results.workload.items() if key != "sessions"},
        "environment": {
            key: "unknown" if (value := results.environment.get(key)) is None else value for key in _ENVIRONMENT
        },
        "sessions_run": len(results.runs) + sum(len(load.runs) for load in results.loads),
    }
    return dict(_rounded(found))


def slug(name: str) -> str:
    """A name of a path: ``end-to-end-time-of-e-below-a``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _as_data(target: Target) -> dict[str, Any]:
    return {name: getattr(target, name) for name in ("name", "target", "value", "reached", "remark")}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
