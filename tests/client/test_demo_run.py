"""The demo against scripted servers that repair, cheat or give up: its verdict, report, output and exit code."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from caesura.client.demo.command import demo
from caesura.client.demo.repository import INSTRUCTIONS, TASK, Bug, make_repository
from caesura.client.demo.run import run_demo
from caesura.client.demo.server import Server
from caesura.protocol.errors import ModelNotFound
from rich.console import Console

BOUND = 60.0
STATS = {
    "pauses": 2,
    "tool_calls": 2,
    "preinference_runs": 1,
    "postinference_runs": 1,
    "tokens": {"prefilled": 100, "sampled": 1234, "appended": 30, "recomputed": 0},
    "stages_ms": {"inference": 1.5, "api": 0.25, "post": 0.125, "paused": 9.0},
}
KEYS = {
    "response_id": str,
    "fixed": bool,
    "pauses": int,
    "tool_calls": int,
    "preinference_runs": int,
    "postinference_runs": int,
    "tokens": {"prefilled": int, "sampled": int, "appended": int, "recomputed": int},
    "stages_ms": {"inference": float, "api": float, "client_tools": float, "post": float},
    "wall_ms": float,
}


def edit(bug: Bug, old: str, new: str) -> str:
    return json.dumps({"path": bug.path, "old": old, "new": new})


def by_seed(rollout: Any) -> Bug:
    return make_repository(rollout.request.seed).bug


async def repair(rollout: Any) -> None:
    bug = by_seed(rollout)
    await rollout.say(f"I repair {bug.function}.")
    await rollout.call("edit_file", edit(bug, bug.old, bug.new))
    await rollout.pause()
    await rollout.call("run_tests", "{}")
    (output,) = await rollout.pause()
    assert output.output.endswith("OK")
    await rollout.complete(caesura=STATS)


async def change_the_test(rollout: Any) -> None:
    repository = make_repository(rollout.request.seed)
    path = f"test_{repository.bug.path}"
    name = f"def {repository.bug.test}(self):"
    edited = {"path": path, "old": name, "new": f"{name}\n        return"}
    await rollout.call("edit_file", json.dumps(edited))
    await rollout.pause()
    await rollout.call("run_tests", "{}")
    (output,) = await rollout.pause()
    assert output.output.endswith("OK")
    await rollout.complete(caesura=STATS)


async def leave_without_tests(rollout: Any) -> None:
    """The module under repair ends the test process with exit code 0."""
    bug = by_seed(rollout)
    await rollout.call("edit_file", edit(bug, bug.old, "import os; os._exit(0)"))
    first_line = json.dumps({"path": bug.path, "old": '"""Functions', "new": 'import os; os._exit(0)\n"""Functions'})
    await rollout.call("edit_file", first_line)
    await rollout.pause()
    await rollout.complete(caesura=STATS)


async def do_nothing(rollout: Any) -> None:
    await rollout.say("It looks fine to me.")
    await rollout.complete(caesura=STATS)


async def fail(rollout: Any) -> None:
    await rollout.say("I begin")
    await rollout.fail("server_error", "the engine broke")


async def vanish(rollout: Any) -> None:
    """For good: who tries to connect again is told that there is nothing."""
    rollout.server.status = 404
    rollout.server.lose_connections()


Script = Callable[[Any], Awaitable[None]]


def run_command(fake_server: Callable[..., Any], script: Script, *arguments: str, **server: Any) -> int:
    """``caesura demo --url ...`` in a thread beside the scripted server."""

    async def main() -> int:
        async with asyncio.timeout(BOUND), fake_server(script, **server) as scripted:
            return await asyncio.to_thread(demo, ["--url", scripted.url, *arguments])

    return asyncio.run(main())


def watched(fake_server: Callable[..., Any], script: Script, home: Path, **console: Any) -> str:
    """What a rollout of seed 0 prints."""
    out = io.StringIO()

    async def main() -> None:
        async with asyncio.timeout(BOUND), fake_server(script) as scripted:
            await run_demo(Server(scripted.url, "fake"), range(1), home, Console(file=out, width=100, **console))

    asyncio.run(main())
    return out.getvalue()


def test_what_the_model_is_given(fake_server: Callable[..., Any], tmp_path: Path) -> None:
    requests = []

    async def script(rollout: Any) -> None:
        requests.append(rollout.request)
        await repair(rollout)

    watched(fake_server, script, tmp_path)
    (request,) = requests
    assert (request.model, request.instructions, request.input) == ("fake", INSTRUCTIONS, TASK)
    assert [each["name"] for each in request.tools] == ["list_files", "read_file", "edit_file", "run_tests"]
    assert all(each["strict"] for each in request.tools)


def test_a_repair_exits_0_and_its_json_has_exactly_these_keys(fake_server: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    assert run_command(fake_server, repair, "--json", str(file)) == 0
    data = json.loads(file.read_text())
    assert _types(data) == KEYS
    assert data["fixed"] is True
    assert data["response_id"] == "resp_0"
    assert (data["pauses"], data["tool_calls"], data["preinference_runs"], data["postinference_runs"]) == (2, 2, 1, 1)
    assert data["tokens"] == STATS["tokens"]
    assert (data["stages_ms"]["inference"], data["stages_ms"]["api"], data["stages_ms"]["post"]) == (1.5, 0.25, 0.125)
    assert 0 < data["stages_ms"]["client_tools"] < data["wall_ms"]


def _types(data: Any) -> Any:
    return {key: _types(each) for key, each in data.items()} if isinstance(data, dict) else type(data)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (do_nothing, "not fixed: the tests fail"),
        (change_the_test, "not fixed: the tests were changed"),
        (leave_without_tests, "not fixed: not all of the"),
        (fail, "not fixed: the Response failed: the engine broke"),
        (vanish, "not fixed: the connection broke"),
    ],
)
def test_what_is_no_repair_exits_1_and_says_why(
    fake_server: Callable[..., Any], script: Script, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    assert run_command(fake_server, script, "--json", str(file)) == 1
    assert said in capsys.readouterr().out
    data = json.loads(file.read_text())
    assert data["fixed"] is False
    assert data.keys() == KEYS.keys()


def test_several_seeds_on_one_connection(
    fake_server: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def script(rollout: Any) -> None:
        await (do_nothing if rollout.request.seed == 4 else repair)(rollout)

    file, keep = tmp_path / "report.json", tmp_path / "kept"
    assert run_command(fake_server, script, "--seeds", "3-5", "--json", str(file), "--keep", str(keep)) == 1
    assert capsys.readouterr().out.endswith("\nfixed 2 of 3\n")
    data = json.loads(file.read_text())
    assert (data["fixed"], data["total"]) == (2, 3)
    assert [(each["seed"], each["fixed"]) for each in data["runs"]] == [(3, True), (4, False), (5, True)]
    assert sorted(each.name.rpartition("-")[2] for each in keep.iterdir()) == ["3", "4", "5"]
    assert all((each / ".git").is_dir() for each in keep.iterdir())


def test_a_lost_connection_ends_the_series(
    fake_server: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(fake_server, vanish, "--seeds", "0-2", "--keep", str(tmp_path / "kept")) == 1
    assert capsys.readouterr().out.endswith("\nfixed 0 of 3\n")
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_all_seeds_fixed_exits_0(fake_server: Callable[..., Any]) -> None:
    assert run_command(fake_server, repair, "--seeds", "0-1") == 0


# --- output -----------------------------------------------------------------------------------------------------------


def test_without_a_terminal_there_are_plain_lines(fake_server: Callable[..., Any], tmp_path: Path) -> None:
    lines = watched(fake_server, repair, tmp_path).splitlines()
    bug = make_repository(0).bug
    assert lines[0] == f"repository {tmp_path}/{make_repository(0).topic}-0"
    assert lines[1] == "response   resp_0"
    assert lines[2] == f"text       I repair {bug.function}."
    assert lines[3] == f"call       edit_file {edit(bug, bug.old, bug.new)}"
    assert lines[4].startswith("pause 1    after ")
    assert lines[4].endswith(" ms")
    assert lines[5].startswith("tool       edit_file (")
    assert lines[5].endswith(f"): Edited {bug.path}.")
    assert lines[7].startswith("pause 2 ")
    assert "\x1b" not in "".join(lines)
    rows = {each.strip("│ ") for each in lines}
    assert any(each.split() == ["tokens", "sampled", "│", "1,234"] for each in rows)
    assert any(each.split() == ["tokens", "computed", "twice", "│", "0"] for each in rows)
    assert any(each.split() == ["API", "overhead", "│", "0.2", "ms"] for each in rows)
    assert lines[-1] == "seed 0: fixed, its tests pass"


def test_on_a_terminal_it_streams(fake_server: Callable[..., Any], tmp_path: Path) -> None:
    out = _Recorder()

    async def main() -> None:
        async with asyncio.timeout(BOUND), fake_server(repair) as scripted:
            console = Console(file=out, width=100, force_terminal=True, color_system=None)
            await run_demo(Server(scripted.url, "fake"), range(1), tmp_path, console)

    asyncio.run(main())
    whole = "".join(out.writes)
    assert f"text       I repair {make_repository(0).bug.function}.\n" in whole
    assert "I" in out.writes
    assert " repair" in out.writes


class _Recorder(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


@pytest.mark.parametrize("terminal", [False, True])
def test_what_a_model_says_cannot_drive_the_terminal(
    fake_server: Callable[..., Any], tmp_path: Path, terminal: bool
) -> None:
    async def script(rollout: Any) -> None:
        await rollout.say("[red]not markup[/red] \x1b[2J \x9b2J \r\x07")
        await rollout.call("read_file", '{"path":"\x1b[2J"}')
        await rollout.pause()
        await rollout.complete()

    out = watched(fake_server, script, tmp_path, force_terminal=terminal, color_system=None)
    assert "[red]not markup[/red]" in out
    assert not {"\x1b", "\x9b", "\r", "\x07"} & set(out)


def test_a_server_without_accounting_gives_unknowns_not_zeros(fake_server: Callable[..., Any], tmp_path: Path) -> None:
    async def script(rollout: Any) -> None:
        await rollout.complete()

    out = watched(fake_server, script, tmp_path)
    assert out.count("unknown") == 9


def test_a_lost_connection_is_shown_and_costs_nothing(fake_server: Callable[..., Any], tmp_path: Path) -> None:
    async def script(rollout: Any) -> None:
        await rollout.say("Now you see me")
        rollout.server.lose_connections()
        await repair(rollout)

    lines = watched(fake_server, script, tmp_path).splitlines()
    (lost,) = [at for at, line in enumerate(lines) if line.startswith("lost       the connection broke")]
    assert "; attempt 1 to connect again in 0." in lines[lost]
    assert lines[lost + 1].startswith("resumed    with ")
    assert "text       Now you see me" in lines
    assert lines[-1] == "seed 0: fixed, its tests pass"


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "x"], "'x' is not a number"),
        (["--seed", "-1"], "--seed"),
        (["--seeds", "5-3"], "is empty"),
        (["--seeds", "5"], "is not a number"),
        (["--seed", "1", "--seeds", "1-2"], "not allowed with"),
        (["--json", "/no/such/directory/file.json"], "there is no directory /no/such/directory"),
        (["--keep", "{full}"], "is not an empty directory"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_exits_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as caught:
        demo([each.format(full=tmp_path) for each in arguments])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_no_server_at_the_url_exits_2_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(["--url", "http://127.0.0.1:1"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "caesura demo: no server listens at ws://127.0.0.1:1/v1/responses\n"


def test_a_refused_model_is_not_a_repair(fake_server: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    rejection = ModelNotFound("There is no model 'big'.")
    assert run_command(fake_server, repair, "--model", "big", rejection=rejection) == 1
    assert "not fixed: the server answered model_not_found: There is no model 'big'." in capsys.readouterr().out


def test_a_directory_that_cannot_be_written_exits_2(
    fake_server: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run_command(fake_server, repair, "--keep", str(tmp_path / "file" / "below")) == 2
    assert capsys.readouterr().err.startswith("caesura demo: no repository in ")
