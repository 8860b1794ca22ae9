"""Runs checks: a few at a time, each in a case of its own, bounded in time, whatever it raises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from .outcome import CheckFailed, CheckOutcome, Failure, NotTestable, Violation
from .registry import Check
from .transcript import Transcript


class Case(Protocol):
    """What a check is given. ``failures`` are violations that did not end it; ``clean`` is awaited after it."""

    @property
    def failures(self) -> list[Failure]: ...

    async def clean(self) -> None: ...


async def run_checks(
    checks: Iterable[Check],
    open_case: Callable[[Check, Transcript], Awaitable[Case]],
    *,
    why_not: Callable[[Check], str | None] = lambda check: None,
    jobs: int = 4,
    check_seconds: float = 60.0,
    on_outcome: Callable[[CheckOutcome], None] = lambda outcome: None,
) -> list[CheckOutcome]:
    """Their outcomes, in the order of the checks.

    :param why_not: why a check is not to be run, or None.
    :param check_seconds: what a check may take in all.
    :param on_outcome: called with each outcome as it comes.
    """
    free = asyncio.Semaphore(jobs)

    async def one(check: Check) -> CheckOutcome:
        reason = why_not(check)
        if reason is not None:
            outcome = CheckOutcome(check, not_run=reason, ended=False)
        else:
            async with free:
                outcome = await _run(check, open_case, check_seconds)
        on_outcome(outcome)
        return outcome

    return await asyncio.gather(*map(one, checks))


async def _run(check: Check, open_case: Callable[[Check, Transcript], Awaitable[Case]], seconds: float) -> CheckOutcome:
    transcript = Transcript()
    start = time.monotonic()
    failures: list[Failure] = []
    ended = False
    not_run: str | None = None
    case: Case | None = None

    def fail(requirements: tuple[str, ...], text: str) -> None:
        failures.append(Failure(requirements, text, len(transcript.entries)))

    try:
        async with asyncio.timeout(seconds):
            case = await open_case(check, transcript)
            await check.run(case)
        ended = True
    except NotTestable as reason:
        not_run = str(reason)
    except Violation as violation:
        fail((violation.requirement,), violation.message)
    except CheckFailed as failed:
        fail(check.requirements, str(failed))
    except TimeoutError:
        fail(check.requirements, f"the check did not end within {seconds:g} s")
    except Exception as error:
        # Most often the peer sent something of a shape that the check could not imagine.
        fail(check.requirements, f"the check broke off: {type(error).__name__}: {error}")
    entries = tuple(transcript.entries)
    if case is not None:
        failures[:0] = case.failures
        await case.clean()
    return CheckOutcome(check, tuple(failures), ended, not_run, time.monotonic() - start, entries)
