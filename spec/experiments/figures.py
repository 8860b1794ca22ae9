"""The paper's plots: SVG files beside it, and a fingerprint of each in the data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from caesura.client.bench.analysis import Analysis
from caesura.client.bench.report.plots import cost_plot, loads_plot, overhead_plot, stages_plot, ttft_plot
from caesura.client.bench.report.sweep_plots import sweep_plot

PLOTS: Mapping[str, Callable[[Analysis, str], str | None]] = {
    "stages": stages_plot,
    "cost": cost_plot,
    "ttft": ttft_plot,
    "overhead": overhead_plot,
    "loads": loads_plot,
}


def draw(analysis: Analysis, arm: str, plots: Sequence[str], folder: Path) -> dict[str, str]:
    """Fingerprints by file name. A plot that has nothing to show is none."""
    return _write({f"{arm}-{plot}": PLOTS[plot](analysis, f"{arm}-{plot}") for plot in plots}, folder)


def draw_sweeps(sweeps: Mapping[str, Sequence[Analysis]], folder: Path) -> dict[str, str]:
    """``sweeps``: what is varied, as ``sweep_plot`` calls it, and the experiments that differ in it."""
    return _write(
        {f"sweep-{which}": sweep_plot(analyses, which, f"sweep-{which}") for which, analyses in sweeps.items()}, folder
    )


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(plots: Mapping[str, str | None], folder: Path) -> dict[str, str]:
    written: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in plots.items():
        if plot is not None:
            text = plot.rstrip() + "\n"
            (folder / f"{name}.svg").write_text(text, encoding="utf-8")
            written[f"{name}.svg"] = fingerprint(text)
    return written
