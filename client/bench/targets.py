"""What done/append set out to reach, and whether an experiment shows that it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .analysis import Analysis
from .design_figures import DesignFigures
from .statistics import Estimate

FAST = 900.0
"""Tokens a second, of the engine alone, from which an arm counts as one of 1,000 or more: what is simulated at 1,000
comes to some less. On a slower model, decode hides what a design does."""
FEWEST_CALLS = 20
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
    """All of them, in the order in which they were set."""
    reference = analysis.design("e")
    if reference is None or not reference.runs:
        return []
    return [
        *_compared(analysis, reference),
        _at_least("efficiency T*/T of e", ">= 97%", reference.efficiency, 0.97),
        *_overhead(reference),
        *_growth(reference),
        *_rates(analysis, reference),
    ]


def _compared(analysis: Analysis, e: DesignFigures) -> Iterator[Target]:
    untold = ""
    if analysis.calls < FEWEST_CALLS:
        untold = f"set for sessions of {FEWEST_CALLS} tool calls and more"
    elif analysis.limit_rate is None or analysis.limit_rate < FAST:
        untold = "set for models of 1,000 tokens/s and more"
    for other in analysis.designs:
        if other.key == "a" or other.kind == "peer":
            name = f"end-to-end time of e below {other.key}"
            yield _at_least(name, ">= 40%", e.saved.get(other.key), 0.40, untold)
    yield _at_least("end-to-end time of e below d", "> 0%", e.saved.get("d"), 0.0, untold, strictly=True)
    yield _at_least("time to first token of e below a", ">= 45%", e.ttft_saved.get("a"), 0.45, untold)


def _overhead(e: DesignFigures) -> Iterator[Target]:
    spread = e.overhead_ms
    for name, limit, estimate in (
        ("overhead per boundary of e, median", 0.5, None if spread is None else spread.median),
        ("overhead per boundary of e, p99", 3.0, None if spread is None else spread.p99),
    ):
        value = f"{estimate.value:.2f} ms" if estimate else "-"
        yield Target(name, f"<= {limit:g} ms", value, None if estimate is None else estimate.value <= limit)


def _growth(e: DesignFigures) -> Iterator[Target]:
    growth = e.growth
    long = growth is not None and growth.turns >= LONG_TURNS and growth.tokens >= LONG_TOKENS
    remark = "" if growth is None else f"{growth.turns} turns, {growth.tokens:,} tokens of context"
    if not long:
        remark = f"{remark}; set for {LONG_TURNS} turns up to 32k tokens".removeprefix("; ")
    elif growth is not None and growth.tail_head_of_limit is not None:
        remark += f"; the engine alone: {growth.tail_head_of_limit.value:.3f}"
    ratio = None if growth is None else growth.tail_head
    reached = ratio.value <= 1.05 if ratio is not None and long else None
    yield Target("tail/head of a turn's cost, e", "<= 1.05", f"{ratio.value:.3f}" if ratio else "-", reached, remark)


def _rates(analysis: Analysis, e: DesignFigures) -> Iterator[Target]:
    rate = e.stream_rate
    reached = None if rate is None else rate.value >= 1000
    yield Target("streamed to one client, e", ">= 1,000 tokens/s", f"{rate.value:,.0f}" if rate else "-", reached)
    loads = [load for load in analysis.loads if load.tokens_per_second is not None and load.design in ("e", "f")]
    best = max(loads, key=lambda load: load.tokens_per_second or 0.0, default=None)
    if best is None or best.tokens_per_second is None:
        yield Target("streamed in all, one server", ">= 4,000 tokens/s", "-", None, "no load was measured")
        return
    cpu = ", ".join(f"{process} {share:.2f}" for process, share in best.cpu_share.items())
    remark = f"{best.design}, {best.agents} agents" + (f"; cores used: {cpu}" if cpu else "")
    value = f"{best.tokens_per_second:,.0f}"
    yield Target("streamed in all, one server", ">= 4,000 tokens/s", value, best.tokens_per_second >= 4000, remark)


def _at_least(
    name: str, target: str, part: Estimate | None, least: float, untold: str = "", strictly: bool = False
) -> Target:
    if part is None:
        return Target(name, target, "-", None, untold or "not measured")
    reached = part.value > least if strictly else part.value >= least
    remark = untold
    if not untold and part.low is not None and part.high is not None and part.low < least < part.high:
        remark = "its interval holds the target: another run may say otherwise"
    return Target(name, target, f"{part.value:.1%}", None if untold else reached, remark)
