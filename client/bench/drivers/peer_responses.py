"""Peers that speak the Responses API: over HTTP, with the full history; over WebSocket, by id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns

from ..driver import BenchError, Call, Output, TurnResult
from ..script import Json, Script
from .events import COMPLETED, FAILURES, INCOMPLETE, TEXT_DELTA, brief_event, delta_event, failure_of, type_of
from .link import TIMEOUT
from .peer import Peer
from .peer_http import OverPeerHttp
from .peer_session import PeerSession, PeerTurn, Sampling
from .requests import user_message
from .transports import OverWebSocket


class _ResponsesTurn(PeerTurn):
    """Ends with the Response. ``incomplete`` is an end like any: it was told how many tokens it may sample."""

    def _read(self, data: bytes) -> None:
        self.events += 1
        kind = type_of(data)
        if kind == TEXT_DELTA:
            self._say(delta_event(data).delta)
        elif kind.endswith(b".delta"):
            self._output()
        elif kind in (COMPLETED, INCOMPLETE):
            response = brief_event(data).response
            self.response_id, self.usage = response.id, response.usage
            self._end()
        elif kind in FAILURES:
            self.fail(BenchError(f"the Response ended with {kind.decode()}: {failure_of(data)}"))


class ResponsesPeerDriver(OverPeerHttp):
    """The full history with every request, nothing stored."""

    _session: PeerSession
    _items: list[Json]

    def __init__(self, peer: Peer, sampling: Sampling, *, timeout: float = TIMEOUT) -> None:
        super().__init__(peer.address, peer.model, timeout=timeout)
        self._sampling = sampling

    def begin(self, script: Script, nonce: str) -> None:
        self._session = PeerSession(script, nonce)
        self._items = []

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        began = perf_counter_ns()
        self._items += map(user_message, self._session.next_turn(outputs))
        body = self._sampling.request(
            {
                "model": self.model,
                "instructions": self._session.instructions,
                "input": self._items,
                "max_output_tokens": self._session.output_tokens,
                "stream": True,
                "store": False,
            }
        )
        turn = await self.ask("/responses", body, lambda: _ResponsesTurn(self.http.meter))
        self._items.append(_assistant_message(turn.text))
        turn.calls = self._session.calls
        return turn.result(began)


class WebSocketPeerDriver(OverWebSocket[_ResponsesTurn]):
    """New messages only, and the id of the Response before: the peer keeps what it said. The events are the same."""

    _session: PeerSession
    _previous: str | None

    def __init__(self, peer: Peer, sampling: Sampling, *, timeout: float = TIMEOUT) -> None:
        super().__init__(peer.address, peer.model, timeout=timeout)
        self._sampling = sampling

    def begin(self, script: Script, nonce: str) -> None:
        self._session = PeerSession(script, nonce)
        self._previous = None

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        began = perf_counter_ns()
        new = [user_message(text) for text in self._session.next_turn(outputs)]
        turn = _ResponsesTurn(self.socket.meter)
        body = self._sampling.request(
            {
                "type": "response.create",
                "model": self.model,
                "instructions": self._session.instructions,
                "input": new,
                "max_output_tokens": self._session.output_tokens,
                "store": False,
                "previous_response_id": self._previous,
            }
        )
        await self.play(body, turn)
        self._previous = turn.response_id
        turn.calls = self._session.calls
        return turn.result(began)


def _assistant_message(text: str) -> Json:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
