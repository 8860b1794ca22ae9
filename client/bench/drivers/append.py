"""done/append: a session is one Response, which pauses at calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import ClassVar

from ....protocol.opening import APPEND_MODE, BETA_HEADER
from ..driver import BenchError, Call, Output, TurnResult
from ..script import Json, Script
from .events import (
    APPENDED,
    COMPLETED,
    CREATED,
    FAILURES,
    INCOMPLETE,
    ITEM_ADDED,
    ITEM_DONE,
    PAUSED,
    brief_event,
    failure_of,
    type_of,
)
from .link import Meter
from .requests import ScriptedSession, encode, output_items
from .transports import OverWebSocket
from .turn import PendingTurn


class _Turn(PendingTurn):
    """Ends with the pause, or with the Response.

    :param calls_to_come: it ends with the event in which the last of so many calls is done, since there may be no pause
        if they are answered early; 0 to wait for the pause. A pause or an acknowledgement that comes before all other
        events is left over from the turn before, and passed over.
    """

    def __init__(self, meter: Meter, calls_to_come: int = 0) -> None:
        super().__init__(meter)
        self.began = 0
        self.on_call: Callable[[Call], None] | None = None
        self._calls_to_come = calls_to_come
        self._told = 0

    def tell(self) -> None:
        """Call ``on_call`` for each call that it doesn't know of."""
        if self.on_call is not None:
            while self._told < len(self.calls):
                self._told += 1
                self.on_call(self.calls[self._told - 1])

    def _read(self, data: bytes) -> None:
        kind = type_of(data)
        if kind == APPENDED or (kind == PAUSED and not self.events):
            return
        if not self.events:
            self.first_byte = self._meter.arrived
        self.events += 1
        if kind.endswith(b".delta") or kind == ITEM_ADDED:
            self._output()
        elif kind == ITEM_DONE:
            if self._item(data) and len(self.calls) == self._calls_to_come:
                self._end()
        elif kind == CREATED:
            self.response_id = brief_event(data).response.id
        elif kind in (PAUSED, COMPLETED):
            response = brief_event(data).response
            self.response_id, self.usage = response.id, response.usage
            self._end()
        elif kind == INCOMPLETE or kind in FAILURES:
            self.fail(BenchError(f"the Response ended with {kind.decode()}: {failure_of(data)}"))


class AppendDriver(OverWebSocket[_Turn]):
    """All outputs of a turn in one append, after the pause. ``usage`` of a turn counts the Response up to there."""

    headers: ClassVar[Mapping[str, str]] = {BETA_HEADER: APPEND_MODE}
    _session: ScriptedSession

    def begin(self, script: Script, nonce: str) -> None:
        self._session = ScriptedSession(script, nonce, self.model)

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        began = perf_counter_ns()
        turn = _Turn(self.socket.meter)
        await self.play(self._create() if outputs is None else _append(outputs), turn)
        return turn.result(began)

    def _create(self) -> Json:
        return self._session.create([self._session.task], prefix_reuse=False, type="response.create", store=False)


class EarlyAppendDriver(AppendDriver):
    """An append for each output, as soon as the tool is done, while the model may still sample the next call.

    If all are answered when it stops there is no pause, so nothing on the wire ends a turn: the script says how many
    calls it has, and it ends with the last one of them. The server may be at the next turn before ``turn`` is called
    for it, so each turn is read as soon as the one before has ended.

    A turn begins when the last output of the one before is there, and is ``sent`` when that one's append is. Its
    ``usage`` is known where it ends the Response alone.
    """

    early_tools = True
    _turns: list[_Turn]
    _returned: int
    _response_id: str | None

    def begin(self, script: Script, nonce: str) -> None:
        super().begin(script, nonce)
        self._turns = []
        self._returned = 0
        self._response_id = None

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        if outputs is None:
            self._await_turn()
            first = self._turns[0]
            first.began = perf_counter_ns()
            self.socket.send(encode(self._create()))
            first.sent = self.socket.meter.sent
        elif outputs:
            self._answer(outputs)
        turn = self._turns[self._returned]
        turn.on_call = on_call
        turn.tell()  # those that came before anybody asked
        await turn.wait(self._timeout)
        self._returned += 1
        self._response_id = turn.response_id = turn.response_id or self._response_id
        return turn.result(turn.began)

    def answer(self, output: Output) -> None:
        self._answer([output])

    def _answer(self, outputs: Sequence[Output]) -> None:
        began = perf_counter_ns()
        self.socket.send(encode(_append(outputs)))
        turn = self._turns[-1]
        if not turn.events:  # else it goes on, and this is for one of its own calls
            turn.began, turn.sent = began, self.socket.meter.sent

    def _await_turn(self) -> None:
        turns = self._session.script.turns
        number = len(self._turns)
        calls = len(turns[number].calls) if number < len(turns) else 0
        self.current = _Turn(self.socket.meter, calls)
        self._turns.append(self.current)

    def _take(self, message: bytes) -> None:
        turn = self.current
        if turn is None:
            return
        turn.event(message)
        if turn.is_over:
            self._await_turn()
        turn.tell()


def _append(outputs: Sequence[Output]) -> Json:
    return {"type": "response.append", "input": output_items(outputs)}
