import contextlib
import subprocess
from pathlib import Path

import pytest
from caesura.client.demo import workspace as workspace_module
from caesura.client.demo.repository import make_repository
from caesura.client.demo.simulation import SimulatedWorkspace
from caesura.client.demo.workspace import Workspace, relevant_lines
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "repository")
    made.write(make_repository(3))
    return made


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_simulation_gives_what_the_real_tools_give(tmp_path: Path, seed: int) -> None:
    repository = make_repository(seed, 1 + seed % 2)
    real, simulated = Workspace(tmp_path), SimulatedWorkspace(repository.files)
    real.write(repository)
    assert real.list_files() == simulated.list_files()
    assert real.run_tests() == simulated.run_tests()
    bug = repository.bug
    simulated.edit_file(bug.path, bug.old, "retrun (")
    real.edit_file(bug.path, bug.old, "retrun (")
    assert "SyntaxError" in real.run_tests()
    simulated.edit_file(bug.path, "retrun (", bug.new)
    real.edit_file(bug.path, "retrun (", bug.new)
    assert real.run_tests() == simulated.run_tests()
    assert real.tests_pass() == simulated.tests_pass() == (len(repository.bugs) == 1)


def test_an_edit_is_one_piece(tmp_path: Path) -> None:
    """Nobody else edits between an edit's reading and its writing: the calls of one pause run in threads."""

    class Watched(Workspace):
        held: tuple[bool, ...] = ()

        def _read(self, path: str) -> str:
            self.held += (self._editing.locked(),)
            return super()._read(path)

        def _write(self, path: str, text: str) -> None:
            self.held += (self._editing.locked(),)
            super()._write(path, text)

    (tmp_path / "a.py").write_text("one\n")
    watched = Watched(tmp_path)
    watched.edit_file("a.py", "one", "two")
    assert watched.held == (True, True)
    assert (tmp_path / "a.py").read_text() == "two\n"
    with pytest.raises(ValueError, match="not found"):
        watched.edit_file("a.py", "one", "two")
    assert not watched._editing.locked()


def test_the_repository_is_one_clean_commit(workspace: Workspace) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=workspace.root, capture_output=True, text=True, check=True
        ).stdout

    assert git("status", "--porcelain") == ""
    assert len(git("log", "--oneline").splitlines()) == 1
    workspace.run_tests()
    assert git("status", "--porcelain") == "", "running the tests leaves no files behind"


def test_two_edits_within_one_second_both_count(workspace: Workspace) -> None:
    bug = make_repository(3).bug
    broken = workspace.run_tests()
    workspace.edit_file(bug.path, bug.old, bug.new)
    assert workspace.tests_pass()
    workspace.edit_file(bug.path, bug.new, bug.old)
    assert workspace.run_tests() == broken


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nowhere", "x", "not found"),
        ("", "x", "empty"),
        ("def ", "x", "occurs 2 times"),
        ("def large", "def large", "equal"),
    ],
)
def test_a_bad_edit_says_why_and_changes_nothing(workspace: Workspace, old: str, new: str, message: str) -> None:
    before = workspace.read_file("water.py")
    with pytest.raises(ValueError, match=message):
        workspace.edit_file("water.py", old, new)
    assert workspace.read_file("water.py") == before


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../b", ".git/config", "link/secret", "link", "x\0y"]
)
def test_paths_stay_inside(workspace: Workspace, path: str) -> None:
    (workspace.root.parent / "outside").mkdir()
    (workspace.root.parent / "outside" / "secret").write_text("s")
    (workspace.root / "link").symlink_to(workspace.root.parent / "outside")
    with pytest.raises(ValueError, match="inside the repository"):
        workspace.read_file(path)
    with pytest.raises(ValueError, match="inside the repository"):
        workspace.edit_file(path, "a", "b")


@given(st.lists(st.sampled_from(["..", ".", "", "a", "/", "water.py", "\\", "~", ".git"]), max_size=6))
def test_no_path_reads_anything_but_the_repository(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    base = tmp_path_factory.getbasetemp() / "confined"
    root = base / "a" / "repository"
    root.mkdir(parents=True, exist_ok=True)
    for folder in (base, base / "a"):
        (folder / "water.py").write_text("outside")
    (root / "water.py").write_text("inside")
    with contextlib.suppress(ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
        assert Workspace(root).read_file("/".join(parts)) == "inside"


def test_a_missing_file_and_a_folder_are_named(workspace: Workspace) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file: none\.py"):
        workspace.read_file("none.py")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        workspace.read_file(".")


def test_endless_tests_are_stopped(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_module, "TEST_TIMEOUT_S", 0.3)
    (workspace.root / "test_endless.py").write_text("while True: pass\n")
    with pytest.raises(TimeoutError, match="took longer"):
        workspace.run_tests()


def test_without_git_the_error_is_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="needs git"):
        Workspace(tmp_path / "repository").write(make_repository(0))


def test_times_paths_and_tracebacks_are_left_out() -> None:
    output = """F.
======================================================================
FAIL: test_total (test_prices.PricesTest.test_total)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/home/x/test_prices.py", line 8, in test_total
    self.assertEqual(total([1, 2]), 3)
AssertionError: 2 != 3

----------------------------------------------------------------------
Ran 2 tests in 0.001s

FAILED (failures=1)
"""
    assert (
        relevant_lines(output)
        == "FAIL: test_total (test_prices)\nAssertionError: 2 != 3\nRan 2 tests\nFAILED (failures=1)"
    )
