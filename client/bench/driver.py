"""What a design of the agent loop is to the loop: turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .records import TurnRecord
from .script import Script


class BenchError(Exception):
    """Why the bench can't go on, or a run is no run: one line for who runs it."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the agent has to answer."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Output:
    """Its answer."""

    call_id: str
    text: str


@dataclass(slots=True)
class TurnResult:
    """``calls`` in the order in which they were made; none of them ends the session. ``response_id`` of the Response
    that the turn belongs to, where there is one: the server's spans go by it."""

    calls: Sequence[Call]
    record: TurnRecord
    response_id: str | None = None


class Driver(Protocol):
    """One agent's connection in one design; plays one session after the other.

    ``begin`` takes the script of the next session. ``turn(None)`` is its first turn, ``turn(outputs)`` carries it on
    with the answers to all calls of the turn before. Both raise ``BenchError``.

    early_tools: the design answers a call as soon as it has been sampled: then ``on_call`` is called while the turn
                 goes on, ``answer`` may be called meanwhile and until the next ``turn``, and ``turn`` gets only what
                 has not been answered so, maybe nothing.
    """

    early_tools: bool

    async def open(self) -> None: ...

    def begin(self, script: Script, nonce: str) -> None: ...

    async def turn(
        self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None
    ) -> TurnResult: ...

    def answer(self, output: Output) -> None: ...

    async def close(self) -> None: ...
