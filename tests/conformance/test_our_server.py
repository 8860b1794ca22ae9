"""The project's own server keeps every requirement: the whole suite against real processes, configured so that every
limit is reached."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from caesura.client.conformance.server_checks import checks
from real_server import serving, tiny_model

SECONDS = 240

PYTHON = [sys.executable, "-c"]
CONFORM = [*PYTHON, "import sys; from caesura.client.command_line import main; sys.exit(main())", "conform"]

LIMITS: dict[str, dict[str, float]] = {
    "defaults": {},
    "small": {
        "max_replay_events": 100,
        "max_unsent_events": 500,
        "max_open_per_connection": 5,
        "max_open_per_credential": 12,
    },
    "impatient": {"grace": 0.5, "pause_timeout": 1.5},
    "short-lived": {"lifetime": 1.5},
    "talkative": {"ping_interval": 0.5},
}
"""How servers are configured. Their own limits are checked on all but the first, since others would be in the way."""


def conform(model: Path, limits: dict[str, float], report: Path) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was printed, and the report."""
    declared = [each for name, value in limits.items() for each in ("--declare", f"{name}={value}")]
    own = [name for check in checks if set(check.needs) & limits.keys() for name in check.requirements]
    only = ["--only", *own] if own else []
    with serving(model, limits) as url:
        command = [*CONFORM, url, "--other-api-key", "another", "--json", str(report), *declared, *only]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout, json.loads(report.read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, dict[str, Any]]]:
    """All configurations at once: some of them mostly wait."""
    directory = tmp_path_factory.mktemp("reports")
    model = tiny_model(directory)
    with ThreadPoolExecutor() as pool:
        begun = {
            name: pool.submit(conform, model, limits, directory / f"{name}.json") for name, limits in LIMITS.items()
        }
        return {name: future.result() for name, future in begun.items()}


@pytest.mark.parametrize("name", LIMITS)
def test_the_server_conforms(runs: dict[str, tuple[int, str, dict[str, Any]]], name: str) -> None:
    code, printed, report = runs[name]
    assert code == 0, printed
    assert report["summary"]["failed"] == report["summary"]["warnings"] == 0, printed
    assert report["driver"] == "scripted"


def test_every_requirement_was_shown(runs: dict[str, tuple[int, str, dict[str, Any]]]) -> None:
    shown = {row["id"] for _, _, report in runs.values() for row in report["requirements"] if row["result"] == "passed"}
    assert shown == checks.requirements
