"""``caesura bench`` as a whole: on a simulated engine, so that it is over soon, with an outside server beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from caesura.client.bench.command import DONE, FAILED, NOT_STARTED, bench
from caesura.client.bench.driver import BenchError
from caesura.client.bench.drivers import DESIGNS
from caesura.client.bench.load import Objective
from caesura.client.bench.options import make_parser, plans_of
from caesura.client.bench.plan import CostModel, Engine, Plan
from caesura.client.bench.presets import make_workload
from caesura.client.bench.records import LimitTurn, Results
from caesura.client.bench.yardstick import Yardstick

FAST = ["--tokens-per-second", "4000", "--cost-model", "prefill=100000", "--quiet"]
SMALL = ["--tool-calls", "3", "--prompt-tokens", "60", "--append-tokens", "30", "--output-tokens", "40"]


def read(file: Path) -> list[Results]:
    return msgspec.json.decode(file.read_bytes(), type=list[Results])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def measured(folder: Path, served: Any) -> Results:
    """All designs and a peer, two repeats."""
    arguments = [*FAST, *SMALL, "--repeats", "2", "--peer", f"outside=responses+{served.url}", "--tool-time", "0.002"]
    arguments += ["--json", str(folder / "raw.json"), "--report", str(folder / "report.html")]
    arguments += ["--trace", str(folder / "trace.json")]
    assert bench(arguments) == DONE
    (results,) = read(folder / "raw.json")
    return results


def test_everybody_plays_everything_in_an_order_of_its_own(measured: Results) -> None:
    names = [*(design.key for design in DESIGNS), "outside"]
    assert [design.key for design in measured.designs] == names
    assert sorted((run.repeat, run.design) for run in measured.runs) == sorted(
        (repeat, name) for repeat in range(2) for name in names
    )
    assert sorted(limit.repeat for limit in measured.limits) == [0, 1]
    orders = [run.order for run in measured.runs] + [limit.order for limit in measured.limits]
    assert sorted(orders) == list(range(2 * (len(names) + 1)))
    assert [run.error for run in measured.runs] == [None] * len(measured.runs)


def test_all_designs_sample_the_same_tokens_and_compute_what_theirs_must(measured: Results) -> None:
    for run in measured.runs:
        if run.design == "outside":
            assert all(turn.server is None for turn in run.turns)
            continue
        turns = [turn.server for turn in run.turns if turn.server is not None]
        assert [turn.sampled for turn in turns] == [40] * 4
        # Both limits are of one workload, whose counts were taken from a session of design e.
        assert [turn.given for turn in turns] == [limit.context + limit.appended for limit in measured.limits[0].turns]
        reused = [turn.reused for turn in turns]
        if run.design == "a":
            assert reused == [0, 0, 0, 0]
        else:
            assert reused[0] == 0
            assert reused[1:] == [limit.context for limit in measured.limits[0].turns][1:]


def test_every_span_lies_where_it_must(measured: Results) -> None:
    for run in measured.runs:
        assert run.began <= run.turns[0].began
        assert run.turns[-1].ended <= run.ended
        for turn in run.turns:
            assert turn.began <= turn.sent <= turn.first_byte <= turn.last_event <= turn.ended
            assert turn.bytes_up > 0
            assert turn.bytes_down > 0
            if turn.server is not None and run.design != "f":
                assert turn.began <= turn.server.received <= turn.server.first_token <= turn.last_event
        assert [len(turn.tools) for turn in run.turns] == [1, 1, 1, 0]
        assert run.cpu_ns.keys() >= {"client", "server"}


def test_bytes_grow_with_the_history_in_some_designs(measured: Results) -> None:
    sent = {run.design: [turn.bytes_up for turn in run.turns] for run in measured.runs}
    for design in "ab":
        assert sent[design] == sorted(set(sent[design]))
    assert max(sent["e"][1:]) < min(sent["d"][1:]) < min(sent["c"][1:])


def test_what_it_measured_can_be_read_again(
    measured: Results, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--tokens-per-second" in measured.command
    assert measured.simulated
    assert measured.settings["repeats"] == 2
    assert bench(["--from", str(folder / "raw.json"), "--report", str(folder / "again.html")]) == DONE
    said = capsys.readouterr().out
    assert "SIMULATED" in said
    assert "done/append" in said
    assert (folder / "again.html").read_text() == (folder / "report.html").read_text()


def test_the_page_and_the_trace_are_whole(measured: Results, folder: Path) -> None:
    page = (folder / "report.html").read_text()
    HTMLParser().feed(page)
    assert "SIMULATED" in page
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    assert {event["ph"] for event in events} <= {"M", "X"}
    assert any(event.get("name") == "prefill" for event in events)


def test_a_round_trip_takes_what_was_added(folder: Path) -> None:
    file = folder / "rtt.json"
    arguments = [*FAST, *SMALL, "--repeats", "1", "--designs", "de", "--rtt-ms", "20", "--json", str(file)]
    assert bench(arguments) == DONE
    (results,) = read(file)
    for run in results.runs:
        assert all(turn.first_byte - turn.sent >= 20e6 for turn in run.turns)


def test_many_at_once(folder: Path) -> None:
    file = folder / "load.json"
    arguments = [*FAST, *SMALL, "--designs", "e", "--agents", "4", "--load-seconds", "0.2", "--json", str(file)]
    assert bench([*arguments, "--slo-ttft-ms", "100000"]) == DONE
    (results,) = read(file)
    assert [load.agents for load in results.loads] == [
        1,
        2,
        4,
        4,
        4,
    ]  # the number that was found counts, so it is repeated
    assert all(load.meets for load in results.loads)
    for load in results.loads:
        assert {run.agent for run in load.runs} == set(range(load.agents))
        assert load.cpu_ns["engine"] > 0
        assert all(turn.server is not None for run in load.runs for turn in run.turns)


def test_a_sweep_is_several_experiments(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, page = folder / "sweep.json", folder / "sweep.html"
    arguments = [*FAST, *SMALL, "--designs", "ae", "--repeats", "1", "--sweep", "tool-calls=1,4"]
    assert bench([*arguments, "--json", str(file), "--report", str(page)]) == DONE
    assert [len(results.runs[0].turns) for results in read(file)] == [2, 5]
    assert "<svg" in page.read_text()


def test_a_recorded_trace_with_text_is_played(folder: Path) -> None:
    trace, file = folder / "recorded.jsonl", folder / "recorded.json"
    turns = [
        {"text": "I look.", "calls": [{"arguments": {"at": "the door"}, "output": "It is open.", "seconds": 0}]},
        {"text": "It is open."},
    ]
    trace.write_text(json.dumps({"instructions": "Be brief.", "task": "Is it open?", "turns": turns}) + "\n")
    assert bench([*FAST, "--trace-file", str(trace), "--designs", "e", "--repeats", "1", "--json", str(file)]) == DONE
    (results,) = read(file)
    assert len(results.runs[0].turns) == 2


def test_a_session_that_breaks_off_is_told(folder: Path, served: Any) -> None:
    """A peer that goes on speaking of a model which is not there."""
    file = folder / "broken.json"
    peer = f'outside=responses+{served.url}#{{"model": "gone"}}'
    arguments = [*FAST, *SMALL, "--designs", "e", "--repeats", "1", "--peer", peer, "--json", str(file)]
    assert bench(arguments) == FAILED
    (results,) = read(file)
    errors = {run.design: run.error for run in results.runs}
    assert errors["e"] is None
    assert "gone" in (errors["outside"] or "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--designs", "xyz"], "no design 'x'"),
        (["--designs", "ee"], "twice"),
        (["--designs", "-"], "nothing to measure"),
        (["--cost-model", "prefill=1"], "--tokens-per-second"),
        (["--tokens-per-second", "10", "--cost-model", "speed=1"], "speed=1"),
        (["--tokens-per-second", "10", "--cost-model", "prefill=fast"], "prefill=fast"),
        (["--sweep", "colour=red"], "colour"),
        (["--sweep", "tool-calls=one"], "'one'"),
        (["--peer", "here"], "NAME=URL"),
        (["--peer", "a=http://127.0.0.1:1"], "can't be called 'a'"),
        (["--slo-ttft-ms", "5"], "--agents"),
        (["--json", "/nowhere/at/all.json"], "can't be written"),
        (["--trace-file", "/nowhere.jsonl"], "nowhere.jsonl"),
        (["--from", "/nowhere.json"], "nowhere.json"),
        (["--model", "/nowhere.gguf"], "nowhere.gguf"),
        (["--shape", "9t"], "9t"),
        (["--ctx", "100", "--tool-calls", "5"], "does not fit"),
        (["--tool-calls", "1000000"], "too many"),
        (["--agents", "2", "--trace", "/tmp/never.json"], "--agents"),
        (["--trace-file", "/nowhere.jsonl", "--tool-calls", "3"], "--tool-calls"),
        ([*FAST, *SMALL, "--designs", "e", "--peer", "p=http://127.0.0.1:1"], "127.0.0.1:1"),
        ([*FAST, *SMALL, "--designs", "e", "--server-option=--nonsense"], "nonsense"),
    ],
)
def test_what_can_not_be_measured_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(arguments) == NOT_STARTED
    error = capsys.readouterr().err
    assert error.startswith("caesura bench: ")
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments", [["--tool-time", "sometimes"], ["--repeats", "0"], ["--rtt-ms", "-1"], ["--what"]]
)
def test_wrong_usage_ends_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_raw_data_of_something_else_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("[]", "{}", "[1]", "nothing"):
        (folder / "other.json").write_text(text)
        assert bench(["--from", str(folder / "other.json")]) == NOT_STARTED
        assert "other.json" in capsys.readouterr().err


def test_what_was_measured_is_kept_when_it_breaks_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "partial.json"
    limit, times = Yardstick.limit, iter([True])

    def once(yardstick: Yardstick, turns: Sequence[tuple[int, int, int]]) -> list[LimitTurn]:
        if next(times, False):
            return limit(yardstick, turns)
        raise BenchError("the yardstick is gone")

    monkeypatch.setattr(Yardstick, "limit", once)
    arguments = [*FAST, *SMALL, "--designs", "e", "--repeats", "40", "--seed", "3", "--json", str(file)]
    assert bench(arguments) == FAILED
    (results,) = read(file)
    assert results.settings["broken_off"] == "the yardstick is gone"
    assert results.runs
    assert "broken off: the yardstick is gone" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_nothing_behind(folder: Path, number: signal.Signals, code: int) -> None:
    temporary = folder / number.name
    temporary.mkdir()
    raw = folder / f"{number.name}.json"
    arguments = [*FAST, *SMALL, "--repeats", "10000", "--designs", "e", "--json", str(raw)]
    arguments.remove("--quiet")
    command = [
        sys.executable,
        "-c",
        "import sys; from caesura.client.command_line import main; sys.exit(main(sys.argv[1:]))",
        "bench",
        *arguments,
    ]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "repeat 2" in line:
                break
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == code
    assert list(temporary.glob("caesura-bench-*")) == []
    (results,) = read(raw)
    assert results.runs
    assert results.settings["broken_off"] == "interrupted"


def plan_of(*arguments: str) -> Plan:
    return plans_of(make_parser().parse_args(list(arguments)))[0]


def test_the_context_holds_the_longest_session() -> None:
    plan = plan_of("--tool-calls", "10", "--prompt-tokens", "500", "--append-tokens", "100", "--output-tokens", "50")
    assert plan.context_length >= 500 + 10 * 150 + 50
    assert plan_of("--ctx", "4096").context_length == 4096


def test_a_simulated_engine_names_all_its_parameters() -> None:
    assert CostModel.of(65).spec == "decode=65,prefill=10000,attention=0,batch=0"
    assert CostModel.of(4000, "batch=0.1,prefill=5").spec == "decode=4000,prefill=5,attention=0,batch=0.1"
    assert plan_of("--tokens-per-second", "65").engine.arm == "simulated engine, 65 tokens/s"


@pytest.mark.parametrize(
    ("model", "arm"),
    [
        ("demo", "demo model"),
        ("random:135m:q8_0", "random weights of shape 135m:q8_0"),
        ("/a/folder/of/mine/small.gguf", "small.gguf"),
        ("hf:owner/repo", "hf:owner/repo"),
    ],
)
def test_a_report_names_the_model_and_no_path(model: str, arm: str) -> None:
    assert Engine(model).arm == arm


def test_a_plan_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    make: Callable[..., Plan] = lambda **fields: Plan(Engine(), make_workload(), **fields)  # noqa: E731
    with pytest.raises(BenchError, match="limit"):
        make(designs=("e",), peers=(("limit", "http://x"),))
    with pytest.raises(BenchError, match="twice"):
        make(designs=("e",), peers=(("x", "http://x"), ("x", "http://y")))
    assert make(designs=("e",), agents=3, objective=Objective(5.0)).num_sequences == 4
