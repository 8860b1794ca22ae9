"""A driver without a server: it makes the calls of the script, and notes what it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from caesura.client.bench.driver import BenchError, Call, Output, TurnResult
from caesura.client.bench.records import TurnRecord
from caesura.client.bench.script import TOOL_NAME, Script, ScriptedCall, ScriptedTurn


def script(*turns: Sequence[float], name: str = "s0", output_tokens: int = 5) -> Script:
    """Turns as the seconds of their calls; the last turn, without any, is added. An output is its call's id."""
    scripted = [
        ScriptedTurn(
            "",
            tuple(ScriptedCall("{}", f"c{number}.{index}", seconds) for index, seconds in enumerate(turn)),
            output_tokens,
        )
        for number, turn in enumerate(turns)
    ]
    return Script(name, "{nonce}", "Go.", (*scripted, ScriptedTurn("Done.", (), output_tokens)))


@dataclass
class ScriptedDriver:
    """``early_tools``: the calls are told while the turn goes on, which ends only when ``release`` is set.

    fails_at: the turn that raises. calls_made: in place of the script's, by turn. told: what ``turn`` and ``answer``
    were given, in order.
    """

    early_tools: bool = False
    fails_at: int | None = None
    calls_made: dict[int, int] = field(default_factory=dict)
    first_token_ns: int = 1000
    release: asyncio.Event | None = None
    told: list[object] = field(default_factory=list)
    nonces: list[str] = field(default_factory=list)
    is_open: bool = False
    opened: int = 0
    _script: Script | None = None
    _number: int = 0

    async def open(self) -> None:
        self.is_open = True
        self.opened += 1

    def begin(self, script: Script, nonce: str) -> None:
        self._script, self._number = script, 0
        self.nonces.append(nonce)

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        assert self._script is not None
        assert (on_call is not None) == self.early_tools
        self.told.append(outputs if outputs is None else list(outputs))
        number = self._number
        self._number += 1
        began = time.perf_counter_ns()
        await asyncio.sleep(0)
        if number == self.fails_at:
            raise BenchError("the connection broke")
        count = self.calls_made.get(number, len(self._script.turns[number].calls))
        calls = [Call(f"c{number}.{index}", TOOL_NAME, "{}") for index in range(count)]
        if on_call is not None:
            for call in calls:
                on_call(call)
            if self.release is not None:
                await self.release.wait()
        last = time.perf_counter_ns()
        record = TurnRecord(began, began, began, began + self.first_token_ns, last, 0, 10, 20, 3)
        return TurnResult(calls, record, f"r{number}")

    def answer(self, output: Output) -> None:
        self.told.append(output)

    async def close(self) -> None:
        self.is_open = False
