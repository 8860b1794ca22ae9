"""An experiment in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..analysis import Analysis
from ..design_figures import DesignFigures
from ..records import Results
from ..stages import GROUPS, grouped
from ..statistics import Estimate
from ..targets import targets
from .formats import (
    NONE,
    Form,
    banner,
    change,
    changed,
    count,
    duration,
    factor,
    interval_name,
    objective,
    printable,
    rate,
    share,
    size,
    verdict,
)

BASE = "a"
"""The design that all others are compared with."""


def print_tables(results: Results, analysis: Analysis, console: Console) -> None:
    """All of it, for a terminal of 80 columns and more."""
    session = f"{analysis.calls:g} tool calls a session"
    console.print(Text(printable(f"{analysis.workload}, {session}, on {results.arm}"), style="bold"))
    if (simulated := banner(results)) is not None:
        console.print(Text(printable(simulated), style="bold black on yellow"))
    for warning in analysis.warnings:
        console.print(Text(f"Warning: {warning}", style="yellow"))
    if any(design.runs or design.failed for design in analysis.designs):
        _print(console, _sessions(analysis))
        for design in analysis.designs:
            for remark in (*design.notes, *(f"failed: {error}" for error in design.errors)):
                console.print(Text(printable(f"{design.key}: {remark}"), style="yellow"))
        _print(console, _stages(analysis))
        _print(console, _boundaries(analysis))
        _print(console, _client_view(analysis))
        _print(console, _growth(analysis))
    if analysis.loads:
        _print(console, _loads(analysis))
    _print(console, _targets(analysis))


def _sessions(analysis: Analysis) -> Table:
    heads = ("design", "T", f"vs {BASE}", "T*/T", "TTFT", "up", "down", "comp.", "cpu")
    table = _table(
        f"A session: median of {analysis.repeats} repeats, ± its "
        f"{interval_name(design.session_ms for design in analysis.designs)}",
        heads,
        right=range(1, len(heads)),
        caption="T: wall time. T*: the engine alone. TTFT: time to first token of a turn, ± a bootstrap interval. up, "
        "down: bytes. comp.: tokens computed. cpu: the server's ms a turn, its engine's left out.",
    )
    for design in analysis.designs:
        table.add_row(
            Text.assemble((printable(design.key), "bold"), printable(_title(design))),
            _cell(design.session_ms, duration),
            _cell(changed(design.saved.get(BASE)), change),
            _cell(design.efficiency, share),
            _cell(design.ttft_ms.median if design.ttft_ms else None, duration),
            size(design.bytes_up),
            size(design.bytes_down),
            NONE if (computed := design.tokens["decoded"]) is None else count(computed),
            f"{design.cpu_ms['server']:.2f}" if "server" in design.cpu_ms else NONE,
        )
    return table


def _stages(analysis: Analysis) -> Table:
    sums = [grouped(design.stages_ms) for design in analysis.designs]
    heads = ("stage", *(printable(design.key) for design in analysis.designs))
    table = _table("Where a session's time goes: mean, ms", heads, right=range(1, len(heads)))
    for group in (group for group in GROUPS if any(group in each for each in sums)):
        table.add_row(group, *(f"{each[group]:,.2f}" if group in each else NONE for each in sums))
    table.add_row("between turns", *(f"{design.residual_ms:,.2f}" for design in analysis.designs), style="dim")
    table.add_row("all", *(f"{design.mean_session_ms:,.2f}" for design in analysis.designs), style="bold")
    return table


def _boundaries(analysis: Analysis) -> Table:
    heads = ("design", "overhead", "p90", "p99", "(T-T*)/N", "boundary", "p99")
    table = _table(
        "A tool boundary",
        heads,
        right=range(1, len(heads)),
        caption="overhead: of a turn, over its limit, tools and a round trip. boundary: last token to next token, both "
        "in the engine, less tools, round trip and the engine's own prefill.",
    )
    for design in analysis.designs:
        over, boundary = design.overhead_ms, design.boundary_ms
        table.add_row(
            Text(printable(design.key), style="bold"),
            _cell(over.median if over else None, duration),
            _cell(over.p90 if over else None, duration),
            _cell(over.p99 if over else None, duration),
            _cell(design.boundary_overhead_ms, duration),
            _cell(boundary.median if boundary else None, duration),
            _cell(boundary.p99 if boundary else None, duration),
        )
    return table


def _client_view(analysis: Analysis) -> Table:
    heads = ("design", "TTFT", "p90", "p99", f"vs {BASE}", "tokens", "events", "connect")
    table = _table(
        "As the client sees it",
        heads,
        right=range(1, len(heads)),
        caption="TTFT: of a turn. tokens: while a turn streams. events: of a session.",
    )
    for design in analysis.designs:
        ttft = design.ttft_ms
        table.add_row(
            Text(printable(design.key), style="bold"),
            _cell(ttft.median if ttft else None, duration),
            _cell(ttft.p90 if ttft else None, duration),
            _cell(ttft.p99 if ttft else None, duration),
            _cell(changed(design.ttft_saved.get(BASE)), change),
            _cell(design.stream_rate, rate),
            count(design.events),
            duration(design.connect_ms),
        )
    return table


def _growth(analysis: Analysis) -> Table:
    heads = ("design", "ms/1k tokens", "over the limit", "tail/head", "over the limit", "engine alone")
    table = _table(
        "Growth with the history",
        heads,
        right=range(1, len(heads)),
        caption="A turn's cost without its tools: slope over the context; last turns to first ones. The same with the "
        "engine's own cost taken off, and of the engine alone.",
    )
    for design in analysis.designs:
        if (growth := design.growth) is None:
            continue
        table.add_row(
            Text(printable(design.key), style="bold"),
            _cell(growth.cost.slope if growth.cost else None, factor),
            _cell(growth.over_limit.slope if growth.over_limit else None, factor),
            _cell(growth.tail_head, factor),
            _cell(growth.tail_head_over_limit, factor),
            _cell(growth.tail_head_of_limit, factor),
        )
    return table


def _loads(analysis: Analysis) -> Table:
    heads = ("design", "agents", "turns", "tokens", "TTFT", "p99", "cores", "failed", "objective")
    largest = ", ".join(f"{key} {NONE if most is None else most}" for key, most in analysis.largest.items())
    caption = printable(f"Most agents that met it: {largest}.") if largest else ""
    table = _table("Many agents at once", heads, right=range(1, 8), caption=caption)
    for load in analysis.loads:
        table.add_row(
            Text(printable(load.design), style="bold"),
            str(load.agents),
            rate(load.turns_per_second),
            NONE if load.tokens_per_second is None else rate(load.tokens_per_second),
            *(duration(load.ttft_ms[part]) if part in load.ttft_ms else NONE for part in ("p50", "p99")),
            "\n".join(f"{process} {used:.2f}" for process, used in load.cpu_share.items()) or NONE,
            str(load.failed),
            objective(load.meets),
        )
    return table


def _targets(analysis: Analysis) -> Table:
    table = _table("Targets", ("", "target", "value", "reached"), right=(1, 2))
    styles = {True: "green", False: "bold red", None: "dim"}
    for row in targets(analysis):
        remark = (f"\n{printable(row.remark)}", "dim") if row.remark else ""
        reached = Text(verdict(row.reached), style=styles[row.reached])
        table.add_row(Text.assemble(printable(row.name), remark), row.target, row.value, reached)
    return table


def _title(design: DesignFigures) -> str:
    return f" {design.title}" if design.title != design.key else ""


def _table(title: str, heads: Sequence[str], right: Iterable[int] = (), caption: str = "") -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold", title_style="bold underline")
    table.padding = (0, 1, 0, 0)
    table.caption, table.caption_justify, table.caption_style = caption or None, "left", "dim"
    to_the_right = set(right)
    for at, head in enumerate(heads):
        table.add_column(head, justify="right" if at in to_the_right else "left", overflow="fold")
    return table


def _print(console: Console, table: Table) -> None:
    if table.row_count:
        console.print()
        console.print(table)


def _cell(estimate: Estimate | None, form: Form) -> Text:
    margin = form.margin(estimate)
    return Text.assemble(form.of(estimate), (f"\n{margin}", "dim") if margin else "")
