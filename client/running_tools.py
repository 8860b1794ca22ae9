"""The local tools of one run that are at work."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from ..protocol.items import FunctionCall
from .local_tools import ToolBox, ToolCall


class RunningTools:
    """Each call is a task; they run at once.

    :param deliver: called with each task as it ends; :meth:`take` tells what it came to.
    :ivar seconds: time in which at least one tool ran.
    """

    def __init__(self, tools: ToolBox, deliver: Callable[[asyncio.Task[ToolCall]], None]) -> None:
        self._tools = tools
        self._deliver = deliver
        self._tasks: set[asyncio.Task[ToolCall]] = set()
        self._busy_from, self._busy_until = math.inf, -math.inf
        self.seconds = 0.0

    def __len__(self) -> int:
        """How many have been started and not been taken."""
        return len(self._tasks)

    def start(self, call: FunctionCall) -> None:
        task = asyncio.create_task(self._tools.answer(call), name=f"tool {call.name}")
        self._tasks.add(task)
        task.add_done_callback(self._deliver)

    def take(self, task: asyncio.Task[ToolCall]) -> ToolCall | None:
        """What a call was answered with; None if it was given up before. Raises what has to end the run."""
        if task not in self._tasks:
            return None
        self._tasks.remove(task)
        answered = task.result()
        self._busy_from = min(self._busy_from, answered.started_at)
        self._busy_until = max(self._busy_until, answered.started_at + answered.seconds)
        if not self._tasks:
            self.seconds += self._busy_until - self._busy_from
            self._busy_from, self._busy_until = math.inf, -math.inf
        return answered

    def cancel(self) -> None:
        """Give up all that run."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
