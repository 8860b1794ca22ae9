"""OpenAI's WebSocket mode: a create a turn, with the id of the one before and what is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns

from ..driver import Call, Output, TurnResult
from ..script import Script
from .requests import ScriptedSession, output_items
from .transports import OverWebSocket
from .turn import ResponsesTurn


class WebSocketDriver(OverWebSocket[ResponsesTurn]):
    """One lane, nothing stored: the connection remembers."""

    _session: ScriptedSession
    _previous: str | None

    def begin(self, script: Script, nonce: str) -> None:
        self._session = ScriptedSession(script, nonce, self.model)
        self._previous = None

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        began = perf_counter_ns()
        turn = ResponsesTurn(self.socket.meter)
        body = self._session.create(
            [self._session.task] if outputs is None else output_items(outputs),
            prefix_reuse=outputs is not None,
            previous_response_id=self._previous,
            type="response.create",
            store=False,
        )
        await self.play(body, turn)
        self._previous = turn.response_id
        return turn.result(began)
