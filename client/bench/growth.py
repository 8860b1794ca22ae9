"""Whether a turn costs more, the longer the history is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .costs import RunCost, TurnCost
from .statistics import Estimate, Line, estimate_median, fit_line, median

MS = 1e6
FEWEST_TURNS = 6
"""Of a session, its first turn left out: with fewer there is no growth to speak of."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Cost: milliseconds of a turn without its tools and without the round trip that was added, which is the same at
    any length of history. The first turn, which computes the prompt, is left out.

    cost:      a line through cost over context, slope in ms per 1,000 tokens.
    over_limit: the same, the engine's own cost of each turn subtracted.
    tail_head: the median cost of the last turns to that of the first ones: a tenth of the session, at least ten
               turns, at most half of it.
    tail_head_over_limit: the same of what is over the engine's own cost; None where there is nothing over it.
    tail_head_of_limit: the same of the engine alone: what no design can avoid.
    turns:     of the longest session. tokens: the longest context.
    """

    cost: Line | None
    over_limit: Line | None
    tail_head: Estimate | None
    tail_head_over_limit: Estimate | None
    tail_head_of_limit: Estimate | None
    turns: int
    tokens: int


def growth_of(repeats: Sequence[Sequence[RunCost]], rtt: float = 0.0) -> Growth | None:
    """Of one design, given its runs, a group a repeat, and the added round trip (nanoseconds). None for sessions of a
    few turns."""

    def cost(turn: TurnCost) -> float | None:
        return turn.work - rtt

    def over_limit(turn: TurnCost) -> float | None:
        return None if turn.limit is None else turn.work - rtt - turn.limit

    runs = [run for group in repeats for run in group]
    if not any(len(run.turns) > FEWEST_TURNS for run in runs):
        return None
    return Growth(
        cost=_line(repeats, cost),
        over_limit=_line(repeats, over_limit),
        tail_head=_tail_head(repeats, cost),
        tail_head_over_limit=_tail_head(repeats, over_limit),
        tail_head_of_limit=_tail_head(repeats, _limit),
        turns=max(len(run.turns) for run in runs),
        tokens=max((turn.context or 0 for run in runs for turn in run.turns), default=0),
    )


def ends_ratio(values: Sequence[float]) -> float | None:
    """The median of the last values to that of the first ones. None if there are too few, or one is not above 0."""
    count = min(max(10, len(values) // 10), len(values) // 2)
    if len(values) < FEWEST_TURNS:
        return None
    head, tail = median(values[:count]), median(values[-count:])
    return tail / head if head > 0 and tail > 0 else None


def _line(repeats: Sequence[Sequence[RunCost]], cost: Callable[[TurnCost], float | None]) -> Line | None:
    return fit_line(
        [
            [
                (turn.context / 1000, value / MS)
                for run in group
                for turn in run.turns[1:]
                if turn.context is not None and (value := cost(turn)) is not None
            ]
            for group in repeats
        ]
    )


def _tail_head(repeats: Sequence[Sequence[RunCost]], cost: Callable[[TurnCost], float | None]) -> Estimate | None:
    ratios: list[float] = []
    for group in repeats:
        of_runs = [
            ratio
            for run in group
            if (ratio := ends_ratio([value for turn in run.turns[1:] if (value := cost(turn)) is not None])) is not None
        ]
        if of_runs:
            ratios.append(median(of_runs))
    return estimate_median(ratios)


def _limit(turn: TurnCost) -> float | None:
    return turn.limit
