"""``caesura conform`` as a user meets it, with servers that are wrong in simple ways."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from caesura.client.command_line import main
from caesura.client.conformance.command import CONFORMS, DOES_NOT_CONFORM, NOT_RUN, conform
from caesura.client.conformance.requirements import REQUIREMENTS
from caesura.client.conformance.server_checks import checks
from caesura.client.conformance.settings import LARGEST_TESTED, OTHER_KEY, PROTOCOL_DEFAULTS


def test_every_requirement_of_a_server_is_covered() -> None:
    assert checks.requirements == {name for name, each in REQUIREMENTS.items() if each.role in ("server", "both")}


def test_what_checks_need_can_be_given() -> None:
    assert PROTOCOL_DEFAULTS.keys() <= LARGEST_TESTED.keys()
    for check in checks:
        assert set(check.needs) <= {OTHER_KEY, *LARGEST_TESTED}, check.name


@contextmanager
def running(serving: Any, handler: Any) -> Iterator[str]:
    """The address of a server in a thread of its own: the command runs an event loop itself."""
    started = threading.Event()
    found: list[Any] = []

    async def run() -> None:
        end = asyncio.Event()
        async with serving(handler) as url:
            found.extend((url, asyncio.get_running_loop(), end))
            started.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(20)
    url, loop, end = found
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(20)


async def refuses(raw: Any) -> None:
    await raw.refuse_all()


async def is_silent(raw: Any) -> None:
    await raw.socket.wait_closed()


async def hangs_up(raw: Any) -> None:
    await raw.socket.close(1011)


async def talks_nonsense(raw: Any) -> None:
    number = 0
    async for _ in raw.socket:
        kind = ("response.created", "response.done", "response.resumed", "error", "response.completed", "x")[number % 6]
        await raw.send({"type": kind, "sequence_number": 0, "response": [], "stream_id": 7})
        number += 1


@pytest.mark.parametrize("handler", [refuses, is_silent, hangs_up, talks_nonsense])
def test_a_server_that_is_wrong_altogether(serving: Any, handler: Any, tmp_path: Path) -> None:
    """The suite comes to its end, and lays to such a server what it can't show."""
    data, junit = tmp_path / "report.json", tmp_path / "report.xml"
    files = ["--json", str(data), "--junit", str(junit)]
    with running(serving, handler) as url:
        code = conform([url, "--model", "m", "--timeout", "0.1", "--jobs", "16", *files])
    assert code == DOES_NOT_CONFORM
    report = json.loads(data.read_text())
    results = {row["id"]: row["result"] for row in report["requirements"]}
    assert results.keys() == checks.requirements
    assert report["summary"]["not_run"] == list(results.values()).count("not run")
    kept = {name for name, result in results.items() if result == "passed"}
    may_be_kept = {"binary-refused", "unknown-type", "error-shape", "error-lane", "ping-pong", "open-opt-in"}
    assert kept <= may_be_kept
    for row in report["requirements"]:
        assert row["failures"] or row["reason"] or row["id"] in kept
    assert ElementTree.parse(junit).getroot().find("testsuite") is not None


def test_only_some(serving: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with running(serving, refuses) as url:
        assert conform([url, "--model", "m", "--timeout", "1", "--only", "unknown-*"]) == DOES_NOT_CONFORM
        text = capsys.readouterr().out
        assert conform([url, "--model", "m", "--timeout", "1", "--only", "unknown-type"]) == CONFORMS
    assert "unknown-fields" in text
    assert "unknown-type" in text
    assert "cancel-paused" not in text


def test_no_server_there(capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--model", "m"]):
        assert conform(["http://127.0.0.1:1", *options]) == NOT_RUN
        assert "127.0.0.1:1" in capsys.readouterr().err
    assert conform(["ftp://nowhere"]) == NOT_RUN


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["URL", "--no-such-option"],
        ["URL", "--only", "no-such-requirement"],
        ["URL", "--only", "client-done"],
        ["URL", "--declare", "grace"],
        ["URL", "--declare", "grace=-1"],
        ["URL", "--declare", "grace=nan"],
        ["URL", "--declare", "no_such_limit=1"],
        ["URL", "--timeout", "0"],
        ["URL", "--jobs", "0"],
        ["URL", "--json", "/no/such/directory/report.json"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        conform(["http://127.0.0.1:1" if each == "URL" else each for each in arguments])
    assert raised.value.code == 2
    assert "caesura conform: error:" in capsys.readouterr().err


def test_the_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "conform" in capsys.readouterr().out
