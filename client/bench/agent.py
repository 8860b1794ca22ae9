"""The client loop that all designs share: a turn, then all its tools at once, then the next turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .driver import BenchError, Call, Driver, Output
from .records import RunRecord, ToolRecord
from .script import Script, ScriptedCall


@dataclass(slots=True)
class Played:
    """A session that was played, and for each of its turns the Response that it belongs to, where there is one."""

    run: RunRecord
    response_ids: list[str | None] = field(default_factory=list)


async def play(
    driver: Driver,
    script: Script,
    nonce: str,
    *,
    design: str,
    repeat: int = 0,
    order: int = 0,
    agent: int = 0,
    connect_ns: int = 0,
    max_seconds: float | None = None,
) -> Played:
    """Play one session over an open driver.

    What goes wrong is in the record's ``error``, beside the turns until then: nothing is raised for it. A driver
    whose run has an error may be in the middle of a turn and is good for closing only.

    :param max_seconds: for the whole session, tools included.
    """
    played = Played(RunRecord(design, script.name, repeat, order, 0, 0, [], agent, connect_ns))
    run = played.run
    driver.begin(script, nonce)
    run.began = time.perf_counter_ns()
    try:
        async with asyncio.timeout(max_seconds):
            await _turns(driver, script, played)
    except BenchError as error:
        run.error = str(error)
    except TimeoutError:
        run.error = "a wait timed out" if max_seconds is None else f"the session was not over after {max_seconds:g} s"
    run.ended = time.perf_counter_ns()
    return played


async def _turns(driver: Driver, script: Script, played: Played) -> None:
    outputs: Sequence[Output] | None = None
    for number, turn in enumerate(script.turns):
        tools = _Tools(turn.calls, driver.answer if driver.early_tools else None)
        try:
            result = await driver.turn(outputs, tools.start if driver.early_tools else None)
            result.record.ended = result.record.last_event
            played.run.turns.append(result.record)
            played.response_ids.append(result.response_id)
            if len(result.calls) != len(turn.calls):
                message = f"turn {number} made {len(result.calls)} calls in place of {len(turn.calls)}"
                raise BenchError(f"{message}: it does not follow the script")
            outputs = await tools.finish(result.calls)
        finally:
            tools.cancel()
        result.record.tools = tools.records
        result.record.ended = max([result.record.last_event, *(tool.ended for tool in tools.records)])


class _Tools:
    """The tools of a turn. Calls come in the order of the script, which says what becomes of them.

    answer: where each answer goes as soon as there is one; None if they are given back all together.
    """

    def __init__(self, calls: Sequence[ScriptedCall], answer: Callable[[Output], None] | None) -> None:
        self.records: list[ToolRecord] = []
        self._calls = calls
        self._answer = answer
        self._outputs: list[Output] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, call: Call) -> None:
        """A call has been sampled. One too many starts nothing: it is seen when they are counted."""
        index = len(self.records)
        if index >= len(self._calls):
            return
        said, now = self._calls[index], time.perf_counter_ns()
        self.records.append(ToolRecord(now, now))
        self._outputs.append(Output(call.call_id, said.output))
        if said.seconds > 0:
            self._tasks.append(asyncio.create_task(self._run(index, said.seconds)))
        elif self._answer is not None:
            self._answer(self._outputs[index])

    async def finish(self, calls: Sequence[Call]) -> list[Output]:
        """The turn has ended, with these calls: start those that have not been, and wait for all. What is still to be
        answered."""
        for call in calls[len(self.records) :]:
            self.start(call)
        await asyncio.gather(*self._tasks)
        return [] if self._answer is not None else self._outputs

    def cancel(self) -> None:
        for task in self._tasks:
            if not task.done():
                task.cancel()
            elif not task.cancelled():
                task.exception()  # has been seen, or comes second to what ended the turn

    async def _run(self, index: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.records[index].ended = time.perf_counter_ns()
        if self._answer is not None:
            self._answer(self._outputs[index])
