"""Lanes: how one connection carries several Responses.

A create may name a lane by ``stream_id``. Responses of one lane run one after the other, in the order of their
creates; lanes run beside each other. Events of a named lane echo its ``stream_id``; those of the default lane omit it,
so a client that knows nothing of lanes sees one stream. The limits are those of the shipped WebSocket mode.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from .errors import InvalidStreamId, StreamLimitReached
from .response import ResponseMachine

MAX_NAMED_LANES = 32
MAX_WAITING = 16
"""Creates that may wait on one lane behind the Response that runs there."""

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")


@dataclass(slots=True)
class Lane:
    """``current`` runs now; ``waiting`` come next, first in first out."""

    stream_id: str | None
    current: ResponseMachine | None = None
    waiting: deque[ResponseMachine] = field(default_factory=deque)


class Lanes:
    """The lanes of one connection; made on first use, never forgotten (their number is bounded)."""

    def __init__(self) -> None:
        self._lanes: dict[str | None, Lane] = {None: Lane(None)}

    def open(self, stream_id: str | None) -> Lane:
        """The lane of that name.

        :raises InvalidStreamId: it is not 1 to 256 of ``[A-Za-z0-9_.-]``.
        :raises StreamLimitReached: the connection has used 32 names already.
        """
        if stream_id in self._lanes:
            return self._lanes[stream_id]
        if stream_id is None or not _STREAM_ID.fullmatch(stream_id):
            raise InvalidStreamId("'stream_id' must be 1 to 256 of the characters A-Z a-z 0-9 _ . -", param="stream_id")
        if len(self._lanes) > MAX_NAMED_LANES:
            raise StreamLimitReached(
                f"This connection has used {MAX_NAMED_LANES} stream ids. Use one of them again, or a new connection.",
                param="stream_id",
            )
        return self._lanes.setdefault(stream_id, Lane(stream_id))

    def find(self, stream_id: str | None) -> Lane | None:
        """The lane of that name if it was ever used."""
        return self._lanes.get(stream_id)

    def responses(self) -> Iterator[ResponseMachine]:
        """Every Response that runs or waits, lane by lane."""
        for lane in self._lanes.values():
            if lane.current is not None:
                yield lane.current
            yield from lane.waiting
