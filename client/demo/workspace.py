"""The four local tools of the demo, over one directory.

They are plain methods: their schemas come from the hints and docstrings. A tool that can't do what was asked raises
an ordinary exception whose message the model can act on.
"""

import os
import re
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from .repository import Repository

TEST_TIMEOUT_S = 30.0


class Tools(ABC):
    """What the tools do, apart from where the files lie. The training data is made by the same code.

    They may be called from several threads: the calls of one pause run at once, and two edits of one file must both
    be kept.
    """

    _editing = threading.Lock()

    def list_files(self) -> str:
        """List all files of the repository."""
        return "\n".join(self._paths())

    def read_file(self, path: str) -> str:
        """Read a text file.

        Args:
            path: Path of the file.
        """
        return self._read(path)

    def edit_file(self, path: str, old: str, new: str) -> str:
        """Replace a text that occurs exactly once in a file.

        Args:
            path: Path of the file.
            old: The text to replace.
            new: The text to put there.
        """
        with self._editing:
            text = self._read(path)
            if not old:
                raise ValueError("old is empty; give the text to replace")
            if old == new:
                raise ValueError("old and new are equal; nothing to change")
            count = text.count(old)
            if count == 0:
                raise ValueError(f"old was not found in {path}; read the file and copy the line exactly")
            if count > 1:
                raise ValueError(f"old occurs {count} times in {path}; give a longer text")
            self._write(path, text.replace(old, new))
        return f"Edited {path}."

    def run_tests(self) -> str:
        """Run the unit tests."""
        return relevant_lines(self._test_output())

    @abstractmethod
    def _paths(self) -> list[str]: ...

    @abstractmethod
    def _read(self, path: str) -> str: ...

    @abstractmethod
    def _write(self, path: str, text: str) -> None: ...

    @abstractmethod
    def _test_output(self) -> str: ...


class Workspace(Tools):
    """The tools on a real directory. No path leaves it, by `..` or by a symbolic link; `.git` is out of bounds."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def write(self, repository: Repository) -> None:
        """Lay the files down and commit them to a new git repository.

        Raises:
            RuntimeError: git is missing, or fails.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        for path, text in repository.files.items():
            self._write(path, text)
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "First version"]):
            self._git(arguments)

    def tests_pass(self) -> bool:
        """Whether every test passes now (and there is at least one)."""
        return run_unittest(self.root).returncode == 0

    def _paths(self) -> list[str]:
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in (".git", "__pycache__"))
            found += [Path(folder, name).relative_to(self.root).as_posix() for name in files]
        return sorted(found)

    def _read(self, path: str) -> str:
        target = self._resolve(path)
        if target.is_dir():
            raise IsADirectoryError(f"{path} is a directory")
        if not target.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        try:
            return target.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a text file") from None

    def _write(self, path: str, text: str) -> None:
        self._resolve(path).write_text(text, encoding="utf-8", newline="")

    def _resolve(self, path: str) -> Path:
        pure = PurePosixPath(path)
        target = self.root / pure
        if "\0" in path or pure.is_absolute() or ".." in pure.parts or ".git" in pure.parts:
            raise ValueError(f"path must stay inside the repository: {path!r}")
        if not target.resolve().is_relative_to(self.root):
            raise ValueError(f"path must stay inside the repository: {path!r}")
        return target

    def _test_output(self) -> str:
        return run_unittest(self.root).stderr

    def _git(self, arguments: list[str]) -> None:
        # No configuration of the user's takes part: a global hook or signing key must not stop the demo.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        environment |= {"GIT_AUTHOR_DATE": "2025-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2025-01-01T00:00:00Z"}
        settings = ["user.name=Caesura Demo", "user.email=demo@example.com", "init.defaultBranch=main"]
        command = ["git", *(part for setting in settings for part in ("-c", setting)), *arguments]
        try:
            done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        except FileNotFoundError:
            raise RuntimeError("the demo needs git, which was not found on PATH") from None
        if done.returncode != 0:
            raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.strip()}")


def run_unittest(root: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m unittest` in `root`, in a process of its own.

    Raises:
        TimeoutError: the tests took too long.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"PYTHONHASHSEED": "0", "PYTHON_COLORS": "0", "NO_COLOR": "1"}
    # -B: a byte-code file made within the same second as an edit would hide that edit.
    command = [sys.executable, "-B", "-m", "unittest"]
    try:
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, encoding="utf-8",
            errors="replace", stdin=subprocess.DEVNULL, timeout=TEST_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the tests took longer than {TEST_TIMEOUT_S:.0f} s") from None


_HEADING = re.compile(r"(FAIL|ERROR): (\w+) \(([\w.]+)\)$")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)(?:: .*)?$")
_RAN = re.compile(r"(Ran \d+ tests?)\b")
_VERDICT = re.compile(r"(?:OK|FAILED|NO TESTS RAN)(?: \(.*\))?$")


def relevant_lines(output: str) -> str:
    """What unittest printed, without times, tracebacks and paths: the same on every machine."""
    kept = []
    for line in output.splitlines():
        if match := _HEADING.match(line):
            kind, test, where = match.groups()
            module = test if where.startswith("unittest.loader.") else where.split(".")[0]
            kept.append(f"{kind}: {test} ({module})")
        elif _EXCEPTION.match(line) or _VERDICT.match(line):
            kept.append(line)
        elif match := _RAN.match(line):
            kept.append(match.group(1))
    return "\n".join(kept)
