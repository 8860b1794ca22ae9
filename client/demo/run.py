"""The demo's rollouts: make a repository, let the model repair it with local tools, look whether it did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..connection import Client, connect
from ..errors import ConnectionLost, RunFailed
from ..results import RunResult
from .progress import Progress
from .report import Report, why_not_fixed
from .repository import INSTRUCTIONS, TASK, make_repository
from .server import Server
from .workspace import Workspace

MAX_OUTPUT_TOKENS = 4096
"""Many times what a repair takes: the end of a model that goes round in circles."""


class RepositoryNotMade(Exception):
    """The directory can't be written, or git is missing."""


async def run_demo(server: Server, seeds: Sequence[int], home: Path, console: Console) -> list[Report]:
    """One rollout a seed, one after the other on one connection; stops early only if that is lost.

    :raises ConnectionFailed: the server can't be reached.
    :raises RepositoryNotMade: see there.
    """
    reports: list[Report] = []
    async with connect(server.url) as client:
        for seed in seeds:
            report, connected = await _repair(client, server.model, seed, home, console)
            console.print(report.table())
            verdict = f"seed {seed}: " + ("fixed, its tests pass" if report.fixed else f"not fixed: {report.problem}")
            console.print(
                verdict,
                style="bold green" if report.fixed else "bold red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            reports.append(report)
            if not connected:
                break
    return reports


async def _repair(client: Client, model: str, seed: int, home: Path, console: Console) -> tuple[Report, bool]:
    """The report, and whether the connection is still there."""
    repository = make_repository(seed)
    workspace = Workspace(home / f"{repository.topic}-{seed}")
    try:
        await asyncio.to_thread(workspace.write, repository)
    except (OSError, RuntimeError) as error:
        raise RepositoryNotMade(f"no repository in {workspace.root}: {error}") from error
    console.print(f"repository {workspace.root}", style="dim", highlight=False, soft_wrap=True, markup=False)
    try:
        result = await _run(client, model, seed, workspace, Progress(console))
    except (RunFailed, ConnectionLost) as error:
        return Report(seed, str(error), error.partial), not isinstance(error, ConnectionLost)
    return Report(seed, await asyncio.to_thread(why_not_fixed, workspace, repository), result), True


async def _run(client: Client, model: str, seed: int, workspace: Workspace, progress: Progress) -> RunResult:
    rollout = client.stream(
        model=model,
        instructions=INSTRUCTIONS,
        input=TASK,
        tools=[workspace.list_files, workspace.read_file, workspace.edit_file, workspace.run_tests],
        temperature=0.0,
        seed=seed,
        max_output_tokens=MAX_OUTPUT_TOKENS,
        early_tools=False,  # the demo shows pauses, and adds up times that must not overlap
    )
    try:
        async with rollout:
            async for event in rollout:
                progress.show(event)
    finally:
        progress.break_off()
    return rollout.result
