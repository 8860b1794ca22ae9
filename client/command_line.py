"""The ``caesura`` command.

Its commands are entry points of the group ``caesura.commands``, so that this package needs to know none of them (the
server is one, and the client never imports it). A command is a function ``name(argv: list[str]) -> int`` that parses
its own arguments; ``--help`` shows the first line of its docstring.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

GROUP = "caesura.commands"

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``caesura ARGV``; returns the exit code: 0 done, 1 the command failed, 2 wrong usage, 130 interrupted."""
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (``caesura ... | head``). Python would complain once more when it flushes
        # stdout at exit, unless that goes nowhere (documentation of SIGPIPE in the signal module).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(argv: list[str]) -> int:
    name, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    if name in ("-h", "--help", "help"):
        print(_help(_commands()))
        return 0
    if name in ("-V", "--version", "version"):
        print(f"caesura {_version()}")
        return 0
    command = _commands().get(name)
    if command is None:
        print(f"caesura: there is no command {name!r}; see caesura --help", file=sys.stderr)
        return 2
    try:
        return int(command.load()(rest))
    except SystemExit as error:  # argparse ends so, after printing its message
        return error.code if isinstance(error.code, int) else int(error.code is not None)


def _commands() -> Mapping[str, metadata.EntryPoint]:
    return {each.name: each for each in sorted(metadata.entry_points(group=GROUP), key=lambda each: each.name)}


def _help(commands: Mapping[str, metadata.EntryPoint]) -> str:
    lines = {name: _summary(command) for name, command in commands.items()}
    lines["version"] = "Print the version."
    width = max(map(len, lines))
    return "\n".join(
        [
            "usage: caesura COMMAND [ARGUMENTS]",
            "",
            "A whole agent rollout as one long-running Response.",
            "",
            *(f"  {name:<{width}}  {summary}" for name, summary in lines.items()),
            "",
            "caesura COMMAND --help says more about each.",
        ]
    )


def _summary(command: metadata.EntryPoint) -> str:
    """The first line of the command's docstring, read from its source: importing the server just to list it is slow."""
    try:
        spec = importlib.util.find_spec(command.module)
        if spec is None or spec.origin is None:
            return ""
        with open(spec.origin, encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except (ImportError, OSError, SyntaxError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == command.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _version() -> str:
    try:
        return metadata.version("caesura")
    except metadata.PackageNotFoundError:
        return "(not installed)"
