"""Run the experiment and write the paper: ``make experiments``, or ``python -m experiments.run [--only ARM ...]``.

About 25 minutes on two cores, and as much again the first time, when the peers are built. ``--quick`` runs each arm
once, for a look: the paper stays as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from caesura.client.bench.analysis import Analysis, analyse
from caesura.client.bench.records import Results

from . import render
from .arms import ARMS, Arm
from .figures import draw, draw_sweeps
from .peer_builds import LLAMA_CPP_PYTHON, VLLM
from .peers import running
from .summary import summarise

ROOT = Path(__file__).parents[2]
RAW = ROOT / "build" / "experiments"
SWEEPS = {
    "calls": ("calls-1", "calls-5", "calls-10", "calls-20", "calls-40"),
    "rate": ("slow", "demo", "fast", "faster"),
    "rtt": ("fast", "rtt-20", "rtt-80"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[arm.name for arm in ARMS], metavar="ARM", default=None)
    parser.add_argument("--quick", action="store_true", help="each arm once; the paper stays as it is")
    parser.add_argument("--no-runs", action="store_true", help="write the paper anew from the raw data of the last run")
    parser.add_argument("--no-peers", action="store_true", help="leave the outside servers out")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the peers would outlive it
    RAW.mkdir(parents=True, exist_ok=True)
    chosen = [arm for arm in ARMS if options.only is None or arm.name in options.only]
    if options.no_runs:
        failed = [arm.name for arm in chosen if not (RAW / f"{arm.name}.json").exists()]
    else:
        failed = [arm.name for arm in chosen if not run(arm, quick=options.quick, peers=not options.no_peers)]
    if not options.quick:
        for arm in chosen:
            if arm.name not in failed:
                _keep(arm)
        _keep_sweeps()
        _write("environment", {"llama_cpp_python": LLAMA_CPP_PYTHON, "vllm": VLLM})
        render.write(render.HERE)
    if failed:
        print(f"failed: {', '.join(failed)}; their figures in the paper are those of before", file=sys.stderr)
    return 1 if failed else 0


def run(arm: Arm, *, quick: bool, peers: bool) -> bool:
    """Whether its raw data are there now."""
    print(f"== {arm.name}", flush=True)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        print(line, flush=True)

    raw = RAW / f"{arm.name}.json"
    raw.unlink(missing_ok=True)
    with running(arm.peers if peers else (), arm.model, arm.context or 0, say=say) as arguments:
        peer_options = [word for argument in arguments for word in ("--peer", argument)]
        _, *words = arm.command(quick=quick)
        command = [_caesura(), *words, *peer_options, "--json", str(raw), "--report", str(raw.with_suffix(".html"))]
        subprocess.run(command)  # its status also tells of single sessions that failed: the paper says so
    left_out = [line for line in said if ": left out: " in line]
    raw.with_suffix(".left-out").write_text(json.dumps(left_out), encoding="utf-8")
    return raw.exists()


def _caesura() -> str:
    beside = Path(sys.executable).with_name("caesura")
    return str(beside) if beside.exists() else shutil.which("caesura") or "caesura"


def _analysis(name: str) -> tuple[Results, Analysis]:
    (results,) = msgspec.json.decode((RAW / f"{name}.json").read_bytes(), type=list[Results])
    return results, analyse(results)


def _keep(arm: Arm) -> None:
    """Its part of the paper's data and figures."""
    results, analysis = _analysis(arm.name)
    left_out = json.loads((RAW / f"{arm.name}.left-out").read_text(encoding="utf-8"))
    # Why a peer is missing, but not where on this machine its log is.
    reasons = [line.partition("; the log is ")[0] for line in left_out]
    data = summarise(results, analysis, arm.command(), reasons)
    data["figures"] = draw(analysis, arm.name, arm.plots, render.HERE / "figures")
    _write(arm.name, data)


def _keep_sweeps() -> None:
    """Of what was run here at some time. Without all of its arms a plot stays as it is."""
    sweeps = {which: names for which, names in SWEEPS.items() if all((RAW / f"{name}.json").exists() for name in names)}
    drawn = draw_sweeps({which: _analyses(names) for which, names in sweeps.items()}, render.HERE / "figures")
    kept = render.load(render.HERE / "data").get("sweeps", {"figures": {}})["figures"]
    _write("sweeps", {"figures": {**kept, **drawn}})


def _analyses(names: Sequence[str]) -> list[Analysis]:
    return [_analysis(name)[1] for name in names]


def _write(name: str, data: object) -> None:
    folder = render.HERE / "data"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
