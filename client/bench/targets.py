"""What done/append set out to reach, and whether an experiment shows that it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .analysis import Analysis
from .design_figures import DesignFigures
from .load_analysis import LoadFigures
from .stages import TOOLS
from .statistics import Estimate, estimate_median

FAST = 900.0
"""Tokens a second, of the engine alone in its fastest turns, from which an arm counts as one of 1,000 or more: what is
simulated at 1,000 comes to some less. On a slower model, decode hides what a design does."""
FEWEST_CALLS = 20
LARGEST_TOOLS = 0.1
"""Part of T* that tools may take where efficiency and overhead are judged: slow tools hide what a design does."""
FEWEST_TURNS = 100
"""For a 99th percentile: with fewer turns it is the largest value, or next to it."""
LONG_TURNS = 150
LONG_TOKENS = 30_000
"""Of context, at which a session counts as one of up to 32k."""


@dataclass(frozen=True, slots=True)
class Target:
    """``reached`` is None where the experiment can't tell; ``remark`` says why, or what else is to be known."""

    name: str
    target: str
    value: str
    reached: bool | None
    remark: str = ""


def targets(analysis: Analysis) -> list[Target]:
    """All of them, in the order in which they were set; of an experiment that is nothing but load, that of load."""
    reference = analysis.design("e")
    if reference is None or not reference.runs:
        return [_in_all(analysis)] if analysis.loads else []
    return [
        *_compared(analysis, reference),
        *_over_limit(analysis, reference),
        _growth(reference),
        _streamed(reference),
        _in_all(analysis),
    ]


def _compared(analysis: Analysis, e: DesignFigures) -> Iterator[Target]:
    untold = _not_made_for(analysis)
    for other in analysis.designs:
        if other.key == "a" or other.kind == "peer":
            name = f"end-to-end time of e below {other.key}"
            yield _at_least(name, ">= 40%", e.saved.get(other.key), 0.40, "{:.1%}", untold)
    yield _at_least("end-to-end time of e below d", "> 0%", e.saved.get("d"), 0.0, "{:.1%}", untold, strictly=True)
    yield _at_least("time to first token of e below a", ">= 45%", e.ttft_saved.get("a"), 0.45, "{:.1%}", untold)


def _over_limit(analysis: Analysis, e: DesignFigures) -> Iterator[Target]:
    untold = _not_made_for(analysis) or _hidden(analysis, e)
    yield _at_least("efficiency T*/T of e", ">= 97%", e.efficiency, 0.97, "{:.1%}", untold)
    spread = e.overhead_ms
    median, p99 = (None, None) if spread is None else (spread.median, spread.p99)
    yield _at_most("overhead per boundary of e, median", "<= 0.5 ms", median, 0.5, "{:.2f} ms", untold)
    if not untold and len(e.series.overhead_ms) < FEWEST_TURNS:
        untold = f"of fewer than {FEWEST_TURNS} turns"
    yield _at_most("overhead per boundary of e, p99", "<= 3 ms", p99, 3.0, "{:.2f} ms", untold)


def _growth(e: DesignFigures) -> Target:
    growth = e.growth
    known = "" if growth is None else f"{growth.turns} turns, {growth.tokens:,} tokens of context"
    untold = ""
    if growth is None or growth.turns < LONG_TURNS or growth.tokens < LONG_TOKENS:
        untold = f"{known}; set for {LONG_TURNS} turns up to 32k tokens".removeprefix("; ")
    elif growth.tail_head_of_limit is not None:
        known += f"; the engine alone: {growth.tail_head_of_limit.value:.3f}"
    ratio = None if growth is None else growth.tail_head
    return _at_most("tail/head of a turn's cost, e", "<= 1.05", ratio, 1.05, "{:.3f}", untold, known)


def _streamed(e: DesignFigures) -> Target:
    return _at_least("streamed to one client, e", ">= 1,000 tokens/s", e.stream_rate, 1000, "{:,.0f}")


def _in_all(analysis: Analysis) -> Target:
    """Of the best number of agents; loads with the same number are its repeats."""
    tried: dict[tuple[str, int], list[tuple[float, LoadFigures]]] = {}
    for load in analysis.loads:
        if load.tokens_per_second is not None and load.design in ("e", "f"):
            tried.setdefault((load.design, load.agents), []).append((load.tokens_per_second, load))
    found = [(rate, group) for group in tried.values() if (rate := estimate_median([each for each, _ in group]))]
    name, target = "streamed in all, one server", ">= 4,000 tokens/s"
    if not found:
        return Target(name, target, "-", None, "no load was measured")
    # What was measured often enough to scatter says more than a number that was only passed by.
    most = max(len(group) for _, group in found)
    rate, group = max((each for each in found if len(each[1]) == most), key=lambda each: each[0].value)
    load = group[0][1]
    cpu = ", ".join(f"{process} {share:.2f}" for process, share in load.cpu_share.items())
    known = f"{load.design}, {load.agents} agents" + (f"; cores used: {cpu}" if cpu else "")
    return _at_least(name, target, rate, 4000, "{:,.0f}", known=known)


def _not_made_for(analysis: Analysis) -> str:
    """Why designs can't be told from each other in this experiment; empty if they can."""
    if analysis.calls < FEWEST_CALLS:
        return f"set for sessions of {FEWEST_CALLS} tool calls and more"
    if analysis.peak_rate is None or analysis.peak_rate < FAST:
        return "set for models of 1,000 tokens/s and more"
    return ""


def _hidden(analysis: Analysis, e: DesignFigures) -> str:
    """Why little that is over the limit says nothing here; empty if it does."""
    if analysis.rtt_ms > 0:
        return "set for a loopback: a round trip was added"
    tools = e.stages_ms.get(TOOLS, 0.0)
    if e.limit_ms is not None and tools > LARGEST_TOOLS * e.limit_ms.value:
        return f"set for tools of no time: they take {tools / e.limit_ms.value:.0%} of T*"
    return ""


def _at_least(
    name: str,
    target: str,
    part: Estimate | None,
    least: float,
    form: str,
    untold: str = "",
    known: str = "",
    *,
    strictly: bool = False,
) -> Target:
    def holds(value: float) -> bool:
        return value > least if strictly else value >= least

    ends = None if part is None or part.low is None or part.high is None else (holds(part.low), holds(part.high))
    return _target(name, target, part, ends, form, untold, known)


def _at_most(
    name: str, target: str, part: Estimate | None, most: float, form: str, untold: str = "", known: str = ""
) -> Target:
    ends = None if part is None or part.low is None or part.high is None else (part.low <= most, part.high <= most)
    return _target(name, target, part, ends, form, untold, known)


def _target(
    name: str,
    target: str,
    part: Estimate | None,
    ends: tuple[bool, bool] | None,
    form: str,
    untold: str,
    known: str,
) -> Target:
    """``ends``: whether either end of the interval reaches it: what one end does and the other doesn't is not told."""
    if part is None:
        return Target(name, target, "-", None, untold or "not measured")
    value = form.format(part.value)
    if not untold and ends is None:
        untold = "measured once: there is no interval"
    elif not untold and ends is not None and ends[0] != ends[1]:
        untold = "its interval holds the target: another run may say otherwise"
    if untold:
        remark = untold if not known or untold.startswith(known) else f"{untold}; {known}"
        return Target(name, target, value, None, remark)
    return Target(name, target, value, None if ends is None else ends[0], known)
