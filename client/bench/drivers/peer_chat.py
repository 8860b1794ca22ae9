"""A peer that speaks chat completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

import msgspec

from ..driver import BenchError, Call, Output, TurnResult
from ..script import Json, Script
from .events import DONE, ErrorBody
from .link import TIMEOUT, Meter
from .peer import Peer
from .peer_http import OverPeerHttp
from .peer_session import PeerSession, PeerTurn, Sampling


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None
    error: ErrorBody | str | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode


class _ChatTurn(PeerTurn):
    """Ends with ``[DONE]``: the chunk with the usage comes after the one that says why sampling stopped. A stream that
    has no ``[DONE]`` ends with the answer."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._is_finished = False

    def _read(self, data: bytes) -> None:
        self.events += 1
        if data == DONE:
            self._end()
            return
        chunk = _chunk(data)
        if chunk.error is not None:
            message = chunk.error if isinstance(chunk.error, str) else chunk.error.message
            self.fail(BenchError(f"the answer broke off: {message}"))
        if chunk.usage is not None:
            self.usage = chunk.usage
        for choice in chunk.choices:
            self._is_finished |= choice.finish_reason is not None
            if choice.delta.content:
                self._say(choice.delta.content)
            elif choice.delta.reasoning_content or choice.delta.reasoning:
                self._output()

    def answered(self, status: int, body: bytes) -> None:
        if self._is_finished and not self.is_over:
            self._end()
        else:
            super().answered(status, body)


class ChatPeerDriver(OverPeerHttp):
    """The full history with every request."""

    _session: PeerSession
    _messages: list[Json]

    def __init__(self, peer: Peer, sampling: Sampling, *, timeout: float = TIMEOUT) -> None:
        super().__init__(peer.address, peer.model, timeout=timeout)
        self._sampling = sampling

    def begin(self, script: Script, nonce: str) -> None:
        self._session = PeerSession(script, nonce)
        self._messages = [{"role": "system", "content": self._session.instructions}]

    async def turn(self, outputs: Sequence[Output] | None, on_call: Callable[[Call], None] | None = None) -> TurnResult:
        began = perf_counter_ns()
        self._messages += [{"role": "user", "content": text} for text in self._session.next_turn(outputs)]
        body = self._sampling.request(
            {
                "model": self.model,
                "messages": self._messages,
                "max_tokens": self._session.output_tokens,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        )
        turn = await self.ask("/chat/completions", body, lambda: _ChatTurn(self.http.meter))
        self._messages.append({"role": "assistant", "content": turn.text})
        turn.calls = self._session.calls
        return turn.result(began)
