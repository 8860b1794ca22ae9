"""Designs with a request a turn over HTTP, answered by server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

import msgspec

from ..driver import Call, Output, TurnResult
from ..script import Script
from .address import Address
from .events import response_event
from .link import TIMEOUT, Meter
from .requests import ScriptedSession, output_items
from .transports import OverHttp
from .turn import ResponsesTurn


class _WholeTurn(ResponsesTurn):
    """Keeps the output, as it was written."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self.items: list[msgspec.Raw] = []

    def _completed(self, data: bytes) -> None:
        response = response_event(data).response
        self.response_id, self.usage, self.items = response.id, response.usage, response.output


class FullHistoryDriver(OverHttp):
    """Every request brings the whole conversation, and nothing is stored. The items that the server has sent go back
    word for word, without being decoded: what the client does is the least that any client can do.

    :param prefix_reuse: the server may use KV state of what begins alike, which is the turn before.
    """

    _session: ScriptedSession

    def __init__(self, address: Address, model: str, *, prefix_reuse: bool, timeout: float = TIMEOUT) -> None:
        super().__init__(address, model, timeout=timeout)
        self._prefix_reuse = prefix_reuse
        self._history: list[Any] = []

    def begin(self, script: Script, nonce: str) -> None:
        self._session = ScriptedSession(script, nonce, self.model)
        self._history = []

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        began = perf_counter_ns()
        self._history += [self._session.task] if outputs is None else output_items(outputs)
        reuse = self._prefix_reuse and outputs is not None
        turn = _WholeTurn(self.http.meter)
        body = self._session.create(self._history, prefix_reuse=reuse, stream=True, store=False)
        await self.play("/responses", body, turn)
        self._history += turn.items
        return turn.result(began)


class StoredDriver(OverHttp):
    """Responses are stored, and each request brings what is new and the id of the one before."""

    _session: ScriptedSession
    _previous: str | None

    def begin(self, script: Script, nonce: str) -> None:
        self._session = ScriptedSession(script, nonce, self.model)
        self._previous = None

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        began = perf_counter_ns()
        turn = ResponsesTurn(self.http.meter)
        body = self._session.create(
            [self._session.task] if outputs is None else output_items(outputs),
            prefix_reuse=outputs is not None,
            previous_response_id=self._previous,
            stream=True,
            store=True,
        )
        await self.play("/responses", body, turn)
        self._previous = turn.response_id
        return turn.result(began)
