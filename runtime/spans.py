"""When what happened in a turn: for experiments, ``GET /spans`` on a server that was started with ``--spans``.

The times are those of :func:`time.perf_counter_ns`. On Linux that is one clock for all processes of a machine, so a
client there can put its own times between them. They are kept out of the Responses themselves: a design that sends
fewer of these would have its bytes made up to those of the others.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from starlette.requests import Request
from starlette.responses import Response

MAX_TURNS = 200_000
"""Turns that are kept. Beyond that the oldest Responses are forgotten: nobody fetched them."""


@dataclass(slots=True)
class TurnSpan:
    """One turn of the model. Times and durations are nanoseconds.

    :ivar received: the request, or the append that answered the last call, was there.
    :ivar sampling: all was rendered and tokenised, and the engine was asked for tokens.
    :ivar prefill_ns: engine time until the first token, which ends at ``first_token``.
    :ivar first_token, last_token: when they were sampled, in the engine's thread.
    :ivar told: what ends the turn was handed to the transport; 0 if nothing was to be told, since all was answered.
    :ivar inference_ns: engine time of the turn.
    :ivar stages_ns: what preinference, or rendering and tokenising of an append, took.
    :ivar post_ns: postinference, where the turn ends its Response.
    :ivar given: tokens in the context when the turn began.
    :ivar decoded: tokens that were computed in it; ``reused`` those of ``given`` that were not.
    :ivar sampled: tokens that it came to.
    """

    received: int
    sampling: int
    given: int
    prefill_ns: int = 0
    first_token: int = 0
    last_token: int = 0
    told: int = 0
    inference_ns: int = 0
    stages_ns: dict[str, int] = field(default_factory=dict)
    post_ns: int = 0
    decoded: int = 0
    reused: int = 0
    sampled: int = 0

    @property
    def hand_over_ns(self) -> int:
        """From its last token to what ends it."""
        return self.told - self.last_token


@dataclass(frozen=True, slots=True)
class ResponseSpans:
    response_id: str
    mode: str
    turns: Sequence[TurnSpan]


class Spans:
    """Those of Responses that have ended, until they are fetched."""

    def __init__(self) -> None:
        self._ended: collections.deque[ResponseSpans] = collections.deque()
        self._num_turns = 0

    def add(self, spans: ResponseSpans) -> None:
        """A Response has ended."""
        self._ended.append(spans)
        self._num_turns += len(spans.turns)
        while self._num_turns > MAX_TURNS and len(self._ended) > 1:
            self._num_turns -= len(self._ended.popleft().turns)

    def take(self) -> list[ResponseSpans]:
        """All of them, oldest first; they are forgotten."""
        taken = list(self._ended)
        self._ended.clear()
        self._num_turns = 0
        return taken

    async def endpoint(self, _: Request) -> Response:
        """For ``Route("/spans", spans.endpoint)``."""
        return Response(msgspec.json.encode(self.take()), media_type="application/json")
