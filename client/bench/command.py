"""``caesura bench``: what it is told, and what comes of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .records import Results

DONE, FAILED, NOT_STARTED = 0, 1, 2


def bench(argv: list[str]) -> int:
    """Measure what an agent loop costs, in which design, against the limit.

    Returns 0 if every session was played to its end, 1 if not, 2 if nothing could be measured.

    :raises SystemExit: wrong usage (code 2) or ``--help``.
    """
    from .driver import BenchError
    from .options import check_files, make_parser, plans_of

    arguments = make_parser().parse_args(argv)
    try:
        check_files(arguments)
        if arguments.source is not None:
            several = _read(arguments)
        else:
            sweep = plans_of(arguments)
            several = [_measure(plan, argv, arguments) for plan in sweep.plans]
        _write(several, arguments)
    except BenchError as error:
        print(f"caesura bench: {error}", file=sys.stderr)
        return NOT_STARTED
    except OSError as error:
        print(f"caesura bench: {error}", file=sys.stderr)
        return NOT_STARTED
    runs = [
        run for results in several for run in [*results.runs, *(run for load in results.loads for run in load.runs)]
    ]
    return FAILED if any(run.error is not None for run in runs) else DONE


def _measure(plan: object, argv: Sequence[str], arguments: argparse.Namespace) -> Results:
    from .experiment import run_experiment
    from .plan import Plan

    assert isinstance(plan, Plan)

    def say(line: str) -> None:
        print(f"caesura bench: {line}", file=sys.stderr, flush=True)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(
            run_experiment(plan, ["caesura", "bench", *argv], (lambda line: None) if arguments.quiet else say)
        )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop that ``caesura serve`` has: the client of a fast server has to be fast too."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _read(arguments: argparse.Namespace) -> list[Results]:
    import msgspec

    from .driver import BenchError
    from .records import VERSION, Results

    data = arguments.source.read_bytes()
    try:
        several = msgspec.json.decode(data, type=list[Results])
    except msgspec.MsgspecError as error:
        raise BenchError(f"{arguments.source.name} is no raw data of caesura bench: {error}") from None
    if any(results.version != VERSION for results in several) or not several:
        raise BenchError(f"{arguments.source.name} is of another version of caesura bench, or empty")
    return several


def _write(several: Sequence[Results], arguments: argparse.Namespace) -> None:
    """Raw data first: nothing that was measured is lost if a report can't be made."""
    import msgspec
    from rich.console import Console

    from .report import print_report, write_report, write_trace

    if arguments.json is not None:
        arguments.json.write_bytes(msgspec.json.encode(several))
    print_report(several, Console())
    if arguments.trace is not None:
        write_trace(several[0], arguments.trace)
    if arguments.report is not None:
        write_report(several, arguments.report)
