"""The ledger of a sequence: every token in order, where it came from, and what was really computed.

A rollout of many pauses is one growing row. The ledger is that row, and the proof that no
position of it was computed twice: `decoded` counts what was fed to the model, `recomputed` how much of that
was fed before.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


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

    tokens:     every token in order.
    prefilled:  tokens given to `open`.
    appended:   tokens given to `extend`.
    sampled:    tokens sampled, or forced in place of sampling.
    decoded:    tokens really fed to the model. The last sampled token is fed only once more tokens are
                wanted after it, so this trails `len(ledger)`.
    recomputed: positions that were fed more than once.
    """

    __slots__ = ("_logprobs", "_sources", "appended", "decoded", "prefilled", "recomputed", "sampled", "tokens")

    def __init__(self, prompt: Sequence[int]) -> None:
        self.tokens: list[int] = list(prompt)
        self._sources = bytearray(len(self.tokens))
        self._logprobs: list[float | None] = [None] * len(self.tokens)
        self.prefilled = len(self.tokens)
        self.appended = 0
        self.sampled = 0
        self.decoded = 0
        self.recomputed = 0

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[LedgerEntry]:
        return map(self.__getitem__, range(len(self.tokens)))

    def __getitem__(self, position: int) -> LedgerEntry:
        position = range(len(self.tokens))[position]
        return LedgerEntry(position, self.tokens[position], self.source(position), self._logprobs[position])

    def source(self, position: int) -> Source:
        return Source(self._sources[position])

    def logprob(self, position: int) -> float | None:
        """Natural log-probability of that token, where it was asked for; None otherwise."""
        return self._logprobs[position]

    def append(self, tokens: Sequence[int]) -> None:
        """Record tokens that were given to the sequence from outside."""
        self.tokens.extend(tokens)
        self._sources.extend(bytes(len(tokens)))
        self._logprobs.extend([None] * len(tokens))
        self.appended += len(tokens)

    def sample(self, token: int, logprob: float | None) -> None:
        """Record one token that the model (or a replay in its place) produced."""
        self.tokens.append(token)
        self._sources.append(Source.SAMPLED)
        self._logprobs.append(logprob)
        self.sampled += 1
