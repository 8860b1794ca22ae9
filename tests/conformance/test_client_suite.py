"""Each check of a client is worth something: it fails on a client that does wrong what it is about, and passes on one
that does it right, in whatever way."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import client_loss_mutants
import pytest
from caesura.client.conformance.client_case import ClientSettings
from caesura.client.conformance.client_process import ClientRun, Launch, OnLine
from caesura.client.conformance.client_suite import check_client, checks
from caesura.client.conformance.command import CONFORMS, DOES_NOT_CONFORM, NOT_RUN, conform
from caesura.client.conformance.outcome import CheckOutcome, Result, Verdict, judge
from caesura.client.conformance.registry import Check
from caesura.client.conformance.requirements import REQUIREMENTS
from client_mutants import MUTANTS, Mutant
from client_reference import ReferenceClient
from client_variants import VARIANTS

HERE = Path(__file__).parent
ADAPTER = shlex.join([sys.executable, "-m", "caesura.client.conformance.client_adapter", "{url}"])
WAIT = 6.0
"""Seconds that a check waits at most for what a broken client never does."""

CLIENTS_AT_ONCE, CHECKS_AT_ONCE = 12, 8
"""They wait most of the time."""

TIMED = [
    ReferenceClient,
    client_loss_mutants.NeverConnectsAgain,
    client_loss_mutants.TriesOnce,
    *(mutant.client for mutant in MUTANTS if "client-backoff" in mutant.breaks),
]


class InProcess:
    """A run of a reference client without a process of its own: more than a thousand are wanted."""

    def __init__(self, client: ReferenceClient) -> None:
        self._task = asyncio.ensure_future(client.run())

    async def wait(self) -> int:
        await asyncio.wait({self._task})
        return 1 if self._task.cancelled() or self._task.exception() is not None else self._task.result()

    async def kill(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._task


def in_process(client: type[ReferenceClient]) -> Launch:
    async def launch(url: str, environment: Mapping[str, str], on_line: OnLine) -> ClientRun:
        def tell(line: str) -> None:
            on_line("stdout", line)

        def complain(line: str) -> None:
            on_line("stderr", line)

        return InProcess(client(url, tell, complain, environment))

    return launch


@pytest.fixture(scope="module")
def verdicts() -> Mapping[type[ReferenceClient], Verdict]:
    """All checks on all mutants and variants. The one that measures times is run apart, where it means something."""
    timed, _ = checks.covering(["client-backoff"])
    untimed = [check for check in checks if check not in timed]

    async def run(clients: Sequence[type[ReferenceClient]], selected: Sequence[Check]) -> list[list[CheckOutcome]]:
        free = asyncio.Semaphore(CLIENTS_AT_ONCE)

        async def one(client: type[ReferenceClient]) -> list[CheckOutcome]:
            async with free:
                settings = ClientSettings(timeout=WAIT)
                return await check_client(settings, in_process(client), selected, jobs=CHECKS_AT_ONCE)

        return await asyncio.gather(*map(one, clients))

    clients = [*VARIANTS, *(mutant.client for mutant in MUTANTS)]
    outcomes = dict(zip(clients, asyncio.run(run(clients, untimed)), strict=True))
    for client, more in zip(TIMED, asyncio.run(run(TIMED, timed)), strict=True):
        outcomes[client] += more
    return {client: judge(found, sorted(checks.requirements)) for client, found in outcomes.items()}


def story(verdict: Verdict) -> list[str]:
    return [
        f"{outcome.check.name} {failure.requirements}: {failure.message}"
        for outcome in verdict.checks
        for failure in outcome.failures
    ]


def test_every_requirement_of_a_client_is_covered() -> None:
    of_clients = {name for name, each in REQUIREMENTS.items() if each.role in ("client", "both")}
    assert checks.requirements == of_clients


@pytest.mark.parametrize("client", VARIANTS)
def test_a_client_that_is_right(
    client: type[ReferenceClient], verdicts: Mapping[type[ReferenceClient], Verdict]
) -> None:
    verdict = verdicts[client]
    assert story(verdict) == []
    assert verdict.conforms
    if client is ReferenceClient:
        assert [outcome.check.name for outcome in verdict.checks if outcome.result is not Result.PASSED] == []
        assert len(verdict.checks) == len(checks)


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(each, id=each.client.__name__, marks=pytest.mark.requirement(*sorted(each.breaks)))
        for each in MUTANTS
    ],
)
def test_a_client_that_is_wrong(mutant: Mutant, verdicts: Mapping[type[ReferenceClient], Verdict]) -> None:
    """It fails what it breaks, and nothing else."""
    verdict = verdicts[mutant.client]
    failed = {row.requirement.id for row in verdict.requirements if row.result is Result.FAILED}
    assert failed == mutant.breaks, story(verdict)
    assert verdict.conforms is not any(REQUIREMENTS[name].is_must for name in mutant.breaks)


def test_every_check_fails_somewhere(verdicts: Mapping[type[ReferenceClient], Verdict]) -> None:
    """For each requirement that a check is there to show, there is a client that breaks it and fails that check."""
    caught = {
        (outcome.check.name, name)
        for mutant in MUTANTS
        for outcome in verdicts[mutant.client].checks
        for failure in outcome.failures
        for name in failure.requirements
        if name in mutant.breaks
    }
    wanted = {(check.name, name) for check in checks for name in check.requirements}
    assert wanted - caught == set()


def test_what_cannot_be_seen_is_not_passed(verdicts: Mapping[type[ReferenceClient], Verdict]) -> None:
    """A client that prints no events, and one that never resumes."""

    def not_run(name: str) -> dict[str, str]:
        (verdict,) = [verdict for client, verdict in verdicts.items() if client.__name__ == name]
        return {row.requirement.id: row.reason for row in verdict.requirements if row.result is Result.NOT_RUN}

    assert not_run("GivesNothing")["client-events-once"] == "the client prints no events"
    assert not_run("NeverConnectsAgain").keys() == {
        "client-backoff",
        "client-events-once",
        "client-same-output",
        "client-retry",
    }
    assert not_run("TriesOnce").keys() == {"client-backoff"}


@pytest.mark.requirement(
    "text-frames",
    "client-unknown-events",
    "client-done",
    "client-own-calls",
    "client-answers-all",
    "client-no-history",
    "client-same-output",
    "client-events-once",
    "client-gap",
    "client-binary",
    "client-resume",
    "client-retry",
    "client-backoff",
    "client-cancel-tools",
)
def test_our_client_conforms(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert conform(["--client", ADAPTER, "--jobs", "8", "--json", str(report)]) == CONFORMS
    told = json.loads(report.read_text())
    assert {row["id"]: row["result"] for row in told["requirements"]} == dict.fromkeys(checks.requirements, "passed")
    assert told["tools"] == "echo nonce sleep"


def command(code: str) -> str:
    """A client of these lines of Python."""
    head = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import client_reference, client_mutants, client_loss_mutants"
    )
    return shlex.join([sys.executable, "-c", f"{head}\n{code}", "{url}"])


def test_a_client_that_breaks_a_must(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    client = command("sys.exit(client_reference.run(client_mutants.DiesOfAnUnknownTool))")
    arguments = ["--client", client, "--only", "client-answers-all", "client-d*", "--junit", str(junit)]
    assert conform(arguments) == DOES_NOT_CONFORM
    told = capsys.readouterr().out
    assert "FAILED" in told
    assert "stderr: given up: no tool conformance_no_such_tool" in told
    assert "conformance.pauses" in junit.read_text()


def test_a_client_that_breaks_a_should(capsys: pytest.CaptureFixture[str]) -> None:
    client = command("sys.exit(client_reference.run(client_loss_mutants.DiesOfLostEvents))")
    assert conform(["--client", client, "--only", "client-resume"]) == CONFORMS
    assert "1 warnings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("/no/such/program {url}", "can't run /no/such/program"),
        (command("sys.exit('I am no client')"), "I am no client"),
        (command("import time; time.sleep(600)"), "before it connected"),
        (
            command(
                "import asyncio, websockets\n"
                "async def main(): await websockets.connect(sys.argv[1], proxy=None)\n"
                "asyncio.run(main())"
            ),
            "does not ask for append mode",
        ),
        (
            command(
                "del client_reference.TOOLS['echo']\nsys.exit(client_reference.run(client_reference.ReferenceClient))"
            ),
            "offers no function tool 'echo'",
        ),
    ],
)
def test_what_is_no_client(client: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert conform(["--client", client, "--timeout", "2"]) == NOT_RUN
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["http://127.0.0.1:1", "--client", "x"],
        ["--client", ""],
        ["--client", "'"],
        ["--client", "x", "--declare", "grace=1"],
        ["--client", "x", "--driver", "natural"],
        ["--client", "x", "--other-api-key", "k"],
        ["--client", "x", "--only", "append-atomic"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        conform(arguments)
    assert raised.value.code == 2
    assert "caesura conform: error:" in capsys.readouterr().err


def test_help_says_what_a_client_has_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        conform(["--help"])
    told = capsys.readouterr().out
    for name in ("CAESURA_URL", "CAESURA_MODEL", "CAESURA_MAX_RECONNECTS", "echo", "sleep", "nonce", '"status"'):
        assert name in told
