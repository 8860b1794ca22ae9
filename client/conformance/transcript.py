"""What went over the wire during one check, for the report."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

LONG = 600
"""Characters of a frame that the transcript keeps; it only explains, so a frame of 16 MiB need not live on in it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``connection`` is its letter, ``direction`` is ``>`` from the suite to the peer, ``<`` from it, ``-`` what else
    happened. ``milliseconds`` count from the begin of the check."""

    connection: str
    direction: str
    milliseconds: float
    text: str

    def __str__(self) -> str:
        return f"{self.milliseconds:9.1f} ms  {self.connection} {self.direction} {self.text}"


def collapsed(entries: Sequence[Entry]) -> list[Entry]:
    """The same, with runs of deltas as one entry each: they are most of what comes, and say the least."""
    shown: list[Entry] = []
    for (connection, direction, is_delta), run in itertools.groupby(
        entries, lambda each: (each.connection, each.direction, ".delta" in each.text.partition(",")[0])
    ):
        first, *rest = run
        shown.append(first)
        if is_delta and len(rest) > 1:
            shown.append(Entry(connection, direction, rest[-1].milliseconds, f"({len(rest)} more deltas)"))
        else:
            shown += rest
    return shown


@dataclass(slots=True)
class Transcript:
    entries: list[Entry] = field(default_factory=list)
    _start: float = field(default_factory=time.monotonic)

    def add(self, connection: str, direction: str, text: str) -> None:
        cut = text if len(text) <= LONG else f"{text[: LONG - 100]} ... {text[-60:]} ({len(text):,} characters)"
        self.entries.append(Entry(connection, direction, (time.monotonic() - self._start) * 1000, cut))
