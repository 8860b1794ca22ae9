"""The demo's tools in memory, for training data and evaluation: the real tools' code, and unittest in this process.

`python -m caesura.client.demo.simulation --seed N` plays the client for another program, by JSON lines: it writes
`{"files": {...}}`, then for each `{"name": ..., "arguments": {...}}` that it reads `{"output": ..., "fixed": ...}`.
"""

import argparse
import io
import json
import sys
import traceback
import types
import unittest
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import PurePosixPath

from .repository import make_repository
from .workspace import Tools


class SimulatedWorkspace(Tools):
    """Give the outputs that `Workspace` gives for the same files and calls, without a directory or a subprocess.

    The files' code runs in this process without a time limit: for generated repositories only.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)

    def tests_pass(self) -> bool:
        return self._test_output().rstrip().endswith("OK")

    def call(self, name: str, arguments: dict[str, str]) -> str:
        """What the client library makes of a call: an exception becomes an output that says so."""
        try:
            if name not in ("list_files", "read_file", "edit_file", "run_tests"):
                raise ValueError(f"unknown tool {name}")
            return str(getattr(self, name)(**arguments))
        except Exception as error:
            return f"Error: {error}"

    def _paths(self) -> list[str]:
        return sorted(self.files)

    def _read(self, path: str) -> str:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or ".git" in pure.parts:
            raise ValueError(f"path must stay inside the repository: {path!r}")
        if str(pure) == ".":
            raise IsADirectoryError(f"{path} is a directory")
        if str(pure) not in self.files:
            raise FileNotFoundError(f"no such file: {path}")
        return self.files[str(pure)]

    def _write(self, path: str, text: str) -> None:
        self.files[str(PurePosixPath(path))] = text

    def _test_output(self) -> str:
        names = [path.removesuffix(".py") for path in sorted(self.files) if path.endswith(".py")]
        hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        suite = unittest.TestSuite()
        try:
            finder = _Finder(self.files)
            sys.meta_path.insert(0, finder)
            try:
                for name in names:
                    if name.startswith("test"):
                        suite.addTest(_load(name))
            finally:
                sys.meta_path.remove(finder)
            output = io.StringIO()
            unittest.TextTestRunner(stream=output).run(suite)
            return output.getvalue()
        finally:
            for name in names:
                sys.modules.pop(name, None)
            sys.modules.update(hidden)


def _load(name: str) -> unittest.TestSuite:
    try:
        module = __import__(name)
    except Exception:
        # What unittest's own discovery makes of a test file that can't be imported.
        message = f"Failed to import test module: {name}\n{traceback.format_exc()}"

        def fail(self: unittest.TestCase) -> None:
            raise ImportError(message)

        case = type("_FailedTest", (unittest.TestCase,), {name: fail, "__module__": "unittest.loader"})
        return unittest.TestSuite([case(name)])
    return unittest.defaultTestLoader.loadTestsFromModule(module)


class _Finder(MetaPathFinder, Loader):
    """An import hook that finds the modules among the files."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if f"{fullname}.py" in self.files else None

    def exec_module(self, module: types.ModuleType) -> None:
        path = f"{module.__name__}.py"
        exec(compile(self.files[path], path, "exec"), module.__dict__)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Play the demo's client for a program that writes calls as JSON lines."
    )
    parser.add_argument("--seed", type=int, required=True)
    repository = make_repository(parser.parse_args().seed)
    workspace = SimulatedWorkspace(repository.files)
    print(json.dumps({"files": dict(repository.files)}), flush=True)
    for line in sys.stdin:
        call = json.loads(line)
        output = workspace.call(call["name"], call["arguments"])
        print(json.dumps({"output": output, "fixed": workspace.tests_pass()}), flush=True)


if __name__ == "__main__":
    main()
