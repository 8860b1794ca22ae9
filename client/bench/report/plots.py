"""The plots of one experiment, as SVG text. Each is None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis import Analysis
from ..design_figures import DesignFigures, Series
from ..load_analysis import LoadFigures
from ..stages import GROUPS, grouped
from ..statistics import ecdf
from .drawing import legend_below, milliseconds, svg, whole_numbers
from .formats import printable, simulated_note
from .palette import HATCHES, STAGES, Look, looks

BETWEEN = "between turns"
SHOWN_RESIDUAL = 0.001
"""Part of a session from which its residual is drawn."""
SHOWN_POINTS = 400
"""Of an ECDF: more can't be told apart, and make a large page."""
WIDE = 15.0
"""A logarithmic axis where the largest value is so many times the smallest."""


def stages_plot(analysis: Analysis, name: str) -> str | None:
    """Time by stage of a session, stacked, a bar a design; beside it what a turn takes over the engine's own cost."""
    designs = [design for design in analysis.designs if design.runs]
    if not designs:
        return None
    has_excess = any(design.excess_ms for design in designs)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2 if has_excess else 1, sharey=True, squeeze=False)[0]
        _bars(panels[0], designs, _session)
        panels[0].set_title("A session, by stage")
        panels[0].set_xlabel("ms, mean")
        panels[0].set_yticks(range(len(designs)), [_label(design) for design in designs])
        panels[0].invert_yaxis()
        if has_excess:
            _bars(panels[1], designs, lambda design: design.excess_ms)
            panels[1].set_title("A turn, less the engine's own time")
            panels[1].set_xlabel("ms, mean")
        for axes in panels:
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
            axes.xaxis.set_major_locator(MaxNLocator(6))
        legend_below(figure, panels[0], 6)

    return svg(name, 1.7 + 0.42 * len(designs), draw, simulated_note([analysis.simulated]))


def cost_plot(analysis: Analysis, name: str) -> str | None:
    """What turn k costs without its tools, a line a design, and the engine alone."""
    return _by_turn(analysis, name, lambda series: series.cost_by_turn_ms, "ms of a turn, tools left out", limit=True)


def ttft_plot(analysis: Analysis, name: str) -> str | None:
    """Time to first token of turn k, a line a design."""
    return _by_turn(analysis, name, lambda series: series.ttft_by_turn_ms, "ms to a turn's first token", limit=False)


def overhead_plot(analysis: Analysis, name: str) -> str | None:
    """The part of all turns whose overhead is at most x."""
    shown = [design for design in analysis.designs if design.series.overhead_ms]
    if not shown:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        looking = looks(design.key for design in analysis.designs)
        lowest = min(min(design.series.overhead_ms) for design in shown)
        for design in shown:
            values, parts = _thinned(*ecdf(design.series.overhead_ms))
            look = looking[design.key]
            axes.plot(values, parts, look.dashes, color=look.colour, label=_label(design), drawstyle="steps-post")
        if lowest > 0:
            milliseconds(axes, "x", log=True)
        else:
            # With early tools a turn can cost less than its limit.
            milliseconds(axes, "x", linear_below=1.0)
        axes.set_xlabel("overhead of a boundary, ms")
        axes.set_ylabel("part of all turns")
        axes.set_ylim(0, 1.02)
        legend_below(figure, axes, 3)

    return svg(name, 3.9, draw, simulated_note([analysis.simulated]))


def loads_plot(analysis: Analysis, name: str) -> str | None:
    """Throughput and time to first token over the number of agents."""
    keys = list(dict.fromkeys(load.design for load in analysis.loads))
    if not keys:
        return None
    counted = all(load.tokens_per_second is not None for load in analysis.loads)

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        looking = looks([*(design.key for design in analysis.designs), *keys])
        for key in keys:
            loads = sorted((load for load in analysis.loads if load.design == key), key=lambda load: load.agents)
            agents = [load.agents for load in loads]
            _line(left, agents, [_throughput(load, counted) for load in loads], looking[key], printable(key))
            waits = [load for load in loads if load.ttft_ms]
            _line(
                right,
                [load.agents for load in waits],
                [load.ttft_ms["p99"] for load in waits],
                looking[key],
                printable(key),
            )
        left.set_title("tokens/s in all" if counted else "turns/s in all")
        right.set_title("time to first token, p99, ms")
        for axes in (left, right):
            axes.set_xlabel("agents at once")
            axes.set_ylim(bottom=0)
            whole_numbers(axes)
        legend_below(figure, left, 8)

    return svg(name, 3.6, draw, simulated_note([analysis.simulated]))


def _session(design: DesignFigures) -> dict[str, float]:
    stages = grouped(design.stages_ms)
    if design.residual_ms > SHOWN_RESIDUAL * design.mean_session_ms:
        stages[BETWEEN] = design.residual_ms
    return stages


def _bars(axes: Axes, designs: Sequence[DesignFigures], parts: Callable[[DesignFigures], dict[str, float]]) -> None:
    """What is below 0, a difference of two noisy figures, has no place in a stack: it is left out."""
    left = [0.0] * len(designs)
    for group in (*GROUPS, BETWEEN):
        widths = [max(parts(design).get(group, 0.0), 0.0) for design in designs]
        if not any(group in parts(design) for design in designs):
            continue
        axes.barh(
            range(len(designs)),
            widths,
            left=left,
            height=0.7,
            color=STAGES[group],
            hatch=HATCHES.get(group),
            label=group,
        )
        left = [start + width for start, width in zip(left, widths, strict=True)]


def _by_turn(
    analysis: Analysis, name: str, values: Callable[[Series], list[float]], title: str, *, limit: bool
) -> str | None:
    shown = [design for design in analysis.designs if len(values(design.series)) > 1]
    if not shown:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        looking = looks(design.key for design in analysis.designs)
        for design in shown:
            costs = values(design.series)
            _line(axes, range(1, 1 + len(costs)), costs, looking[design.key], _label(design))
        alone = max((design.series.limit_by_turn_ms for design in shown), key=len)
        if limit and alone:
            axes.plot(range(1, 1 + len(alone)), alone, color="#444444", linewidth=0.9, label="the engine alone")
        everything = [value for design in shown for value in values(design.series)] + (alone if limit else [])
        if min(everything) > 0 and max(everything) > WIDE * min(everything):
            milliseconds(axes, "y", log=True)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("turn")
        axes.set_ylabel(title)
        whole_numbers(axes)
        legend_below(figure, axes, 3)

    return svg(name, 4.2, draw, simulated_note([analysis.simulated]))


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], look: Look, label: str) -> None:
    axes.plot(
        x,
        y,
        look.dashes,
        color=look.colour,
        marker=look.marker,
        markersize=4,
        markevery=max(len(x) // 20, 1),
        linewidth=1.3,
        label=label,
    )


def _throughput(load: LoadFigures, counted: bool) -> float:
    return (load.tokens_per_second or 0.0) if counted else load.turns_per_second


def _thinned(values: list[float], parts: list[float]) -> tuple[list[float], list[float]]:
    """Both ends, and points that are evenly spread between them."""
    if len(values) <= SHOWN_POINTS:
        return values, parts
    at = [round(number * (len(values) - 1) / (SHOWN_POINTS - 1)) for number in range(SHOWN_POINTS)]
    return [values[index] for index in at], [parts[index] for index in at]


def _label(design: DesignFigures) -> str:
    return printable(design.key if design.title == design.key else f"{design.key}  {design.title}")
