"""Events of one Response, on their way to the wire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..protocol.connection import CreateRequested, ServerConnection
from ..protocol.messages import ResponseEvent
from ..protocol.response import ResponseMachine


class Emitter:
    """``emit(event)`` queues an event of this Response, ``await emit.flush()`` puts what is queued on the wire.

    Two steps, so that all events of one engine step share a wake-up of the transport.
    """

    def __init__(
        self,
        connection: ServerConnection,
        response: ResponseMachine,
        flush: Callable[[], Awaitable[None]],
        make_room: Callable[[], Awaitable[bool]],
    ) -> None:
        """``make_room`` gives up the Response that this one takes the place of, and says whether there was one."""
        self.response = response
        self.flush = flush
        self.make_room = make_room
        self._connection = connection

    def begin(self, request: CreateRequested) -> None:
        """The request is fine: the Response takes its place on the connection."""
        self._connection.accept(request)

    def __call__(self, event: ResponseEvent) -> None:
        """Queue it. Raises :class:`..protocol.errors.LocalProtocolViolation` where the state table forbids it."""
        self._connection.emit(self.response, event)
