"""Events of one Response, on their way to the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..protocol.connection import CreateRequested, ServerResponse
from ..protocol.events import ResponseEvent, WebsocketTiming

if TYPE_CHECKING:
    from .previous import Previous
    from .rollouts import Rollouts


@dataclass(frozen=True, slots=True)
class Ending:
    """How a Response ends that is not let finish: ``cancelled`` or ``incomplete``, and why."""

    status: str
    reason: str


class Emitter:
    """``emit(event)`` queues an event of this Response, ``emit.flush()`` has what is queued sent.

    Two steps, so that all events of one engine step share a wake-up of the transport.

    :ivar ending: set before the rollout's task is cancelled: its last event is to say this.
    :ivar received_at: when what the rollout works on had come, the create or the latest append: nanoseconds of
        :func:`time.perf_counter_ns`.
    """

    def __init__(self, rollouts: Rollouts, request: CreateRequested) -> None:
        self.response: ServerResponse = request.response
        self.ending: Ending | None = None
        self.received_at = rollouts.received_at
        self.flush: Callable[[], None] = rollouts.settle
        self._rollouts = rollouts
        self.request = request
        self._connection = request.response.connection

    async def begin(self) -> None:
        """The request is fine: the Response takes its place on its lane, once the one that holds it has ended.

        :raises LocalProtocolViolation: nobody waits for it any more.
        """
        await self._rollouts.supersede(self.request)
        self._rollouts.accept(self.request)

    async def make_room(self) -> bool:
        """Drop an ended Response that is only remembered, or end the one that this one takes the place of; whether
        there was any."""
        return await self._rollouts.forget_one() or await self._rollouts.supersede(self.request)

    def previous(self, response_id: str) -> Previous | None:
        """The ended Response of that id, if this connection remembers it."""
        return None if self._connection is None else self._rollouts.previous(self._connection, response_id)

    def remember(self, previous: Previous) -> None:
        """This Response has ended so: have its connection remember it, as long as that has to."""
        self._rollouts.remember(self._connection, previous)

    def tell_timing(self, metrics: dict[str, float | None]) -> None:
        """Tell the client what the server spent on this Response, if it wants to know."""
        connection = self.response.connection
        if connection is not None and connection.wants_timing:
            self._rollouts.tell(connection, WebsocketTiming(timing_metrics=metrics))

    def __call__(self, event: ResponseEvent) -> None:
        """Queue it. Raises :class:`..protocol.errors.LocalProtocolViolation` where the state table forbids it."""
        self._rollouts.emit(self.response, event)
