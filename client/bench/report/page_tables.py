"""The tables of the page: figures with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis import Analysis
from ..design_figures import DesignFigures
from ..stages import API_OTHER, group_of, grouped
from ..statistics import Estimate
from .formats import NONE, Form, change, changed, count, duration, factor, interval_name, objective, rate, share, size
from .html import Content, Markup, element, join, table


def with_interval(estimate: Estimate | None, form: Form) -> Markup:
    interval = form.interval(estimate)
    return join([form.of(estimate), element("small", interval) if interval else Markup("")])


def sessions_table(analysis: Analysis) -> Markup:
    """T and T* of each design."""

    def cells(design: DesignFigures) -> list[Content]:
        return [
            _title(design),
            with_interval(design.session_ms, duration),
            with_interval(design.limit_ms, duration),
            with_interval(design.efficiency, share),
            with_interval(changed(design.saved.get("a")), change),
            with_interval(design.ttft_ms.median if design.ttft_ms else None, duration),
            f"{design.runs}" + (f" ({design.failed} failed)" if design.failed else ""),
        ]

    heads = ("design", "T", "T*", "T*/T", "T vs a", "TTFT", "sessions")
    return table(heads, [cells(design) for design in analysis.designs], _intervals(analysis, "of TTFT"))


def comparison_table(analysis: Analysis) -> Markup:
    """What each design takes more or less than each other one."""
    keys = [design.key for design in analysis.designs]
    rows: list[list[Content]] = [
        [design.key, *(with_interval(changed(design.saved.get(key)), change) for key in keys)]
        for design in analysis.designs
    ]
    return table(("T of", *(f"vs {key}" for key in keys)), rows, _intervals(analysis))


def stages_table(analysis: Analysis) -> Markup:
    """Stage by stage, the API's parts too, with the residual, down to the sum."""
    designs = analysis.designs
    names = dict.fromkeys(name for design in designs for name in design.stages_ms)
    groups = list(grouped(dict.fromkeys(names, 0.0)))
    ordered = sorted(names, key=lambda name: (groups.index(group_of(name)), name == API_OTHER))

    def row(name: str, values: Sequence[float | None]) -> list[Content]:
        return [name, *(NONE if value is None else f"{value:,.3f}" for value in values)]

    rows = [row(name, [design.stages_ms.get(name) for design in designs]) for name in ordered]
    rows.append(row("between turns (residual)", [design.residual_ms for design in designs]))
    rows.append(row("all", [design.mean_session_ms for design in designs]))
    return table(("stage, ms", *(design.key for design in designs)), rows, "Mean of a session.")


def boundaries_table(analysis: Analysis) -> Markup:
    """Overhead and boundary, and the time to first token."""

    def cells(design: DesignFigures) -> list[Content]:
        over, boundary, ttft = design.overhead_ms, design.boundary_ms, design.ttft_ms
        return [
            design.key,
            with_interval(over.median if over else None, duration),
            with_interval(over.p90 if over else None, duration),
            with_interval(over.p99 if over else None, duration),
            with_interval(design.boundary_overhead_ms, duration),
            with_interval(boundary.median if boundary else None, duration),
            with_interval(boundary.p99 if boundary else None, duration),
            with_interval(ttft.median if ttft else None, duration),
            with_interval(ttft.p99 if ttft else None, duration),
            with_interval(changed(design.ttft_saved.get("a")), change),
        ]

    heads = ("design", "overhead", "p90", "p99", "(T - T*) / N", "boundary", "p99", "TTFT", "p99", "TTFT vs a")
    caption = _intervals(analysis, "of overhead, boundary and TTFT")
    return table(heads, [cells(design) for design in analysis.designs], caption)


def growth_table(analysis: Analysis) -> Markup:
    """Slopes and ratios; nothing where sessions are too short for them."""
    rows: list[list[Content]] = [
        [
            design.key,
            with_interval(growth.cost.slope if growth.cost else None, factor),
            f"{growth.cost.r2:.2f}" if growth.cost else NONE,
            with_interval(growth.over_limit.slope if growth.over_limit else None, factor),
            with_interval(growth.tail_head, factor),
            with_interval(growth.tail_head_over_limit, factor),
            with_interval(growth.tail_head_of_limit, factor),
        ]
        for design in analysis.designs
        if (growth := design.growth) is not None
    ]
    heads = (
        "growth of a turn's cost",
        "ms per 1,000 tokens",
        "R2",
        "over the engine's own",
        "tail/head",
        "over the engine's own",
        "the engine alone",
    )
    return table(heads, rows, _intervals(analysis, "of slopes")) if rows else Markup("")


def tokens_table(analysis: Analysis) -> Markup:
    """What was computed, sent, and used, and the rate at which tokens came."""
    processes = list(dict.fromkeys(process for design in analysis.designs for process in design.cpu_ms))

    def cells(design: DesignFigures) -> list[Content]:
        tokens = design.tokens.values()
        return [
            design.key,
            *(NONE if value is None else count(value) for value in tokens),
            size(design.bytes_up),
            size(design.bytes_down),
            count(design.events),
            *(f"{design.cpu_ms[process]:.2f} ms" if process in design.cpu_ms else NONE for process in processes),
            with_interval(design.stream_rate, rate),
            duration(design.connect_ms),
        ]

    heads = (
        "design",
        *("given", "computed", "reused", "sampled", "bytes up", "bytes down", "events"),
        *(f"cpu of the {process}" for process in processes),
        *("tokens/s", "connecting"),
    )
    rows = [cells(design) for design in analysis.designs]
    return table(heads, rows, "Tokens, bytes and events of a session, processor time of a turn: means.")


def loads_table(analysis: Analysis) -> Markup:
    """One row for each number of agents."""
    largest = ", ".join(f"{key} {NONE if most is None else most}" for key, most in analysis.largest.items())
    rows: list[list[Content]] = [
        [
            f"{load.design}, agents: {load.agents}",
            rate(load.turns_per_second),
            NONE if load.tokens_per_second is None else rate(load.tokens_per_second),
            *(duration(load.ttft_ms[part]) if part in load.ttft_ms else NONE for part in ("p50", "p90", "p99")),
            join(
                [element("span", f"{process} {used:.2f}") for process, used in load.cpu_share.items()], Markup("<br>")
            ),
            f"{load.sessions}" + (f" ({load.failed} failed)" if load.failed else ""),
            objective(load.meets),
        ]
        for load in analysis.loads
    ]
    heads = ("design", "turns", "tokens", "TTFT p50", "p90", "p99", "cores used", "sessions", "objective")
    return table(heads, rows, f"Most agents that met the objective: {largest}." if largest else "")


def _title(design: DesignFigures) -> Markup:
    return join([design.key, element("small", design.title)]) if design.title != design.key else join([design.key])


def _intervals(analysis: Analysis, bootstrap: str = "") -> str:
    """``bootstrap``: which of them are no intervals of a median of repeats."""
    name = interval_name(design.session_ms for design in analysis.designs)
    return f"Medians over repeats; in small print, their {name}s" + (
        f", {bootstrap} bootstrap ones." if bootstrap else "."
    )
