"""``caesura demo``: its options, and what becomes of them."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..termination import ended_by_signals

if TYPE_CHECKING:
    from .report import Report

FIXED, NOT_FIXED, NOT_STARTED = 0, 1, 2

DEFAULT_SEED = 1
"""Not 0: that repository is the one of the first twenty that the demo model fails at."""


def demo(argv: list[str]) -> int:
    """Let a model fix a bug in a small git repository, with tools that run on this machine.

    Returns 0 if the tests of every repository pass at the end, 1 if not, 2 if nothing could be started.

    :raises SystemExit: wrong usage (code 2) or ``--help``.
    """
    options = _parse(argv)
    from ..errors import ConnectionFailed
    from .run import RepositoryNotMade
    from .server import ServerNotStarted

    try:
        with ended_by_signals():
            reports = _reports(options)
        if options.json is not None:
            _write_json(options.json, options.seeds, reports)
    except (ConnectionFailed, RepositoryNotMade, ServerNotStarted, _UnusableFile) as error:
        print(f"caesura demo: {error}", file=sys.stderr)
        return NOT_STARTED
    num_fixed = sum(report.fixed for report in reports)
    if len(options.seeds) > 1:
        print(f"fixed {num_fixed} of {len(options.seeds)}")
    return FIXED if num_fixed == len(options.seeds) else NOT_FIXED


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="caesura demo", description=(demo.__doc__ or "").split("\n\n")[0])
    parser.add_argument("--url", help="use the server that runs there; without it the demo starts one and stops it")
    parser.add_argument("--model", default="demo", help="its name there; without --url as caesura serve takes it")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed", dest="seeds", type=_seed, metavar="N", help=f"which repository (default {DEFAULT_SEED})"
    )
    seeds.add_argument("--seeds", type=_seeds, metavar="A-B", help="several, one after the other")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the repositories in DIR, new or empty")
    parser.set_defaults(seeds=range(DEFAULT_SEED, DEFAULT_SEED + 1))
    options = parser.parse_args(argv)
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no directory {options.json.parent}")
    if options.keep is not None and not _is_new_or_empty(options.keep):
        parser.error(f"--keep: {options.keep} is not an empty directory")
    return options


def _is_new_or_empty(directory: Path) -> bool:
    return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))


def _seed(text: str) -> range:
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return range(int(text), int(text) + 1)


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    seeds = range(_seed(first).start, _seed(last).stop)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} is empty; write the smaller number first")
    return seeds


def _reports(options: argparse.Namespace) -> list[Report]:
    import asyncio

    from rich.console import Console

    from .run import run_demo
    from .server import Server, serving

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a model may say what the terminal's encoding can't
    server: AbstractContextManager[Server]
    server = nullcontext(Server(options.url, options.model)) if options.url else serving(options.model)
    with _home(options.keep) as home, server as ready:
        return asyncio.run(run_demo(ready, options.seeds, home, Console()))


@contextmanager
def _home(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="caesura-demo-") as directory:
        yield Path(directory)


class _UnusableFile(Exception):
    pass


def _write_json(path: Path, seeds: Sequence[int], reports: Sequence[Report]) -> None:
    """One report as it is; of several, a list with their seeds and the sum."""
    if len(seeds) == 1:
        data = reports[0].data()
    else:
        runs = [{"seed": report.seed, **report.data()} for report in reports]
        data = {"fixed": sum(report.fixed for report in reports), "total": len(seeds), "runs": runs}
    try:
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise _UnusableFile(f"--json: {error}") from error
