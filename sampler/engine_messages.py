"""What the server's process and the engine's process say to each other, and how errors cross.

Parent to child: `Begin` once, then any of `Sample`, `Stop`, `Expect`, `Fork`, `Close`. Child to parent: `Ready` or
`Refused` once, then `Step`s. The pipe's end is a message too: whoever sees it stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from . import errors
from .engine import Ledger, SamplingParams, Source
from .errors import EngineError, SamplerError

Piece = tuple[bool, Sequence[int]]
"""Neighbouring tokens of a row, and whether they were sampled."""


class Begin(msgspec.Struct, array_like=True, frozen=True):
    """The first message. settings: pickled keyword arguments of `LlamaEngine`, which may be any objects."""

    model: str
    context_length: int
    settings: bytes


class CrossedError(msgspec.Struct, array_like=True, frozen=True):
    """An error of the sampler's tree: its class by name, its message, and what it carries besides."""

    name: str
    message: str
    attributes: dict[str, int | str]

    @classmethod
    def of(cls, error: BaseException) -> CrossedError:
        if isinstance(error, SamplerError):
            attributes = {key: value for key, value in vars(error).items() if isinstance(value, int | str)}
            return cls(type(error).__name__, str(error), attributes)
        return cls("EngineStartFailed", f"{type(error).__name__}: {error}", {})

    def restore(self) -> SamplerError:
        kind = getattr(errors, self.name, EngineError)
        # Some of the classes make their message of other arguments: take it as it is.
        error: SamplerError = kind.__new__(kind, self.message)
        vars(error).update(self.attributes)
        return error


class Ready(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """The engine is there. Figures of the engine and of its model."""

    context_length: int
    max_sequences: int
    batch_invariant: bool
    vocabulary_size: int


class Refused(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """The engine can't be started."""

    error: CrossedError


class Sample(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """Sample a sequence, after it got the tokens that the child doesn't have. An unknown one is opened with them, and
    begins with a copy of another one's state if it `shares_prefix`."""

    sequence: int
    pieces: Sequence[Piece]
    params: SamplingParams
    forced: Sequence[int] | None
    continued: int
    shares_prefix: bool = True


class Stop(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """End the sampling of a sequence, if it is still going on."""

    sequence: int


class Close(msgspec.Struct, array_like=True, frozen=True, tag=2):
    sequence: int


class Expect(msgspec.Struct, array_like=True, frozen=True, tag=3):
    sequence: int
    tools: Sequence[str]


class Fork(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Open `sequence` as a fork of the first `length` tokens of `source`, which the child has."""

    sequence: int
    source: int
    length: int


Command = Sample | Stop | Close | Expect | Fork


class SequenceProgress(msgspec.Struct, array_like=True):
    """What happened to one sequence since the last report, as columns.

    logprobs, top_logprobs: empty if not asked for.
    decoded, recomputed, copied, inference_ns: growth of the ledger's and the sequence's figures.
    rebuilds:      positions that the child's ledger noted.
    ended:         this is the last report of the `sample` call.
    finish_reason: value of the `FinishReason`; None if it was stopped or failed.
    forgotten:     the child doesn't have the sequence any more.
    """

    sequence: int
    tokens: list[int]
    sampled_at: list[int]
    logprobs: list[float | None]
    top_logprobs: list[tuple[tuple[int, float], ...]]
    decoded: int = 0
    recomputed: int = 0
    copied: int = 0
    rebuilds: list[int] = []
    inference_ns: int = 0
    ended: bool = False
    finish_reason: str | None = None
    error: CrossedError | None = None
    forgotten: bool = False


class Step(msgspec.Struct, array_like=True, frozen=True):
    """Everything that happened since the last one, usually in one step of the engine."""

    progress: list[SequenceProgress]


def pieces(ledger: Ledger, begin: int) -> Iterator[Piece]:
    """The ledger's tokens from `begin` on. The first piece of a whole ledger is appended tokens: the prompt."""
    end = len(ledger)
    while begin < end:
        source, stop = ledger.source(begin), begin + 1
        while stop < end and ledger.source(stop) is source:
            stop += 1
        yield source is Source.SAMPLED, ledger.row[begin:stop].tolist()
        begin = stop
