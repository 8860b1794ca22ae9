"""Tools that run in the client's process, in the wording that the demo model was trained on.

It writes their calls right in 98 of 100 cases (see its card), so what these tests assert of a loop holds for a model
that does what it is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caesura.client.demo.repository import INSTRUCTIONS, TASK, make_repository
from caesura.client.demo.workspace import Workspace
from caesura.client.function_schema import describe

Json = dict[str, Any]

SEED = 1
"""Of a repository that the demo model repairs."""


def calculate(expression: str) -> str:
    """Evaluate an arithmetic expression exactly.

    Args:
        expression: The expression, such as (3 + 4) * 5 or sqrt(2).
    """
    assert set(expression) <= set("0123456789+-*/%(). "), expression
    return str(eval(expression))


@dataclass
class LocalTools:
    """``calls`` are those that ran, in order: (name, arguments)."""

    functions: dict[str, Callable[..., str]]
    workspace: Workspace | None = None
    calls: list[tuple[str, Json]] = field(default_factory=list)

    @classmethod
    def calculator(cls) -> LocalTools:
        return cls({"calculate": calculate})

    @classmethod
    def repair(cls, folder: Path) -> LocalTools:
        """The demo's task: a git repository with a bug, and four tools."""
        workspace = Workspace(folder)
        workspace.write(make_repository(SEED))
        tools = [workspace.list_files, workspace.read_file, workspace.edit_file, workspace.run_tests]
        return cls({tool.__name__: tool for tool in tools}, workspace)

    @property
    def definitions(self) -> list[Any]:
        return [describe(function).as_tool() for function in self.functions.values()]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def run(self, name: str, arguments: str) -> str:
        """Run a call; an exception is an output that says so, as the demo's client has it."""
        try:
            return self.functions[name](**self.note(name, arguments))
        except Exception as error:
            return f"Error: {error}"

    def note(self, name: str, arguments: str) -> Json:
        values: Json = json.loads(arguments)
        self.calls.append((name, values))
        return values

    def outputs(self, output: Any) -> list[Any]:
        """Of every function call among the items of an output."""
        return [
            {"type": "function_call_output", "call_id": item.call_id, "output": self.run(item.name, item.arguments)}
            for item in output
            if item.type == "function_call"
        ]

    def assert_repaired(self) -> None:
        assert self.workspace is not None
        assert self.workspace.tests_pass()
        assert "edit_file" in self.names


__all__ = ["INSTRUCTIONS", "TASK", "LocalTools", "calculate"]
