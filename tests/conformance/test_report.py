"""The verdict on the terminal, as JSON, and as JUnit XML."""

from __future__ import annotations

import io
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from caesura.client.conformance.outcome import CheckOutcome, Failure, Verdict, judge
from caesura.client.conformance.registry import Check
from caesura.client.conformance.report import LAST_ENTRIES, print_verdict
from caesura.client.conformance.report_files import as_data, as_junit
from caesura.client.conformance.requirements import REQUIREMENTS
from caesura.client.conformance.transcript import Entry
from rich.console import Console

FAILED, PASSED, WARNING, NOT_RUN = "append-atomic", "append-ack", "done-size", "lane-limit"


async def nothing(case: Any) -> None:
    """A check's function, which nobody calls here."""


def outcome(name: str, **fields: Any) -> CheckOutcome:
    check = Check(f"check-of-{name}", "append refused", f"What shows {name}.", (name,), (), nothing)
    return CheckOutcome(check, **{"seconds": 0.25, **fields})


@pytest.fixture
def verdict() -> Verdict:
    entries = tuple(Entry("A", "<", float(at), f'{{"type": "event.{at}", "odd": "\x00\ud800"}}') for at in range(100))
    broken = Failure((FAILED,), "It took \x1b[31mhalf\x1b of it. \ud800", 90)
    outcomes = [
        outcome(FAILED, failures=(broken,), transcript=entries, ended=False),
        outcome(PASSED),
        outcome(WARNING, failures=(Failure((WARNING,), "It grows.", 2),), transcript=entries),
        outcome(NOT_RUN, not_run="give --declare max_named_lanes=N", ended=False),
    ]
    return judge(outcomes, [FAILED, PASSED, WARNING, NOT_RUN], 1.5, {"url": "ws://host/v1/responses"})


def printed(verdict: Verdict, *, width: int = 120) -> str:
    file = io.StringIO()
    print_verdict(verdict, Console(file=file, width=width, force_terminal=True, color_system="standard"))
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 120])
def test_the_table_and_the_failures(verdict: Verdict, width: int) -> None:
    text = printed(verdict, width=width)
    for name in (FAILED, PASSED, WARNING, NOT_RUN):
        assert name in text
    words = " ".join(re.sub("\x1b\\[[0-9;]*m", "", text).split())
    assert "1 passed, 1 failed, 1 warnings, 1 not run" in words
    assert not set(text) & set("\x00\ud800")
    assert "\x1b[31mhalf" not in text


def test_what_a_failure_says(verdict: Verdict) -> None:
    text = printed(verdict, width=300)
    assert REQUIREMENTS[FAILED].text in text
    assert "half" in text
    assert "event.89" in text  # the last one before it
    assert "event.90" not in text
    assert f"event.{90 - LAST_ENTRIES}" in text
    assert f"event.{90 - LAST_ENTRIES - 1}" not in text


def test_colours(verdict: Verdict) -> None:
    lines = printed(verdict).splitlines()
    row = {name: next(line for line in lines if f" {name} " in line) for name in (FAILED, PASSED, WARNING)}
    assert "\x1b[1;31mFAILED" in row[FAILED]
    assert "\x1b[32mpassed" in row[PASSED]
    assert "\x1b[33mwarning" in row[WARNING]


def test_json(verdict: Verdict) -> None:
    data = json.loads(json.dumps(as_data(verdict)))
    assert data["conforms"] is False
    assert data["summary"] == {"passed": 1, "failed": 1, "warnings": 1, "not_run": 1}
    assert data["url"] == "ws://host/v1/responses"
    rows = {row["id"]: row for row in data["requirements"]}
    assert rows[FAILED]["result"] == "failed"
    assert rows[FAILED]["text"] == REQUIREMENTS[FAILED].text
    (failure,) = rows[FAILED]["failures"]
    assert failure["transcript"][-1]["text"].startswith('{"type": "event.89"')
    assert rows[NOT_RUN]["result"] == "not run"
    assert "--declare" in rows[NOT_RUN]["reason"]
    assert len(data["checks"]) == 4


def test_junit(verdict: Verdict) -> None:
    suite = ElementTree.fromstring(as_junit(verdict).encode()).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "skipped": "2",
    }
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    failure = cases[FAILED].find("failure")
    assert failure is not None
    assert "half" in failure.get("message", "")
    assert "event.89" in (failure.text or "")
    for name in (WARNING, NOT_RUN):
        assert cases[name].find("skipped") is not None
        assert cases[name].find("failure") is None
    assert list(cases[PASSED]) == []
