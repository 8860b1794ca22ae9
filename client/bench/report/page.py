"""Experiments as one HTML page that needs nothing else: style, plots and raw data are inside."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec

from ..analysis import Analysis
from ..records import Results
from ..stages import MEANING
from ..targets import Target, targets
from . import plots
from .definitions import DEFINITIONS
from .formats import banner, change, changed, duration, rate, share, simulated_note, verdict
from .html import Content, Markup, bullets, element, embedded_json, figure, join, lines_of, table, terms, text
from .page_tables import (
    boundaries_table,
    comparison_table,
    growth_table,
    loads_table,
    sessions_table,
    stages_table,
    tokens_table,
    with_interval,
)
from .style import CSS, SCRIPT
from .sweep_plots import SWEEPS, sweep_plot

TITLE = "The cost of an agent loop"


def page_of(results: Sequence[Results], analyses: Sequence[Analysis]) -> str:
    """The page, given each experiment's raw data and what was found in it."""
    single = len(results) == 1
    note = simulated_note(each.simulated for each in results)
    heading = f"{TITLE} ({note})" if note else TITLE
    sections: list[Markup] = []
    if not single:
        sections += [element("h2", "All experiments"), _overview(analyses), *_sweeps(analyses)]
    for number, (each, analysis) in enumerate(zip(results, analyses, strict=True)):
        sections += _experiment(each, analysis, number, single)
    sections += [
        element("h2", "How the figures are defined"),
        terms(DEFINITIONS),
        element("h3", "Stages"),
        terms(MEANING.items()),
        element("h2", "Raw data"),
        element(
            "p",
            "All stamps of all turns, from which every figure here was computed, are in this file: in the element ",
            element("code", "#results"),
            ", as JSON: a list of experiments, as ",
            element("code", "caesura bench --from"),
            " reads it. Times are nanoseconds of one monotonic clock.",
        ),
        element("p", element("button", "Save results.json", id="download", type="button")),
        embedded_json(msgspec.json.encode(list(results)), "results"),
    ]
    head = join(
        [
            Markup('<meta charset="utf-8">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            element("title", f"{heading}: {results[0].arm}" if single else heading),
            element("style", Markup(CSS)),
        ]
    )
    body = join([element("h1", heading), *sections, element("script", Markup(SCRIPT))])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _experiment(results: Results, analysis: Analysis, number: int, single: bool) -> list[Markup]:
    def name(plot: str) -> str:
        return f"{plot}-{number}"

    simulated = banner(results)
    description = str(results.workload.get("description", ""))
    lead = f"{analysis.workload}: {analysis.calls:g} tool calls a session, {analysis.repeats} repeats, on {results.arm}"
    remarks = [
        Markup(f"<b>{text(design.key)}</b>: {text(remark)}")
        for design in analysis.designs
        for remark in (*design.notes, *(f"failed: {error}" for error in design.errors))
    ]
    parts: list[Markup] = []
    if not single:
        parts.append(element("h2", _name(analysis, number + 1)))
    parts += [
        element("p", f"{lead}. {description}", class_="lead"),
        element("p", simulated, class_="simulated") if simulated else Markup(""),
        bullets(analysis.warnings, class_="warning"),
        element("pre", shlex.join(results.command)),
        element("h3", "A session"),
        sessions_table(analysis),
        bullets(remarks, class_="warning"),
        figure(
            plots.stages_plot(analysis, name("stages")),
            "Where the time goes. Hatched: an outside server, seen from the client only.",
            "Stacked bars of time by stage, one for each design",
        ),
        stages_table(analysis),
        comparison_table(analysis),
        element("h3", "A tool boundary"),
        boundaries_table(analysis),
        figure(
            plots.overhead_plot(analysis, name("overhead")),
            "Part of all turns whose overhead is at most so large.",
            "Cumulative distribution of the overhead of a boundary, one line for each design",
        ),
        element("h3", "Turn by turn"),
        figure(
            plots.cost_plot(analysis, name("cost")),
            "Cost of turn k without its tools: the median of all sessions.",
            "Cost over the number of the turn, one line for each design",
        ),
        figure(
            plots.ttft_plot(analysis, name("ttft")),
            "Time to first token of turn k: the median of all sessions.",
            "Time to first token over the number of the turn, one line for each design",
        ),
        growth_table(analysis),
        element("h3", "Tokens, bytes, processor time"),
        tokens_table(analysis),
    ]
    if analysis.loads:
        parts += [
            element("h3", "Many agents at once"),
            loads_table(analysis),
            figure(
                plots.loads_plot(analysis, name("loads")),
                "Closed loop: each agent begins its next session when it has ended one.",
                "Throughput and time to first token over the number of agents",
            ),
        ]
    if rows := targets(analysis):
        parts += [element("h3", "Targets"), _targets(rows)]
    return [
        *parts,
        element("h3", "Settings and environment"),
        terms(lines_of({"began": results.began_at, **results.settings, **results.environment})),
    ]


def _targets(rows: Sequence[Target]) -> Markup:
    classes = {True: "yes", False: "no", None: "untold"}

    def cells(row: Target) -> list[Content]:
        name = join([row.name, element("small", row.remark)]) if row.remark else row.name
        return [name, row.target, row.value, element("span", verdict(row.reached), class_=classes[row.reached])]

    return table(("what was set out to be reached", "target", "value", "reached"), [cells(row) for row in rows])


def _overview(analyses: Sequence[Analysis]) -> Markup:
    def cells(number: int, each: Analysis) -> list[Content]:
        e = each.design("e")
        saved = e.saved.get("a") if e else None
        return [
            _name(each, number),
            f"{each.calls:g}",
            rate(each.limit_rate) if each.limit_rate else "-",
            f"{each.rtt_ms:g} ms",
            with_interval(e.session_ms if e else None, duration),
            with_interval(changed(saved), change),
            with_interval(e.efficiency if e else None, share),
            with_interval(e.overhead_ms.median if e and e.overhead_ms else None, duration),
        ]

    heads = (
        "experiment",
        "tool calls",
        "engine's tokens",
        "added RTT",
        "T of e",
        "e against a",
        "T*/T of e",
        "overhead of e",
    )
    return table(heads, [cells(at + 1, each) for at, each in enumerate(analyses)])


def _sweeps(analyses: Sequence[Analysis]) -> list[Markup]:
    return [
        figure(
            sweep_plot(analyses, which, f"sweep-{which}"),
            f"How many times as long as done/append the others take, over {sweep.label}.",
            f"Speed-up over {sweep.label}, one line for each design",
        )
        for which, sweep in SWEEPS.items()
    ]


def _name(analysis: Analysis, number: int) -> str:
    return f"{number}. {analysis.workload}, {analysis.arm}" + (" (simulated)" if analysis.simulated else "")
