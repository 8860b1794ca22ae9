"""Checks are run, whatever they do; and what their outcomes say of the requirements."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from caesura.client.conformance.outcome import (
    CheckFailed,
    CheckOutcome,
    Failure,
    NotTestable,
    Result,
    Verdict,
    Violation,
    judge,
)
from caesura.client.conformance.registry import Check, Registry
from caesura.client.conformance.runner import run_checks
from caesura.client.conformance.transcript import Transcript
from hypothesis import given
from hypothesis import strategies as st

MUST, OTHER, SHOULD = "append-atomic", "append-error-input", "done-size"


class FakeCase:
    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.failures: list[Failure] = []
        self.is_cleaned = False

    async def clean(self) -> None:
        self.is_cleaned = True


async def passes(case: FakeCase) -> None:
    case.transcript.add("A", ">", "{}")


async def violates(case: FakeCase) -> None:
    case.transcript.add("A", "<", "{}")
    raise Violation(MUST, "It took half of it.")


async def notes_a_violation(case: FakeCase) -> None:
    case.failures.append(Failure((OTHER,), "The input is missing."))


async def cannot_go_on(case: FakeCase) -> None:
    raise CheckFailed("no connection")


async def crashes(case: FakeCase) -> None:
    raise KeyError("response")


async def hangs(case: FakeCase) -> None:
    await asyncio.Event().wait()


async def can_tell_nothing(case: FakeCase) -> None:
    raise NotTestable("it is inside")


def check_of(run: Callable[[FakeCase], Awaitable[None]], *names: str) -> Check:
    return Check(run.__name__, "chapter", "What it does.", names or (MUST, OTHER), (), run)


def run(*checks: Check, **options: Any) -> tuple[list[CheckOutcome], list[FakeCase]]:
    cases: list[FakeCase] = []

    async def open_case(check: Check, transcript: Transcript) -> FakeCase:
        cases.append(FakeCase(transcript))
        return cases[-1]

    outcomes = asyncio.run(run_checks(checks, open_case, check_seconds=0.2, **options))
    return outcomes, cases


def result(verdict: Verdict, name: str) -> Result:
    return next(row.result for row in verdict.requirements if row.requirement.id == name)


@pytest.mark.parametrize(
    ("function", "failed", "not_reached"),
    [
        (violates, {MUST}, {OTHER}),
        (notes_a_violation, {OTHER}, set()),
        (cannot_go_on, {MUST, OTHER}, set()),
        (crashes, {MUST, OTHER}, set()),
        (hangs, {MUST, OTHER}, set()),
    ],
)
def test_a_check_that_fails(function: Any, failed: set[str], not_reached: set[str]) -> None:
    outcomes, cases = run(check_of(function))
    verdict = judge(outcomes, [MUST, OTHER])
    for name in (MUST, OTHER):
        expected = Result.FAILED if name in failed else Result.NOT_RUN if name in not_reached else Result.PASSED
        assert result(verdict, name) is expected
    assert not verdict.conforms
    assert outcomes[0].result is Result.FAILED
    assert all(failure.message for failure in outcomes[0].failures)
    assert cases[0].is_cleaned


def test_a_check_that_passes() -> None:
    outcomes, cases = run(check_of(passes))
    verdict = judge(outcomes, [MUST, OTHER])
    assert verdict.conforms
    assert [row.result for row in verdict.requirements] == [Result.PASSED, Result.PASSED]
    assert outcomes[0].transcript[0].text == "{}"
    assert cases[0].is_cleaned


def test_what_was_not_run_is_not_passed() -> None:
    outcomes, _ = run(check_of(can_tell_nothing), check_of(passes, SHOULD), why_not=lambda check: None)
    skipped, _ = run(check_of(passes, "lane-limit"), why_not=lambda check: "give --declare")
    verdict = judge([*outcomes, *skipped], [MUST, OTHER, SHOULD, "lane-limit", "ping-pong"])
    rows = {row.requirement.id: row for row in verdict.requirements}
    assert rows[MUST].result is rows["lane-limit"].result is rows["ping-pong"].result is Result.NOT_RUN
    assert "inside" in rows[MUST].reason
    assert "--declare" in rows["lane-limit"].reason
    assert rows["ping-pong"].reason
    assert rows[SHOULD].result is Result.PASSED
    assert verdict.conforms


def test_one_failure_outweighs_what_others_show() -> None:
    outcomes, _ = run(check_of(passes), check_of(violates))
    verdict = judge(outcomes, [MUST, OTHER])
    assert result(verdict, MUST) is Result.FAILED
    assert result(verdict, OTHER) is Result.PASSED


def test_a_violation_of_what_was_not_asked_for_is_shown() -> None:
    outcomes, _ = run(check_of(violates, OTHER))
    assert result(judge(outcomes, [OTHER]), MUST) is Result.FAILED


def test_a_should_is_a_warning() -> None:
    outcomes, _ = run(check_of(cannot_go_on, SHOULD))
    verdict = judge(outcomes, [SHOULD])
    assert verdict.conforms
    assert verdict.requirements[0].is_warning


@given(st.lists(st.sampled_from([passes, violates, notes_a_violation, crashes, can_tell_nothing]), max_size=6))
def test_nothing_passes_that_a_check_complains_of(functions: list[Any]) -> None:
    outcomes, _ = run(*(check_of(function) for function in functions))
    verdict = judge(outcomes, [MUST, OTHER])
    complained = {name for outcome in outcomes for failure in outcome.failures for name in failure.requirements}
    shown = passes in functions
    for row in verdict.requirements:
        assert (row.result is Result.FAILED) == (row.requirement.id in complained)
        if row.result is Result.PASSED:
            assert shown or notes_a_violation in functions
    assert len(outcomes) == len(functions)


def test_no_more_checks_at_once_than_jobs() -> None:
    running = most = 0

    async def counts(case: FakeCase) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    told: list[CheckOutcome] = []
    outcomes, _ = run(*(check_of(counts) for _ in range(9)), jobs=3, on_outcome=told.append)
    assert most == 3
    assert len(told) == len(outcomes) == 9


def test_registering() -> None:
    registry: Registry[FakeCase] = Registry()

    @registry.check(MUST, needs=["grace"])
    async def first_of_all(case: FakeCase) -> None:
        """Says what it does."""

    (check,) = registry
    assert (check.name, check.requirements, check.needs) == ("first-of-all", (MUST,), ("grace",))
    assert check.description == "Says what it does."
    assert registry.covering(["append-*"]) == ([check], [MUST])
    with pytest.raises(KeyError):
        registry.covering(["lane-*"])
    with pytest.raises(KeyError):
        registry.check("no-such-requirement")
    with pytest.raises(ValueError, match="name of its own"):
        registry.check(MUST)(first_of_all)
    with pytest.raises(ValueError, match="docstring"):
        registry.check(MUST)(passes)
