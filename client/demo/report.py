"""What a rollout of the demo came to: as data for ``--json``, as a table for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from ..results import RunResult
from .repository import Repository
from .workspace import Workspace, run_unittest

_RAN = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)


def why_not_fixed(workspace: Workspace, repository: Repository) -> str | None:
    """None if the repository's own tests, unchanged and all of them, pass now; else what stands in the way."""
    tests = {path: text for path, text in repository.files.items() if path.startswith("test_")}
    for path, text in tests.items():
        file = workspace.root / path
        if not file.is_file() or file.read_text(encoding="utf-8", errors="replace") != text:
            return f"the tests were changed ({path})"
    try:
        done = run_unittest(workspace.root)
    except TimeoutError as error:
        return str(error)
    # The exit code alone could be had without running a test: a module under repair is imported by them.
    ran = _RAN.search(done.stderr)
    expected = sum(text.count("\n    def test_") for text in tests.values())
    if done.returncode != 0:
        return "the tests fail"
    if ran is None or int(ran[1]) != expected:
        return f"not all of the {expected} tests ran"
    return None


@dataclass(frozen=True)
class Report:
    """One rollout. ``problem`` is None if the bug is fixed, else the reason why it counts as not fixed."""

    seed: int
    problem: str | None
    result: RunResult

    @property
    def fixed(self) -> bool:
        return self.problem is None

    def data(self) -> dict[str, Any]:
        """For ``--json``. Counts and times of the server are None if the rollout broke off before it told them."""
        stats = self.result.stats
        tokens: Mapping[str, Any] = stats.get("tokens", {})
        stages: Mapping[str, Any] = stats.get("stages_ms", {})
        return {
            "response_id": self.result.response_id,
            "fixed": self.fixed,
            "pauses": self.result.pauses,
            "tool_calls": len(self.result.tool_calls),
            "preinference_runs": stats.get("preinference_runs"),
            "postinference_runs": stats.get("postinference_runs"),
            "tokens": {name: tokens.get(name) for name in ("prefilled", "sampled", "appended", "recomputed")},
            "stages_ms": {
                "inference": stages.get("inference"),
                "api": stages.get("api"),
                "client_tools": round(self.result.client_tools_ms, 3),
                "post": stages.get("post"),
            },
            "wall_ms": round(self.result.wall_ms, 3),
        }

    def table(self) -> Table:
        data = self.data()
        tokens, stages = data["tokens"], data["stages_ms"]
        table = Table(title="One Response", title_justify="left", show_header=False, min_width=46)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", overflow="fold")
        table.add_row("response", data["response_id"] or "(none)")
        table.add_row("pauses", str(data["pauses"]))
        table.add_row("tool calls", str(data["tool_calls"]))
        table.add_row("preinference runs", _count(data["preinference_runs"]))
        table.add_row("postinference runs", _count(data["postinference_runs"]), end_section=True)
        table.add_row("tokens prefilled", _count(tokens["prefilled"]))
        table.add_row("tokens sampled", _count(tokens["sampled"]))
        table.add_row("tokens appended", _count(tokens["appended"]))
        table.add_row("tokens computed twice", _count(tokens["recomputed"]), end_section=True)
        table.add_row("model inference", _duration(stages["inference"]))
        table.add_row("API overhead", _duration(stages["api"]))
        table.add_row("client tools", _duration(stages["client_tools"]))
        table.add_row("post", _duration(stages["post"]))
        if None not in stages.values():
            table.add_row("network and waiting", _duration(data["wall_ms"] - sum(stages.values())))
        table.add_row("wall", _duration(data["wall_ms"]))
        return table


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _duration(milliseconds: float | None) -> str:
    return "unknown" if milliseconds is None else f"{milliseconds:,.1f} ms"
