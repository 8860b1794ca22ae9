"""What a check comes to, and what that says of each requirement."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .registry import Check
from .requirements import REQUIREMENTS, Requirement
from .transcript import Entry, collapsed


class CheckFailed(Exception):
    """A check could not go on: something did not come, or the peer can't be brought to what the check needs. That is
    a failure of everything the check is there to show."""


class Violation(CheckFailed):
    """The peer breaks one requirement. ``message`` says what happened, in a sentence."""

    def __init__(self, requirement: str, message: str) -> None:
        super().__init__(message)
        self.requirement = REQUIREMENTS[requirement].id
        self.message = message


class NotTestable(Exception):
    """The check can tell nothing about this peer, and nobody is at fault; the text says what would help."""


class Result(enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Failure:
    """``requirements`` are those that the failure concerns: one for a violation, else all of the check. ``position`` is
    how many entries the transcript had then."""

    requirements: tuple[str, ...]
    message: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """``ended`` tells whether the check went through to its end: what it did not complain of is shown then.
    ``not_run`` says why it was not run, if it was not."""

    check: Check
    failures: tuple[Failure, ...] = ()
    ended: bool = True
    not_run: str | None = None
    seconds: float = 0.0
    transcript: tuple[Entry, ...] = ()

    @property
    def result(self) -> Result:
        if self.failures:
            return Result.FAILED
        return Result.PASSED if self.not_run is None else Result.NOT_RUN

    def transcript_of(self, failure: Failure, most: int) -> tuple[Entry, ...]:
        """What led to a failure: the last entries up to it, runs of deltas collapsed."""
        return tuple(collapsed(self.transcript[: failure.position])[-most:])

    def shows(self, requirement: str) -> bool:
        """Whether this outcome is evidence that the peer keeps the requirement."""
        concerned = (name for failure in self.failures for name in failure.requirements)
        return self.ended and requirement in self.check.requirements and requirement not in concerned


@dataclass(frozen=True, slots=True)
class RequirementOutcome:
    """One requirement over all checks: failed if one of them says so, passed if one shows that it is kept, else not
    run, for ``reason``."""

    requirement: Requirement
    result: Result
    checks: tuple[CheckOutcome, ...] = ()
    failures: tuple[tuple[CheckOutcome, Failure], ...] = ()
    reason: str = ""

    @property
    def is_error(self) -> bool:
        return self.result is Result.FAILED and self.requirement.is_must

    @property
    def is_warning(self) -> bool:
        return self.result is Result.FAILED and not self.requirement.is_must


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole run. ``requirements`` has a row for each that was asked for, and for each other one that was broken."""

    requirements: tuple[RequirementOutcome, ...]
    checks: tuple[CheckOutcome, ...]
    seconds: float
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def conforms(self) -> bool:
        """No MUST is known to be broken."""
        return not any(row.is_error for row in self.requirements)

    def count(self, test: Callable[[RequirementOutcome], bool]) -> int:
        return sum(map(test, self.requirements))


def judge(
    outcomes: Sequence[CheckOutcome], asked: Sequence[str], seconds: float = 0.0, facts: dict[str, str] | None = None
) -> Verdict:
    """What these outcomes say of the requirements ``asked`` for, in the order of the list of requirements."""
    broken = {name for outcome in outcomes for failure in outcome.failures for name in failure.requirements}
    names = [name for name in REQUIREMENTS if name in broken or name in asked]
    return Verdict(tuple(_row(name, outcomes) for name in names), tuple(outcomes), seconds, facts or {})


def _row(name: str, outcomes: Sequence[CheckOutcome]) -> RequirementOutcome:
    requirement = REQUIREMENTS[name]
    covering = tuple(outcome for outcome in outcomes if name in outcome.check.requirements)
    failures = tuple(
        (outcome, failure) for outcome in outcomes for failure in outcome.failures if name in failure.requirements
    )
    if failures:
        return RequirementOutcome(requirement, Result.FAILED, covering, failures)
    if any(outcome.shows(name) for outcome in covering if outcome.not_run is None):
        return RequirementOutcome(requirement, Result.PASSED, covering)
    reasons = [
        outcome.not_run or f"the check {outcome.check.name} failed before it came to this" for outcome in covering
    ]
    return RequirementOutcome(
        requirement, Result.NOT_RUN, covering, reason="; ".join(dict.fromkeys(reasons)) or "no check covers it"
    )
