"""The ledger of a sequence: every token in order, where it came from, and what was really computed.

A rollout of many pauses is one growing row. The ledger is that row, and the proof that no
position of it was computed twice: `decoded` counts what was fed to the model, `recomputed` how much of that
was fed before.

Thousands of ledgers are kept while their sequences are paused, so a row is held in arrays: 5 bytes a token, 8 more
where log-probabilities were asked for.
"""

from __future__ import annotations

import enum
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TopLogprobs = tuple[tuple[int, float], ...]


class Source(enum.IntEnum):
    """Where a token came from. A trainer's loss mask is `source is SAMPLED`."""

    APPENDED = 0
    SAMPLED = 1


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    position: int
    token: int
    source: Source
    logprob: float | None


class Ledger:
    """Append-only record of one sequence. Read it freely; only the engine writes it.

    prefilled:  tokens given to `open`.
    appended:   tokens given to `extend`.
    sampled:    tokens sampled, or forced in place of sampling.
    decoded:    tokens really fed to the model. The last sampled token is fed only once more tokens are
                wanted after it, so this trails `len(ledger)`.
    recomputed: positions that were fed more than once.
    copied:     positions whose state was copied from another sequence that begins alike, so they were never fed.
    anticipated: how many of `decoded` were fed in a pause, ahead of the `sample` that needed them.
    wasted:     tokens that were fed in a pause for nothing: others came, or the state was lost. They are no part of
                `decoded`, and are counted when the sequence is sampled again.
    rebuilds:   positions from which the state could not be kept while the sequence was paused: everything before was
                computed again then. Log-probabilities from there on may differ in their last bits from those of an
                undisturbed run, unless the engine is batch-invariant.
    """

    __slots__ = (
        "_logprobs",
        "_sources",
        "_top_logprobs",
        "anticipated",
        "appended",
        "copied",
        "decoded",
        "prefilled",
        "rebuilds",
        "recomputed",
        "row",
        "sampled",
        "wasted",
    )

    def __init__(self, prompt: Sequence[int]) -> None:
        self.row = array("i", prompt)  # the tokens; treat it as read-only
        self._sources = bytearray(len(self.row))
        self._logprobs: array[float] | None = None  # NaN where there is none
        self._top_logprobs: dict[int, TopLogprobs] | None = None
        self.prefilled = len(self.row)
        self.appended = 0
        self.sampled = 0
        self.decoded = 0
        self.recomputed = 0
        self.copied = 0
        self.anticipated = 0
        self.wasted = 0
        self.rebuilds: list[int] = []

    def __len__(self) -> int:
        return len(self.row)

    def __iter__(self) -> Iterator[LedgerEntry]:
        return map(self.__getitem__, range(len(self.row)))

    def __getitem__(self, position: int) -> LedgerEntry:
        position = range(len(self.row))[position]
        return LedgerEntry(position, self.row[position], self.source(position), self.logprob(position))

    @property
    def tokens(self) -> list[int]:
        """Every token in order, as a new list. For one of them, `row[position]` costs less."""
        return self.row.tolist()

    def source(self, position: int) -> Source:
        return Source(self._sources[position])

    def logprob(self, position: int) -> float | None:
        """Natural log-probability of that token, where it was asked for; None otherwise."""
        position = range(len(self.row))[position]
        if self._logprobs is None or math.isnan(value := self._logprobs[position]):
            return None
        return value

    def top_logprobs(self, position: int) -> TopLogprobs:
        """The likeliest tokens there and their log-probabilities, where they were asked for."""
        return () if self._top_logprobs is None else self._top_logprobs.get(position, ())

    def sampled_tokens(self) -> list[int]:
        """Those of `tokens` that were sampled."""
        return [token for token, source in zip(self.row, self._sources, strict=True) if source]

    def append(self, tokens: Sequence[int]) -> None:
        """Record tokens that were given to the sequence from outside."""
        self.row.extend(tokens)
        self._sources.extend(bytes(len(tokens)))
        if self._logprobs is not None:
            self._logprobs.extend([math.nan] * len(tokens))
        self.appended += len(tokens)

    def sample(self, token: int, logprob: float | None = None, top_logprobs: TopLogprobs = ()) -> None:
        """Record one token that the model (or a replay in its place) produced."""
        if logprob is not None and self._logprobs is None:
            self._logprobs = array("d", [math.nan]) * len(self.row)
        if top_logprobs:
            self._top_logprobs = self._top_logprobs or {}
            self._top_logprobs[len(self.row)] = top_logprobs
        self.row.append(token)
        self._sources.append(1)
        if self._logprobs is not None:
            self._logprobs.append(math.nan if logprob is None else logprob)
        self.sampled += 1

    def sample_all(self, tokens: Sequence[int]) -> None:
        """The same for several tokens without log-probabilities, at less cost."""
        if self._logprobs is not None:
            self._logprobs.extend([math.nan] * len(tokens))
        self.row.extend(tokens)
        self._sources.extend(b"\1" * len(tokens))
        self.sampled += len(tokens)

    def note_rebuild(self, position: int) -> None:
        """Record that the state of everything before `position` was lost and is computed again."""
        self.rebuilds.append(position)

    def fork(self, length: int) -> Ledger:
        """A ledger of its own that begins with the first `length` entries. Nothing of it has been computed yet; its
        `prefilled` counts them all but those that were sampled."""
        fork = Ledger(self.row[:length])
        fork._sources = self._sources[:length]
        fork._logprobs = None if self._logprobs is None else self._logprobs[:length]
        if self._top_logprobs is not None:
            fork._top_logprobs = {at: top for at, top in self._top_logprobs.items() if at < length}
        fork.sampled = sum(fork._sources)
        fork.prefilled = length - fork.sampled
        fork.rebuilds = [position for position in self.rebuilds if position <= length]
        return fork
