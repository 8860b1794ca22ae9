"""What an engine is: token ids in, token ids out.

Text, chat templates, tool calls and the protocol are other modules' business, so a remote engine with a token-id
endpoint can stand behind this interface as well as the local one in `llama_engine`.

A sequence is opened with a prompt, sampled, extended, sampled again, and closed. Between two `sample` calls
it is paused: nothing runs, and what was computed stays. One event loop owns an engine and all its sequences;
none of the methods may be called from another thread.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .errors import InvalidSamplingParams
from .ledger import Ledger, LedgerEntry, Source

__all__ = [
    "Engine",
    "FinishReason",
    "Ledger",
    "LedgerEntry",
    "SampleStream",
    "SampledToken",
    "SamplingParams",
    "Source",
    "TokenSequence",
]


class FinishReason(enum.Enum):
    """Why sampling ended."""

    STOP = "stop"  # a stop token was sampled; it is the last token delivered
    LENGTH = "length"  # max_tokens were sampled, or the forced tokens are used up
    CONTEXT = "context"  # the sequence is full


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to choose tokens. Every field is checked here, so nothing invalid reaches the engine.

    temperature: 0 means greedy. At most 100.
    top_k:       keep the k likeliest tokens; 0 keeps all. Applied first: with a large vocabulary top_p or temperature
                 alone must look at every token, at up to 10 ms a token.
    top_p:       then keep the smallest set with at least this probability; 1 keeps all.
    min_p:       then drop tokens below this fraction of the likeliest; 0 keeps all.
    seed:        makes a `sample` call at the same position reproducible; None takes a fresh random one.
    stop_tokens: sampling ends after any of these, which is delivered too.
    max_tokens:  bound on the tokens of this `sample` call; None leaves only the context's.
    logprobs:    record each token's natural log-probability under the model itself, that is
                 before temperature and truncation.

    Raises InvalidSamplingParams, whose `.param` names the field.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    stop_tokens: frozenset[int] = frozenset()
    max_tokens: int | None = None
    logprobs: bool = False

    def __post_init__(self) -> None:
        _check_number("temperature", self.temperature, 0.0, 100.0)
        _check_integer("top_k", self.top_k, 0, 2**31 - 1)
        _check_number("top_p", self.top_p, 0.0, 1.0)
        _check_number("min_p", self.min_p, 0.0, 1.0)
        if self.seed is not None:
            _check_integer("seed", self.seed, 0, 2**63 - 1)
        if self.max_tokens is not None:
            _check_integer("max_tokens", self.max_tokens, 1, 2**31 - 1)
        if not isinstance(self.stop_tokens, frozenset):
            raise InvalidSamplingParams("stop_tokens", "must be a frozenset of token ids")
        for token in self.stop_tokens:
            _check_integer("stop_tokens", token, 0, 2**31 - 1)
        if not isinstance(self.logprobs, bool):
            raise InvalidSamplingParams("logprobs", "must be true or false")

    @property
    def greedy(self) -> bool:
        """True when the likeliest token is always taken."""
        return self.temperature == 0.0 or self.top_k == 1


def _check_number(name: str, value: object, low: float, high: float) -> None:
    # bool is an int to isinstance, and NaN passes every comparison that is written the other way round.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidSamplingParams(name, f"must be a finite number between {low:g} and {high:g}")
    if not low <= value <= high:
        raise InvalidSamplingParams(name, f"must be between {low:g} and {high:g}, not {value:g}")


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidSamplingParams(name, f"must be a whole number between {low} and {high}")


@dataclass(frozen=True, slots=True)
class SampledToken:
    """One token as it left the engine. `sampled_at` is `time.perf_counter_ns()` in the engine's thread."""

    token: int
    logprob: float | None
    sampled_at: int


class SampleStream(Protocol):
    """The tokens of one `sample` call: `async for tokens in stream`, each item all that a wake-up brought.

    Leaving the loop early does not wait for the engine; `aclose()` does. After it returns, the ledger
    holds every token that the engine sampled, delivered or not, and the sequence can be extended.
    """

    def __aiter__(self) -> SampleStream: ...

    async def __anext__(self) -> Sequence[SampledToken]: ...

    async def aclose(self) -> None: ...


class TokenSequence(Protocol):
    """One growing row of tokens whose computed state the engine keeps.

    ledger:        every token in order, with its source, and the counts of what was computed.
    inference_ns:  engine time this sequence waited for: the whole duration of each step that fed or sampled one of
                   its tokens. A batch that several sequences share counts in full for each, so the figure is a part of
                   this sequence's wall time, and figures of several must not be added up.
    finish_reason: why the latest `sample` ended; None before, during, and when it was stopped from outside.
    """

    @property
    def ledger(self) -> Ledger: ...

    @property
    def inference_ns(self) -> int: ...

    @property
    def finish_reason(self) -> FinishReason | None: ...

    def room(self) -> int:
        """Tokens that still fit."""
        ...

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens. They are computed together with the pending sampled one when `sample` is called.

        Raises ContextLengthExceeded, InvalidToken, SequenceBusy, SequenceClosed; the sequence is then unchanged.
        """
        ...

    def sample(self, params: SamplingParams, *, forced: Sequence[int] | None = None) -> SampleStream:
        """Start sampling at once and return the stream of tokens.

        forced: take these tokens one by one instead of sampling; each is decoded as a sampled one would be. The
                stream ends after a stop token among them or when they are used up.

        Raises InvalidToken (among `forced`), SequenceBusy, SequenceClosed; the stream raises EngineError.
        """
        ...

    async def close(self) -> None:
        """Stop sampling and free the sequence. Idempotent; never raises on a failed sequence."""
        ...


class Engine(Protocol):
    """Owner of the model's computed state.

    context_length: tokens that fit one sequence.
    max_sequences:  sequences that can be open at once.
    """

    @property
    def context_length(self) -> int: ...

    @property
    def max_sequences(self) -> int: ...

    async def open(self, tokens: Sequence[int]) -> TokenSequence:
        """Open a sequence with a prompt of at least one token.

        Raises ContextLengthExceeded, NoFreeSequence, InvalidToken, EngineStopped.
        """
        ...

    async def close(self) -> None:
        """Stop the engine; every open stream raises EngineStopped. Idempotent."""
        ...
