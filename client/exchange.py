"""One Response on its way: what the link hands on to the run that began it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from ..protocol.connection import ClientResponse, Outcome, Received
from ..protocol.errors import ResponseAlreadyEnded
from ..protocol.events import (
    EndEvent,
    ErrorEvent,
    ResponseCancelled,
    ResponseCompleted,
    ResponseDetached,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
    ResponseResumed,
)
from ..protocol.resource import Response
from .results import EventsLost, Reconnecting, Resumed

_END_EVENTS: dict[str, type[EndEvent]] = {
    "completed": ResponseCompleted,
    "failed": ResponseFailed,
    "incomplete": ResponseIncomplete,
    "cancelled": ResponseCancelled,
}


@dataclass(frozen=True)
class Closed:
    """Nothing more comes: why, for people, and as a code."""

    reason: str
    code: str = "connection_lost"


Delivery = ResponseEvent | ErrorEvent | Reconnecting | Resumed | EventsLost | Closed
"""What a run is given. An ``ErrorEvent`` refuses its create or an append of it."""


@dataclass(slots=True, eq=False)
class Exchange:
    """A Response, the lane that it is on, and who follows it.

    :ivar deliver: called with what comes, in order.
    :ivar started_at: when its create was made (``time.perf_counter``).
    :ivar reconnects: how often the connection was made anew since.
    :ivar is_left: nobody follows it any more; it is being cancelled, and its lane is taken until it has ended.
    """

    response: ClientResponse
    lane: int
    deliver: Callable[[Delivery], None]
    started_at: float
    reconnects: int = 0
    is_left: bool = False
    _last_seen: int = -1

    def take(self, received: Received) -> None:
        """Hand on what concerns the run."""
        event = received.event
        match received.outcome, event:
            case Outcome.REFUSED, ErrorEvent() if event.error.code == ResponseAlreadyEnded.code:
                pass  # it is ending, and says so itself
            case Outcome.REJECTED | Outcome.REFUSED, ErrorEvent():
                self.deliver(event)
            case Outcome.RESUMED, ResponseResumed():
                self.deliver(Resumed(event.response_id, event.last_sequence_number - event.starting_after))
            case Outcome.SNAPSHOT, ErrorEvent(snapshot=snapshot) if snapshot is not msgspec.UNSET:
                self._adopt(snapshot.response, snapshot.sequence_number)
            case Outcome.LOST, ErrorEvent():
                reason = f"the server can't resume Response {self.response.id}: {event.error.message}"
                self.deliver(Closed(reason, event.error.code))
            case Outcome.DETACHED, _:  # by a message of its own, or as the answer to a resume that came too late
                self.deliver(Closed(f"another client has taken over Response {self.response.id}", "taken_over"))
            case Outcome.EVENT, _ if not isinstance(event, ErrorEvent | ResponseResumed | ResponseDetached):
                self._last_seen = event.sequence_number
                self.deliver(event)

    def _adopt(self, response: Response, sequence_number: int) -> None:
        """Say what is missing. The last event need not be: it is what the snapshot of an ended Response holds."""
        first, self._last_seen = self._last_seen + 1, sequence_number
        end = _END_EVENTS.get(response.status)
        self.deliver(EventsLost(first, sequence_number - (end is not None)))
        if end is not None:
            stream_id = msgspec.UNSET if self.response.stream_id is None else self.response.stream_id
            self.deliver(end(response=response, sequence_number=sequence_number, stream_id=stream_id))
