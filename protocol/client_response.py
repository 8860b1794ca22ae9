"""A Response as its client sees it, and the lane that it is on."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field

from .append_items import Append
from .events import ServerEvent
from .items import FunctionCall
from .messages import ResponseAppend, ResponseCreate
from .response import ResponseMachine


class Outcome(enum.Enum):
    """What an event means for the Response that it is about."""

    EVENT = "one of its own events"
    REJECTED = "its create was refused: it has ended"
    REFUSED = "an append was refused: the calls are open again"
    POSTPONED = "what was asked for is sent again later"
    RESUMED = "it is attached to this connection, the missing events follow"
    DETACHED = "another connection has taken it over"
    SNAPSHOT = "events are lost; it stands where the snapshot says"
    LOST = "the server does not have it any more"
    NOTICE = "an error about the connection, or about something that has no effect"


@dataclass(frozen=True, slots=True)
class Received:
    """An event, the Response that it concerns if any, and what it means for that."""

    event: ServerEvent
    response: ClientResponse | None
    outcome: Outcome = Outcome.EVENT


@dataclass(slots=True, eq=False, kw_only=True)
class ClientResponse(ResponseMachine):
    """A Response as its client sees it. An append counts when it is acknowledged, not when it is sent.

    :ivar request: what began it; None for one that this client resumed by id.
    :ivar under_way: appends that nothing has acknowledged yet, in order.
    :ivar replay_until: events up to this number are a replay.
    :ivar is_lost: the server does not have it any more, or this side has given it up.
    :ivar is_resending: it is being resumed; what is asked for meanwhile is sent after the replay.
    :ivar is_waited_for: whether calls were open when the replay was made.
    """

    request: ResponseCreate | None
    under_way: deque[Append] = field(default_factory=deque)
    replay_until: int = -1
    is_cancel_wanted: bool = False
    is_lost: bool = False
    is_resending: bool = False
    is_waited_for: bool = True

    @property
    def open_calls(self) -> list[FunctionCall]:
        """Calls that wait for an output, without those that have an append under way."""
        sent = {call_id for append in self.under_way for call_id in append.call_ids}
        return [call for call_id, call in self.pending_calls.items() if call_id not in sent]

    def message(self, append: Append) -> ResponseAppend:
        """What carries an append."""
        items = [*append.outputs, *append.messages]
        return ResponseAppend(response_id=self.id, input=items, stream_id=self.stream_id)


@dataclass(slots=True)
class ClientLane:
    """``waiting`` are the creates that have no Response yet. The first of them has been sent, unless the lane
    ``is_resuming`` ``current``: until that is answered the lane may be free on the server's side, and a create would
    overtake it. ``is_busy``: the first was refused, since ``current`` holds the lane; it is sent again after that.
    """

    current: ClientResponse | None = None
    waiting: deque[ClientResponse] = field(default_factory=deque)
    is_resuming: bool = False
    is_busy: bool = False

    @property
    def open(self) -> ClientResponse | None:
        return None if self.current is None or self.current.has_ended else self.current
