"""The lanes of a connection as its server sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .server_requests import CreateRequested
from .server_response import ServerResponse


@dataclass(slots=True)
class ServerLane:
    """``current`` holds the lane; ``requested`` is the create that was handed out and is being looked at."""

    current: ServerResponse | None = None
    requested: ServerResponse | None = None

    @property
    def open(self) -> ServerResponse | None:
        """The Response that an append or a cancel on this lane is for."""
        current = self.current
        return None if current is None or current.has_ended else current

    @property
    def is_free(self) -> bool:
        """Whether a create may be handed out. A paused Response doesn't hold the lane: its client asks for another one
        instead of answering."""
        return self.requested is None and (self.open is None or self.open.is_paused)


@dataclass(slots=True)
class Waiting:
    """Creates of a connection whose turn has not come, in the order of arrival."""

    creates: list[CreateRequested] = field(default_factory=list)

    def on(self, stream_id: str | None) -> list[CreateRequested]:
        return [create for create in self.creates if create.response.stream_id == stream_id]
