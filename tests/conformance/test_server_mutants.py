"""Every check of a server is worth something: it fails on a variant of our own server that breaks what it is about, and
passes on the same server unbroken."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from caesura.client.conformance.outcome import CheckOutcome, Result
from caesura.client.conformance.server_checks import checks
from caesura.sampler.random_model import SHAPES, write_random_model
from mutated_server import Workshop
from server_mutants import LIMITS, MUTANTS, Mutant

SECONDS = 120.0

PATIENT = 10.0
"""Seconds that a check may wait on a busy machine for something that comes."""

CHAPTERS = [import_module(path.stem) for path in sorted(Path(__file__).parent.glob("server_mutants_*.py"))]

OF_THE_SUITE = ("the check broke off", "the check did not end within")
"""How failures begin that say more of the suite than of the server."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def workshop(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    model = write_random_model(tmp_path_factory.mktemp("model") / "tiny.gguf", SHAPES["tiny"])

    async def make() -> Workshop:
        return Workshop(model)

    workshop = runner.run(make())
    yield workshop
    runner.run(workshop.close())


def broken(outcome: CheckOutcome) -> set[str]:
    """The requirements that a check says are broken, each by itself."""
    return {name for failure in outcome.failures if len(failure.requirements) == 1 for name in failure.requirements}


def covered(mutant: Mutant) -> set[tuple[str, str]]:
    """The checks that have to find it, each with a requirement that it has to complain of."""
    return {(check.name, name) for check in checks if check.name in mutant.by for name in check.requirements} & {
        (check, name) for check in mutant.by for name in mutant.requirements
    }


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_is_found(
    runner: asyncio.Runner, workshop: Workshop, mutant: Mutant, caplog: pytest.LogCaptureFixture
) -> None:
    found: set[tuple[str, str]] = set()
    for wait in (mutant.wait, PATIENT):  # on a busy machine something else may not come in time
        outcomes = runner.run(asyncio.wait_for(workshop.run(mutant.by, mutant.limits, wait, mutant), SECONDS))
        found = {(outcome.check.name, name) for outcome in outcomes for name in broken(outcome)}
        if covered(mutant) <= found:
            break
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    assert [failure for failure in failures if failure.message.startswith(OF_THE_SUITE)] == []
    assert covered(mutant) <= found
    assert [record for record in caplog.records if record.exc_info] == []  # it is wrong, and does not break down


@pytest.mark.parametrize("limits", LIMITS)
def test_the_server_as_it_is_passes(runner: asyncio.Runner, workshop: Workshop, limits: str) -> None:
    names = {name for mutant in MUTANTS if mutant.limits == limits for name in mutant.by}
    outcomes = runner.run(asyncio.wait_for(workshop.run(names, limits, PATIENT), SECONDS))
    assert [outcome for outcome in outcomes if outcome.result is not Result.PASSED] == []


def test_every_check_is_failed_for_each_of_its_requirements() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for mutant in MUTANTS:
        for check, name in covered(mutant):
            found[check].add(name)
    assert found == {check.name: set(check.requirements) for check in checks}


def test_mutants_name_what_there_is() -> None:
    for mutant in MUTANTS:
        pairs = covered(mutant)
        assert {check for check, _ in pairs} == set(mutant.by), mutant.name
        assert {name for _, name in pairs} == set(mutant.requirements), mutant.name
