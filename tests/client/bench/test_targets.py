"""Targets, and when an experiment can't tell."""

from __future__ import annotations

from caesura.client.bench.analysis import Analysis, analyse
from caesura.client.bench.records import Results
from caesura.client.bench.targets import Target, targets
from synthetic_results import MS, PACES, Pace, load_of, results_of


def steady(**fields: object) -> Results:
    return results_of(slower=0.0, **fields)  # type: ignore[arg-type]


def target(analysis: Analysis, name: str) -> Target:
    return next(row for row in targets(analysis) if row.name == name)


def test_targets_that_are_reached_and_missed() -> None:
    paces = {key: Pace(**{**vars(pace), "tools": 1.0}) for key, pace in PACES.items()}
    paces["e"].client = 0.2
    peers, loads = {"other": Pace(prefill=6, tools=1.0)}, [load_of("e", 40), load_of("e", 40)]
    analysis = analyse(results_of(paces, turns=35, peers=peers, loads=loads, slower=0.05))
    rows = targets(analysis)
    assert target(analysis, "end-to-end time of e below a").reached is True
    assert target(analysis, "end-to-end time of e below other").reached is False
    assert target(analysis, "end-to-end time of e below d").reached is True
    assert target(analysis, "time to first token of e below a").reached is True
    assert target(analysis, "overhead per boundary of e, median").reached is False
    assert target(analysis, "overhead per boundary of e, p99").reached is True
    assert target(analysis, "efficiency T*/T of e").reached is True
    assert target(analysis, "tail/head of a turn's cost, e").reached is None
    assert target(analysis, "streamed to one client, e").reached is True
    in_all = target(analysis, "streamed in all, one server")
    assert (in_all.value, in_all.reached) == ("5,000", True)
    assert "server 0.25" in in_all.remark
    assert len(rows) == 10


def test_targets_that_an_experiment_is_not_made_for() -> None:
    few = analyse(results_of(turns=5))
    assert target(few, "end-to-end time of e below a").reached is None
    assert "20 tool calls" in target(few, "end-to-end time of e below a").remark
    slow = results_of(turns=30)
    for limit in slow.limits:
        for turn in limit.turns:
            turn.decode_ns *= 10
    assert target(analyse(slow), "end-to-end time of e below a").reached is None
    assert target(few, "streamed in all, one server").reached is None
    assert targets(analyse(steady(paces={"a": Pace()}))) == []


def test_efficiency_and_overhead_are_for_the_same_experiments() -> None:
    rows = ("efficiency T*/T of e", "overhead per boundary of e, median", "overhead per boundary of e, p99")
    quick = {"e": Pace(tools=0)}
    experiments = {
        "20 tool calls": steady(paces=quick, turns=5),
        "a round trip was added": steady(paces=quick, turns=35, settings={"rtt_ms": 1}),
        "29% of T*": steady(turns=40),
    }
    for remark, experiment in experiments.items():
        for name in rows:
            row = target(analyse(experiment), name)
            assert row.reached is None
            assert remark in row.remark
    results = steady(paces=quick, turns=35)
    assert [target(analyse(results), name).reached for name in rows] == [True, True, True]


def test_a_percentile_of_few_turns_is_not_told() -> None:
    results = steady(paces={"e": Pace(tools=0.1)}, turns=30)
    row = target(analyse(results), "overhead per boundary of e, p99")
    assert (row.value, row.reached, row.remark) == ("0.50 ms", None, "of fewer than 100 turns")


def test_what_was_measured_once_is_not_told() -> None:
    rows = targets(analyse(steady(turns=160, repeats=1, loads=[load_of("e", 40)])))
    assert all(row.reached is None for row in rows)
    in_all = rows[-1]
    assert in_all.value == "5,000"
    assert in_all.remark.startswith("measured once")
    alone = analyse(steady(runs=[], limits=[], loads=[load_of("e", 40), load_of("e", 40)]))
    assert [(row.name, row.reached) for row in targets(alone)] == [("streamed in all, one server", True)]


def test_an_interval_that_holds_the_target_tells_nothing() -> None:
    row = target(
        analyse(results_of({"e": Pace(client=0.05, tools=0.1)}, turns=30)), "overhead per boundary of e, median"
    )
    assert row.reached is None
    assert row.remark == "its interval holds the target: another run may say otherwise"


def test_tail_to_head_counts_in_long_sessions() -> None:
    results = results_of(turns=200, repeats=2)
    assert target(analyse(results), "tail/head of a turn's cost, e").reached is True
    for run in results.runs:
        for number, turn in enumerate(run.turns):
            turn.last_event += number * MS // 5
            turn.ended = max(turn.ended, turn.last_event)
    assert target(analyse(results), "tail/head of a turn's cost, e").reached is False
