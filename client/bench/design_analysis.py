"""The figures of one design, from its runs and from those of the designs that it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import zip_longest

from .caveats import notes_on
from .costs import RunCost, TurnCost, round_trip, usage_of
from .design_figures import DesignFigures, Series
from .growth import growth_of
from .records import DesignInfo, Results, TurnRecord
from .stages import DECODE, PREFILL, SERVER_FIRST, SERVER_STREAMING, TOOLS, grouped, residual, stages_of_run
from .statistics import Estimate, Spread, estimate_median, estimate_ratio, estimate_spread, median

MS = 1e6


def design_figures(results: Results, info: DesignInfo, by_design: Mapping[str, list[RunCost]]) -> DesignFigures:
    """Of the design ``info``, given all runs that ended well by design."""
    runs = by_design[info.key]
    repeats = _by_repeat(runs)
    failed = [run for run in results.runs if run.design == info.key and run.error is not None]
    turns = [turn for run in runs for turn in run.turns]
    records = [turn for run in runs for turn in run.run.turns]
    stages = _mean_of_sums([{name: ns / MS for name, ns in stages_of_run(run.run).items()} for run in runs])
    others = {key: other for key, other in by_design.items() if key != info.key}
    boundaries = [run for run in runs if run.limit is not None and len(run.turns) > 1]
    return DesignFigures(
        key=info.key,
        title=info.title,
        kind=info.kind,
        runs=len(runs),
        failed=len(failed),
        errors=list(dict.fromkeys(run.error or "" for run in failed)),
        turns=len(turns) / len(runs) if runs else 0.0,
        session_ms=_over_repeats(runs, lambda run: run.wall / MS),
        mean_session_ms=_mean([run.wall / MS for run in runs]),
        limit_ms=_over_repeats(runs, lambda run: None if run.limit is None else run.limit / MS),
        efficiency=_paired(
            [(run.limit, run.wall, run.run.repeat) for run in runs if run.limit is not None],
        ),
        overhead_ms=_spread(repeats, lambda turn: turn.overhead),
        boundary_overhead_ms=_over_repeats(
            boundaries, lambda run: (run.wall - (run.limit or 0)) / (len(run.turns) - 1) / MS
        ),
        boundary_ms=_spread(repeats, lambda turn: turn.boundary),
        ttft_ms=_spread(repeats, lambda turn: turn.ttft),
        saved=_present({key: _saved(runs, other) for key, other in others.items()}),
        ttft_saved=_present({key: _ttft_saved(runs, other) for key, other in others.items()}),
        stages_ms=stages,
        residual_ms=_mean([residual(run.run) / MS for run in runs]),
        excess_ms=_excess(runs, stages, round_trip(results)),
        tokens=_tokens(records, len(runs)),
        bytes_up=_mean_sum(records, len(runs), lambda turn: turn.bytes_up),
        bytes_down=_mean_sum(records, len(runs), lambda turn: turn.bytes_down),
        events=_mean_sum(records, len(runs), lambda turn: turn.events),
        connect_ms=median([run.run.connect_ns / MS for run in runs]) if runs else 0.0,
        cpu_ms=_cpu(runs, len(turns)),
        stream_rate=_over_repeats(runs, _stream_rate),
        growth=growth_of(repeats, round_trip(results)),
        notes=notes_on(info, runs, results),
        series=_series(runs),
    )


def _by_repeat(runs: Iterable[RunCost]) -> list[list[RunCost]]:
    groups: dict[int, list[RunCost]] = {}
    for run in runs:
        groups.setdefault(run.run.repeat, []).append(run)
    return [groups[repeat] for repeat in sorted(groups)]


def _over_repeats(runs: Sequence[RunCost], figure: Callable[[RunCost], float | None]) -> Estimate | None:
    """One value a repeat, the mean of its sessions; then the median of the repeats."""
    values = [[value for run in group if (value := figure(run)) is not None] for group in _by_repeat(runs)]
    return estimate_median([_mean(group) for group in values if group])


def _spread(repeats: Sequence[Sequence[RunCost]], figure: Callable[[TurnCost], float | None]) -> Spread | None:
    return estimate_spread(
        [
            [value / MS for run in group for turn in run.turns if (value := figure(turn)) is not None]
            for group in repeats
        ]
    )


def _paired(values: Iterable[tuple[float, float, int]]) -> Estimate | None:
    """The median over repeats of (sum of the first) / (sum of the second), given (first, second, repeat)."""
    above: dict[Hashable, float] = {}
    below: dict[Hashable, float] = {}
    for first, second, repeat in values:
        above[repeat] = above.get(repeat, 0) + first
        below[repeat] = below.get(repeat, 0) + second
    return estimate_ratio(above, below)


def _saved(runs: Sequence[RunCost], others: Sequence[RunCost]) -> Estimate | None:
    walls = {run.key: run.wall for run in others}
    return _less(_paired([(run.wall, walls[run.key], run.run.repeat) for run in runs if run.key in walls]))


def _ttft_saved(runs: Sequence[RunCost], others: Sequence[RunCost]) -> Estimate | None:
    both = {run.key for run in runs} & {run.key for run in others}
    mine, theirs = (_ttft_by_repeat([run for run in each if run.key in both]) for each in (runs, others))
    return _less(estimate_ratio(mine, theirs))


def _ttft_by_repeat(runs: Sequence[RunCost]) -> dict[Hashable, float]:
    groups: dict[Hashable, list[float]] = {}
    for run in runs:
        groups.setdefault(run.run.repeat, []).extend(turn.ttft for turn in run.turns)
    return {repeat: median(values) for repeat, values in groups.items() if values}


def _less(ratio: Estimate | None) -> Estimate | None:
    """1 - ratio."""
    if ratio is None:
        return None
    low = None if ratio.high is None else 1 - ratio.high
    high = None if ratio.low is None else 1 - ratio.low
    return Estimate(1 - ratio.value, low, high, ratio.repeats, ratio.coverage)


def _present(estimates: dict[str, Estimate | None]) -> dict[str, Estimate]:
    return {key: estimate for key, estimate in estimates.items() if estimate is not None}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _mean_of_sums(sums: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in sums for name in each)
    return {name: _mean([each.get(name, 0.0) for each in sums]) for name in names}


def _mean_sum(turns: Sequence[TurnRecord], runs: int, figure: Callable[[TurnRecord], int]) -> float:
    return sum(figure(turn) for turn in turns) / runs if runs else 0.0


def _excess(runs: Sequence[RunCost], stages: Mapping[str, float], rtt: float) -> dict[str, float]:
    """By group of stages; of the sessions that have a limit, and nothing if some have none."""
    turns = [turn for run in runs for turn in run.turns]
    if not turns or any(run.limit is None for run in runs):
        return {}
    each = len(turns) / len(runs)
    prefill, decode = (
        _mean([(turn.prefill or 0) / MS for turn in turns]),
        _mean([(turn.decode or 0) / MS for turn in turns]),
    )
    alone = {
        PREFILL: prefill,
        DECODE: decode,
        "network": rtt / MS,
        SERVER_FIRST: prefill + rtt / MS,
        SERVER_STREAMING: decode,
    }
    return {name: ms / each - alone.get(name, 0.0) for name, ms in grouped(dict(stages)).items() if name != TOOLS}


def _tokens(turns: Sequence[TurnRecord], runs: int) -> dict[str, float | None]:
    counts = [_counts(turn) for turn in turns]
    names = ("given", "decoded", "reused", "sampled")
    if not runs:
        return dict.fromkeys(names)
    columns: list[list[int | None]] = [list(column) for column in zip(*counts, strict=True)] or [[] for _ in names]
    return {
        name: None if None in column else sum(count or 0 for count in column) / runs
        for name, column in zip(names, columns, strict=True)
    }


def _counts(turn: TurnRecord) -> tuple[int | None, int | None, int | None, int | None]:
    if turn.server is not None:
        return turn.server.given, turn.server.decoded, turn.server.reused, turn.server.sampled
    given, cached, sampled = usage_of(turn)
    return given, None if given is None or cached is None else given - cached, cached, sampled


def _cpu(runs: Sequence[RunCost], turns: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for run in runs:
        for process, ns in run.run.cpu_ns.items():
            sums[process] = sums.get(process, 0.0) + ns / MS
    return {process: ms / turns for process, ms in sums.items()} if turns else {}


def _stream_rate(run: RunCost) -> float | None:
    """A turn's first token is what the stream begins with, so it isn't counted."""
    streamed = [turn for turn in run.turns if turn.sampled is not None and turn.sampled > 1 and turn.stream > 0]
    return (
        sum((turn.sampled or 1) - 1 for turn in streamed) * 1e9 / sum(turn.stream for turn in streamed)
        if streamed
        else None
    )


def _series(runs: Sequence[RunCost]) -> Series:
    return Series(
        cost_by_turn_ms=_by_turn(runs, lambda turn: turn.work),
        limit_by_turn_ms=_by_turn(runs, lambda turn: turn.limit),
        ttft_by_turn_ms=_by_turn(runs, lambda turn: turn.ttft),
        overhead_ms=[turn.overhead / MS for run in runs for turn in run.turns if turn.overhead is not None],
    )


def _by_turn(runs: Sequence[RunCost], figure: Callable[[TurnCost], float | None]) -> list[float]:
    medians: list[float] = []
    for turns in zip_longest(*(run.turns for run in runs)):
        known = [value / MS for turn in turns if turn is not None and (value := figure(turn)) is not None]
        if not known:
            break
        medians.append(median(known))
    return medians
