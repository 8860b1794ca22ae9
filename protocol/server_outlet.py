"""What a server sends on a connection: events of its Responses, and errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import msgspec

from .codec import encode
from .errors import CaesuraError, EventsLost
from .events import ErrorBody, ErrorEvent, Snapshot
from .lanes import is_lane_name
from .outbox import Outbox
from .server_requests import Close

if TYPE_CHECKING:
    from .server import ServerProtocol


class ServerOutlet(ABC):
    """A connection's way out.

    :ivar credential: who the client is.
    :ivar num_errors: errors sent so far; numbers the next one.
    :ivar wants_timing: it is sent the server's own timing of each Response.
    :ivar closing: close the transport so, once :meth:`next_frame` gives None. None while the connection goes on.
    """

    def __init__(self, server: ServerProtocol, credential: str) -> None:
        self.credential = credential
        self.num_errors = 0
        self.wants_timing = False
        self.closing: Close | None = None
        self._server = server
        self._outbox = Outbox(server.limits.max_unsent_events, server.limits.max_unsent_bytes)
        self._is_lost = False

    def next_frame(self) -> str | None:
        """The next text frame to send; None if there is none now."""
        return self._outbox.next()

    def queue(self, frame: str, now: float) -> None:
        """Send this, unless too much waits to be read already."""
        if self._is_lost or self.closing is not None:
            return
        if self._outbox.is_full:
            self._detach_slow_reader(now)
            return
        self._outbox.add(frame)
        self._announce()

    def refuse(
        self,
        error: CaesuraError,
        stream_id: str | None,
        *,
        response_id: str | None = None,
        raw: Any = msgspec.UNSET,
        key: str | None = None,
    ) -> None:
        """Queue an ``error`` event. ``key`` is that of the create which it refuses."""
        if self._is_lost or self.closing is not None:
            return
        event = ErrorEvent(
            sequence_number=self.num_errors,
            stream_id=stream_id if stream_id is not None and is_lane_name(stream_id) else msgspec.UNSET,
            status=error.status,
            error=ErrorBody(type=error.type, code=error.code, message=error.message, param=error.param),
            response_id=msgspec.UNSET if response_id is None else response_id,
            input=raw,
            idempotency_key=msgspec.UNSET if key is None else key,
            snapshot=self._snapshot(response_id) if isinstance(error, EventsLost) else msgspec.UNSET,
        )
        self.num_errors += 1
        self._server.on_error(error.code)
        self._outbox.add(encode(event))
        self._announce()

    def _snapshot(self, response_id: str | None) -> Snapshot | msgspec.UnsetType:
        return self._server.find(response_id or "", self.credential).snapshot()

    @abstractmethod
    def _detach_slow_reader(self, now: float) -> None:
        """Too much waits to be read: close."""

    @abstractmethod
    def _announce(self) -> None:
        """There is something to send."""
