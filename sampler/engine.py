"""What an engine is: token ids in, token ids out.

Text, chat templates, tool calls and the protocol are other modules' business, so a remote engine with a token-id
endpoint can stand behind this interface as well as the local one in `llama_engine`.

A sequence is opened with a prompt, sampled, extended, sampled again, and closed. Between two `sample` calls
it is paused: nothing runs, and what was computed stays. One event loop owns an engine and all its sequences;
none of the methods may be called from another thread.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .ledger import Ledger, LedgerEntry, Source
from .sampling_params import SamplingParams

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

    STOP = "stop"  # a stop token, or the end of a stop string or of the grammar's text, is the last token delivered
    LENGTH = "length"  # max_tokens were sampled, or the forced tokens are used up
    CONTEXT = "context"  # the sequence is full


class SampledToken(NamedTuple):
    """One token as it left the engine. `sampled_at` is `time.perf_counter_ns()` in the engine's thread.

    top_logprobs: the likeliest tokens at this position with their log-probabilities, likeliest first; as many as
                  `SamplingParams.top_logprobs` asked for.
    """

    token: int
    logprob: float | None
    sampled_at: int
    top_logprobs: tuple[tuple[int, float], ...] = ()


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
                   this sequence's wall time, and figures of several must not be added up. Of what was computed ahead
                   in a pause (`anticipate`), only what a `sample` had to wait for counts.
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

    def sample(
        self, params: SamplingParams, *, forced: Sequence[int] | None = None, continued: int = 0
    ) -> SampleStream:
        """Start sampling at once and return the stream of tokens.

        forced:    take these tokens one by one instead of sampling; each is decoded as a sampled one would be. The
                   stream ends after a stop token among them or when they are used up.
        continued: the last so many tokens of the row belong to the text that is sampled now: the grammar and the
                   stop strings have seen them. For a turn that was cut off and is taken up again.

        Raises InvalidToken (among `forced`), InvalidGrammar, SequenceBusy, SequenceClosed; the stream raises
        EngineError.
        """
        ...

    def expect(self, tools: Sequence[str]) -> None:
        """The sequence pauses until these tools have run. What it learns from how long they take lets the engine
        choose which paused sequence gives up its place in the KV cache; names are only compared."""
        ...

    def anticipate(self, tokens: Sequence[int]) -> None:
        """A hint at a pause: these tokens are likely to be the next ones given to `extend`. The engine may compute them
        ahead, together with the pending sampled one, while it has nothing else to do.

        Nothing is added to the row, and whatever is extended later gives the same tokens and log-probabilities as
        without the hint; what it begins with in common with the hint needn't be computed then. An engine that can't
        promise that does nothing, and so does a sequence that is being sampled or closed. The latest hint counts.

        Raises InvalidToken.
        """
        ...

    def fork(self, length: int | None = None) -> TokenSequence:
        """A new sequence that begins as this one's first `length` tokens (all of them if None), with its own ledger.

        What was computed for them is copied when the fork is first sampled, not computed again.

        Raises ValueError for a length outside 1 .. len(ledger), SequenceBusy, SequenceClosed, NoFreeSequence.
        """
        ...

    async def close(self) -> None:
        """Stop sampling and free the sequence. Idempotent; never raises on a failed sequence."""
        ...


class Engine(Protocol):
    """Owner of the model's computed state.

    context_length: tokens that fit one sequence.
    max_sequences:  sequences that can be open at once, most of them paused. Far more than fit the KV cache.
    batch_invariant: whether a sequence's logits are the same bits whatever else is computed with it.
    """

    @property
    def context_length(self) -> int: ...

    @property
    def max_sequences(self) -> int: ...

    @property
    def batch_invariant(self) -> bool: ...

    async def open(self, tokens: Sequence[int], *, share_prefix: bool = True) -> TokenSequence:
        """Open a sequence with a prompt of at least one token.

        share_prefix: let it begin with a copy of what was computed for another one, where they begin alike.

        Raises ContextLengthExceeded, NoFreeSequence, InvalidToken, EngineStopped.
        """
        ...

    async def check_grammar(self, grammar: str) -> None:
        """Compile a grammar beside the event loop, ahead of the `sample` that needs it: milliseconds, or a second for a
        huge one.

        Raises InvalidGrammar.
        """
        ...

    async def close(self) -> None:
        """Stop the engine; every open stream raises EngineStopped. Idempotent."""
        ...
