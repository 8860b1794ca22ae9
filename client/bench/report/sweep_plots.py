"""Plots over several experiments: how many times as long the others take, over what was varied."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ..analysis import Analysis
from ..statistics import Estimate
from .drawing import legend_below, milliseconds, svg
from .formats import printable, simulated_note
from .palette import looks

REFERENCE = "e"
PANELS = 3
"""In a row."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is on the x axis, and what is the same for all points of a panel, with the panel's title."""

    label: str
    x: Callable[[Analysis], float | None]
    panel: Callable[[Analysis], tuple[Hashable, str]]


SWEEPS = {
    "calls": Sweep("tool calls a session", lambda each: each.calls, lambda each: ((each.arm, each.rtt_ms), _arm(each))),
    "rate": Sweep(
        "tokens/s of the engine alone",
        lambda each: each.limit_rate,
        lambda each: ((each.calls, each.rtt_ms), f"{each.calls:g} tool calls{_rtt(each)}"),
    ),
    "rtt": Sweep(
        "added round trip, ms",
        lambda each: each.rtt_ms,
        lambda each: ((each.arm, each.calls), f"{each.arm}, {each.calls:g} tool calls"),
    ),
}


def sweep_plot(analyses: Sequence[Analysis], which: str, name: str) -> str | None:
    """The speed-up of done/append, by design compared with. ``which``: a key of :data:`SWEEPS`. None if no two
    experiments differ in that alone."""
    sweep = SWEEPS[which]
    panels = _panels(analyses, sweep)
    if not panels:
        return None
    rows = -(-len(panels) // PANELS)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, min(len(panels), PANELS), squeeze=False, sharey=True)
        looking = looks(dict.fromkeys(design.key for each in analyses for design in each.designs))
        labels = {design.key: design.title for each in analyses for design in each.designs}
        for axes, (title, points) in zip(grid.flat, panels, strict=False):
            for key, look in looking.items():
                found = [(x, up) for x, each in points if (up := speed_up(each, key)) is not None]
                if key == REFERENCE or not found:
                    continue
                label = printable(key if labels[key] == key else f"{key}  {labels[key]}")
                errors = [
                    [up.value - (up.value if up.low is None else up.low) for _, up in found],
                    [(up.value if up.high is None else up.high) - up.value for _, up in found],
                ]
                axes.errorbar(
                    [x for x, _ in found],
                    [up.value for _, up in found],
                    yerr=errors,
                    fmt=look.dashes,
                    color=look.colour,
                    marker=look.marker,
                    markersize=4,
                    capsize=2,
                    label=label,
                )
            xs = [x for x, _ in points]
            if min(xs) > 0 and max(xs) / min(xs) > 10:
                milliseconds(axes, "x", log=True)
            axes.axhline(1, color="#444444", linewidth=0.9)
            axes.set_title(printable(title))
            axes.set_xlabel(sweep.label)
        for row in grid:
            row[0].set_ylabel(f"T of the design / T of {REFERENCE}")
        for spare in list(grid.flat)[len(panels) :]:
            spare.set_visible(False)
        most = max(grid.flat, key=lambda axes: len(axes.get_legend_handles_labels()[0]))
        legend_below(figure, most, 3)

    shown = [each.simulated for _, points in panels for _, each in points]
    return svg(name, 0.9 + 3.0 * rows, draw, simulated_note(shown))


def speed_up(analysis: Analysis, other: str) -> Estimate | None:
    """How many times as long the other design takes."""
    reference = analysis.design(REFERENCE)
    saved = None if reference is None else reference.saved.get(other)
    if saved is None or saved.value >= 1:
        return None
    low, high = (None if end is None or end >= 1 else 1 / (1 - end) for end in (saved.low, saved.high))
    return Estimate(1 / (1 - saved.value), low, high, saved.repeats, saved.coverage)


def _panels(analyses: Sequence[Analysis], sweep: Sweep) -> list[tuple[str, list[tuple[float, Analysis]]]]:
    found: dict[Hashable, tuple[str, list[tuple[float, Analysis]]]] = {}
    for each in analyses:
        x = sweep.x(each)
        if x is not None:
            key, title = sweep.panel(each)
            found.setdefault(key, (title, []))[1].append((x, each))
    return [
        (title, sorted(points, key=lambda point: point[0]))
        for title, points in found.values()
        if _differ([x for x, _ in points])
    ]


def _differ(values: Sequence[float]) -> bool:
    """By more than the rate of one engine does when it is measured twice."""
    return max(values) > 1.2 * min(values)


def _arm(analysis: Analysis) -> str:
    return f"{analysis.arm}{_rtt(analysis)}"


def _rtt(analysis: Analysis) -> str:
    return f", +{analysis.rtt_ms:g} ms" if analysis.rtt_ms else ""
