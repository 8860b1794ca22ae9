"""``caesura bench``: what it is told, and what comes of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..termination import ended_by_signals

if TYPE_CHECKING:
    from .plan import Plan
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
        with ended_by_signals():
            check_files(arguments)
            if arguments.source is not None:
                several = _read(arguments)
            else:
                several = _measured(plans_of(arguments), argv, arguments)
            _write(several, arguments)
            return _code(several)
    except (BenchError, OSError) as error:
        print(f"caesura bench: {error}", file=sys.stderr)
        return NOT_STARTED


def _measured(plans: Sequence[Plan], argv: Sequence[str], arguments: argparse.Namespace) -> list[Results]:
    """Those until one breaks off, that one included."""
    from .driver import BenchError
    from .experiment import BROKEN_OFF

    several: list[Results] = []
    for plan in plans:
        try:
            several.append(_measure(plan, argv, arguments))
        except BenchError as error:
            if not several:
                raise
            several[-1].settings[BROKEN_OFF] = f"the next experiment: {error}"
        if reason := several[-1].settings.get(BROKEN_OFF):
            print(f"caesura bench: broken off: {reason}. What was measured until then is kept.", file=sys.stderr)
            break
    return several


def _code(several: Sequence[Results]) -> int:
    from .experiment import BROKEN_OFF, INTERRUPTED

    reasons = [results.settings.get(BROKEN_OFF) for results in several]
    if INTERRUPTED in reasons:
        raise KeyboardInterrupt
    runs = [run for results in several for run in results.runs]
    runs += [run for results in several for load in results.loads for run in load.runs]
    return FAILED if any(reasons) or any(run.error is not None for run in runs) else DONE


def _measure(plan: Plan, argv: Sequence[str], arguments: argparse.Namespace) -> Results:
    from .experiment import run_experiment

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
    """Raw data first: nothing that was measured is lost if a report can't be made. The terminal last: it may be a pipe
    that nobody reads to its end.

    :raises BenchError: the raw data, of somebody else, make no sense.
    """
    import msgspec
    from rich.console import Console

    from .driver import BenchError
    from .report import print_report, write_report, write_trace

    if arguments.json is not None:
        arguments.json.write_bytes(msgspec.json.encode(several))
    try:
        if arguments.trace is not None:
            write_trace(several[0], arguments.trace)
        if arguments.report is not None:
            write_report(several, arguments.report)
        print_report(several, Console())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        if arguments.source is None:
            raise
        raise BenchError(f"the data in {arguments.source.name} make no sense: {error!r}") from error
