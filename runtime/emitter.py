"""Events of one Response, on their way to the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..protocol.connection import CreateRequested, ServerResponse
from ..protocol.events import ResponseEvent

if TYPE_CHECKING:
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
    """

    def __init__(self, rollouts: Rollouts, request: CreateRequested) -> None:
        self.response: ServerResponse = request.response
        self.ending: Ending | None = None
        self.flush: Callable[[], None] = rollouts.settle
        self._rollouts = rollouts
        self._request = request

    async def begin(self) -> None:
        """The request is fine: the Response takes its place on its lane, once the one that holds it has ended.

        :raises LocalProtocolViolation: nobody waits for it any more.
        """
        await self.make_room()
        self._rollouts.accept(self._request)

    async def make_room(self) -> bool:
        """End the Response that this one takes the place of; whether there was one."""
        return await self._rollouts.supersede(self._request)

    def __call__(self, event: ResponseEvent) -> None:
        """Queue it. Raises :class:`..protocol.errors.LocalProtocolViolation` where the state table forbids it."""
        self._rollouts.emit(self.response, event)
