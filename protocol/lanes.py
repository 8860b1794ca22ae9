"""Lanes: how one connection carries several Responses.

A create may name a lane by ``stream_id``. A lane carries one open Response at a time, in the order of the creates;
lanes run beside each other. Events of a named lane echo its ``stream_id``; those of the default lane omit it, so a
client that knows nothing of lanes sees one stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .errors import InvalidStreamId, StreamLimitReached

L = TypeVar("L")

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def is_lane_name(stream_id: object) -> bool:
    """Whether it is 1 to 256 of ``[A-Za-z0-9_.-]``."""
    return isinstance(stream_id, str) and _STREAM_ID.fullmatch(stream_id) is not None


class Lanes(Generic[L]):
    """The lanes of one connection; made on first use, never forgotten (their number is bounded)."""

    def __init__(self, make: Callable[[], L], max_named: int) -> None:
        self._make = make
        self._max_named = max_named
        self._lanes: dict[str | None, L] = {None: make()}

    def open(self, stream_id: str | None) -> L:
        """The lane of that name.

        :raises InvalidStreamId: it is not 1 to 256 of ``[A-Za-z0-9_.-]``.
        :raises StreamLimitReached: the connection has used all the names that it may.
        """
        if stream_id in self._lanes:
            return self._lanes[stream_id]
        if not is_lane_name(stream_id):
            raise InvalidStreamId("'stream_id' must be 1 to 256 of the characters A-Z a-z 0-9 _ . -", param="stream_id")
        if len(self._lanes) > self._max_named:
            raise StreamLimitReached(
                f"This connection has used {self._max_named} stream ids. Use one of them again, or a new connection.",
                param="stream_id",
            )
        return self._lanes.setdefault(stream_id, self._make())

    def find(self, stream_id: str | None) -> L | None:
        """The lane of that name if it was ever used."""
        return self._lanes.get(stream_id)

    def __iter__(self) -> Iterator[L]:
        return iter(self._lanes.values())
