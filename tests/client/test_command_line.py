"""The ``caesura`` command: which commands there are, what they return, and how it ends when it is cut off."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest
from caesura.client import command_line

COMMANDS = """
def greet(argv: list[str]) -> int:
    \"\"\"Say hello.

    More about it.
    \"\"\"
    print("hello", *argv)
    return 3

def refuse(argv: list[str]) -> int:
    raise SystemExit(2)

def give_up(argv: list[str]) -> int:
    raise SystemExit("with a message")

def interrupt(argv: list[str]) -> int:
    raise KeyboardInterrupt
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs a module of commands, and the entry points that name them."""
    (tmp_path / "some_commands.py").write_text(COMMANDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["greet", "refuse", "give_up", "interrupt"]
    points = [metadata.EntryPoint(name, f"some_commands:{name}", command_line.GROUP) for name in names]
    points.append(metadata.EntryPoint("missing", "no_such_module:missing", command_line.GROUP))

    def found(*, group: str) -> metadata.EntryPoints:
        return metadata.EntryPoints(points).select(group=group)

    monkeypatch.setattr(command_line.metadata, "entry_points", found)
    monkeypatch.delitem(sys.modules, "some_commands", raising=False)


@pytest.mark.usefixtures("commands")
class TestCommands:
    @pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
    def test_help_lists_them_without_importing_them(self, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert command_line.main(argv) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "  greet      Say hello." in lines
        assert [line.split()[0] for line in lines if line.startswith("  ")] == [
            "give_up", "greet", "interrupt", "missing", "refuse", "version",
        ]  # fmt: skip
        assert "some_commands" not in sys.modules

    def test_a_command_gets_its_arguments_and_gives_the_exit_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command_line.main(["greet", "you", "--all"]) == 3
        assert capsys.readouterr().out == "hello you --all\n"

    @pytest.mark.parametrize(("name", "code"), [("refuse", 2), ("give_up", 1), ("interrupt", 130)])
    def test_other_ways_to_end(self, name: str, code: int) -> None:
        assert command_line.main([name]) == code

    def test_an_unknown_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command_line.main(["greed"]) == 2
        assert capsys.readouterr().err == "caesura: there is no command 'greed'; see caesura --help\n"

    @pytest.mark.parametrize("argv", [["version"], ["--version"], ["-V"]])
    def test_version(self, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert command_line.main(argv) == 0
        assert capsys.readouterr().out.startswith("caesura ")


def python(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    process = python("""
        import sys
        from caesura.client.command_line import main

        sys.stdin.readline()
        sys.exit(main(["--help"]))
    """)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.close()  # only now it writes
    assert process.stderr.read() == ""
    assert process.wait(10) == 1
    process.stderr.close()


def test_help_imports_nothing_heavy() -> None:
    process = python("""
        import sys
        from caesura.client.command_line import main

        main(["--help"])
        heavy = {"asyncio", "jsonschema", "websockets", "rich", "msgspec", "caesura.client.connection"}
        print(heavy & set(sys.modules), file=sys.stderr)
    """)
    out, err = process.communicate(timeout=30)
    assert out.startswith("usage: caesura COMMAND")
    assert err == "set()\n"
