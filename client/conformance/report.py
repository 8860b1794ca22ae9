"""The verdict for people: a table, and what happened at each failure."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .outcome import CheckOutcome, Failure, RequirementOutcome, Result, Verdict
from .requirements import REQUIREMENTS

LAST_ENTRIES = 30
"""Of a transcript; what led to a failure is at its end."""

LONGEST_LINE = 300


def print_verdict(verdict: Verdict, console: Console) -> None:
    """All of it: the table, the failures, the sums."""
    console.print(_table(verdict))
    for outcome in verdict.checks:
        for failure in outcome.failures:
            console.print(_failure(outcome, failure))
    console.print(summary(verdict))


def summary(verdict: Verdict) -> Text:
    """One line of sums. What was not run is never counted as passed."""
    counts = (
        (verdict.count(lambda row: row.result is Result.PASSED), "passed", "green"),
        (verdict.count(lambda row: row.is_error), "failed", "red"),
        (verdict.count(lambda row: row.is_warning), "warnings", "yellow"),
        (verdict.count(lambda row: row.result is Result.NOT_RUN), "not run", "dim"),
    )
    line = Text(f"{len(verdict.requirements)} requirements: ")
    for at, (count, name, style) in enumerate(counts):
        line.append(", " if at else "")
        line.append(f"{count} {name}", style=style if count else "")
    return line.append(f"  ({len(verdict.checks)} checks, {verdict.seconds:.1f} s)")


def _table(verdict: Verdict) -> Table:
    title = "Conformance" + "".join(f", {name} {value}" for name, value in verdict.facts.items())
    table = Table(title=title, title_justify="left")
    table.add_column("requirement", no_wrap=True)
    table.add_column("level", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in verdict.requirements:
        table.add_row(row.requirement.id, row.requirement.level, _result(row), _remark(row))
    return table


def _result(row: RequirementOutcome) -> Text:
    if row.is_error:
        return Text("FAILED", style="bold red")
    if row.is_warning:
        return Text("warning", style="yellow")
    return Text("passed", style="green") if row.result is Result.PASSED else Text("not run", style="dim")


def _remark(row: RequirementOutcome) -> Text:
    if row.result is Result.NOT_RUN:
        return Text(row.reason, style="dim")
    return Text(", ".join(dict.fromkeys(outcome.check.name for outcome, _ in row.failures)))


def _failure(outcome: CheckOutcome, failure: Failure) -> RenderableType:
    broken = [REQUIREMENTS[name] for name in failure.requirements]
    lines = [
        Text.assemble((f"[{each.id}]", "bold red" if each.is_must else "yellow"), f" {each.level}: {each.text}")
        for each in broken
    ]
    shown = outcome.transcript_of(failure, LAST_ENTRIES)
    left_out = failure.position > len(shown)
    told = [
        Text(_plain(failure.message), style="bold"),
        Text(f"check {outcome.check.name}: {outcome.check.description}"),
        *([Text("...", style="dim")] if left_out else []),
        *(Text(_short(str(entry)), style="dim") for entry in shown),
    ]
    return Group(Text(), *lines, Padding(Group(*told), (0, 0, 0, 2)))


def _short(line: str) -> str:
    return _plain(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ...")


def _plain(text: str) -> str:
    """What a server sent must not steer the terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
