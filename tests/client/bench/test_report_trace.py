"""Traces for Perfetto."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from caesura.client.bench.records import RunRecord, ToolRecord
from caesura.client.bench.report.perfetto import CLIENT, ENGINE, SERVER, first_runs, trace_of, write_trace
from hypothesis import given
from hypothesis import strategies as st
from synthetic_results import MS, Pace, load_of, results_of, run_of
from test_stages import TURN

Event = dict[str, Any]


def spans(trace: dict[str, Any], pid: int | None = None) -> list[Event]:
    return [event for event in trace["traceEvents"] if event["ph"] == "X" and pid in (None, event["pid"])]


def check(trace: dict[str, Any]) -> None:
    """What the format asks for: the fields, and spans that nest on each thread."""
    assert set(trace) == {"traceEvents", "displayTimeUnit", "otherData"}
    threads: dict[tuple[int, int], list[Event]] = {}
    for event in trace["traceEvents"]:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            continue
        assert event["ph"] == "X"
        assert event["dur"] >= 0
        assert isinstance(event["ts"], (int, float))
        threads.setdefault((event["pid"], event["tid"]), []).append(event)
    for events in threads.values():
        ends: list[float] = []
        for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
            began, ended = round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000)
            while ends and ends[-1] <= began:
                ends.pop()
            assert not ends or ended <= ends[-1], event
            ends.append(ended)


def test_a_trace_of_the_first_session_of_each_design(tmp_path: Path) -> None:
    results = results_of(turns=3, peers={"other": Pace()})
    results.runs[0].error = "gone"
    write_trace(results, tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_bytes())
    check(trace)
    assert trace == trace_of(results)
    assert {event["cat"] for event in spans(trace)} == {"a", "b", "d", "e", "other"}
    names = {event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"}
    assert {"client", "server", "engine", "a, s0, repeat 1, agent 0", "e, s0, repeat 0, agent 0: tool 1"} <= names
    assert {event["cat"] for event in spans(trace, SERVER)} == {"a", "b", "d", "e"}


def test_an_engine_without_a_model_is_called_simulated() -> None:
    for simulated, name in ((True, "engine (simulated)"), (False, "engine")):
        events = trace_of(results_of(simulated=simulated))["traceEvents"]
        assert [event["args"]["name"] for event in events if event["name"] == "process_name"][-1] == name


def test_spans_are_where_the_stamps_are() -> None:
    results = results_of(turns=2, repeats=1, slower=0)
    run = run_of("e", Pace(1, 2, 3, 4, 5, 6, 7, 8, 9, pre={"render": 1}, post=2), turns=2)
    trace = trace_of(results, [run])
    engine = [(event["name"], event["ts"], event["dur"]) for event in spans(trace, ENGINE)][:2]
    assert engine == [("prefill", 10_000, 5_000), ("decode", 15_000, 6_000)]
    assert [event["args"]["turn"] for event in spans(trace, ENGINE)] == [0, 0, 1, 1]
    server = {
        event["name"]: (event["ts"], event["dur"]) for event in spans(trace, SERVER) if event["args"]["turn"] == 1
    }
    second = 36_000 + 9_000
    assert server["turn 1"] == (second + 3_000, 25_000)
    assert server["queue"] == (second + 6_000, 4_000)
    assert server["engine"] == (second + 10_000, 11_000)
    assert server["post"] == (second + 26_000, 2_000)
    tool = next(event for event in spans(trace, CLIENT) if event["name"] == "tool")
    assert (tool["ts"], tool["dur"]) == (36_000, 9_000)


def test_parallel_tools_have_threads_of_their_own() -> None:
    run = run_of("e", Pace(), turns=2)
    turn = run.turns[0]
    turn.tools.append(ToolRecord(turn.last_event + MS, turn.ended + MS))
    trace = trace_of(results_of(), [run])
    check(trace)
    tools = [event for event in spans(trace, CLIENT) if event["name"] == "tool"]
    assert len({event["tid"] for event in tools}) == 2


def test_agents_of_a_load_have_threads_of_their_own() -> None:
    load = load_of("e", 3)
    trace = trace_of(results_of(), load.runs)
    check(trace)
    assert len({event["tid"] for event in spans(trace, ENGINE)}) == 3


@given(st.lists(TURN, max_size=6), st.integers(0, 10_000))
def test_spans_nest_whatever_the_stamps_are(turns: list[Any], began: int) -> None:
    trace = trace_of(results_of(paces={}), [RunRecord("f", "s0", 0, 0, began, began, turns)])
    check(json.loads(json.dumps(trace)))


def test_nothing_ended_well() -> None:
    results = results_of(turns=1, repeats=1)
    for run in results.runs:
        run.error = "gone"
    assert first_runs(results) == []
    check(trace_of(results))
    assert min(event["pid"] for event in trace_of(results)["traceEvents"]) == CLIENT
