"""The parent's side of a sequence in the engine's process: its ledger, its checks, and how it is taken up again.

The ledger is here and complete, so the child's copy can be lost at any time. A sequence knows which child has how many
of its tokens; what is missing goes along with the next `sample`. A `sample` that a crash cut off is
sent again as the rest of itself.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .engine import FinishReason, Ledger, SampledToken, SamplingParams
from .engine_messages import Close, Expect, Fork, Sample, SequenceProgress, pieces
from .errors import ContextLengthExceeded, InvalidGrammar, SamplerError, SequenceBusy, SequenceClosed
from .sample_call import SampleCall
from .sample_stream import InboxStream
from .utf8 import encode_utf8

if TYPE_CHECKING:
    from .process_engine import ProcessEngine


class ProcessSequence:
    """See `engine.TokenSequence`.

    crashes: of the child while this was being sampled, in a row, without a token in between.
    """

    def __init__(self, engine: ProcessEngine, number: int, ledger: Ledger, shares_prefix: bool) -> None:
        self.number = number
        self.ledger = ledger
        self.inference_ns = 0
        self.finish_reason: FinishReason | None = None
        self.crashes = 0
        self._engine = engine
        self._shares_prefix = shares_prefix
        self._child = 0  # number of the child that has this sequence; 0 for none
        self._known = 0  # how many of the ledger's tokens it has
        self._fed = 0  # positions that were computed, by whichever child
        self._lost = 0  # how many of these the child has to compute again
        self._computed = 0  # what it computed of them and after them
        self._call: SampleCall | None = None
        self._closed = False

    def room(self) -> int:
        return self._engine.context_length - len(self.ledger)

    def extend(self, tokens: Sequence[int]) -> None:
        self._check_idle()
        tokens = list(tokens)
        self._engine.vocab.check(tokens)
        if len(tokens) > self.room():
            raise ContextLengthExceeded(len(tokens), self.room(), self._engine.context_length)
        self.ledger.append(tokens)

    def sample(self, params: SamplingParams, *, forced: Sequence[int] | None = None, continued: int = 0) -> InboxStream:
        self._check_idle()
        self._engine.check_alive()
        vocab = self._engine.vocab
        vocab.check(params.stop_tokens)
        vocab.check(params.banned)
        if forced is not None:
            forced = list(forced)
            vocab.check(forced)
        if type(continued) is not int or not 0 <= continued <= len(self.ledger):
            raise ValueError(f"continued: must be between 0 and {len(self.ledger)}, not {continued!r}")
        self.finish_reason = None
        self.crashes = 0
        call = SampleCall(_portable(params), forced, continued, lambda: self._engine.stop(self))
        if self.room() == 0 or forced == []:
            # Nothing to compute: there is no place for a token, or no token to take.
            call.end()
            self.finish_reason = FinishReason.LENGTH if self.room() else FinishReason.CONTEXT
        else:
            self._call = call
            self._engine.start(self)
        return InboxStream(call)

    def expect(self, tools: Sequence[str]) -> None:
        if self._in_child:
            self._engine.send(Expect(self.number, [encode_utf8(tool).decode() for tool in tools]))

    def anticipate(self, tokens: Sequence[int]) -> None:
        """Does nothing: hints are not sent to the child."""
        self._engine.vocab.check(tokens)

    def fork(self, length: int | None = None) -> ProcessSequence:
        self._check_idle()
        length = len(self.ledger) if length is None else length
        if type(length) is not int or not 1 <= length <= len(self.ledger):
            raise ValueError(f"length: must be between 1 and {len(self.ledger)}, not {length!r}")
        fork = self._engine.add(self.ledger.fork(length))
        if self._in_child:
            fork._child, fork._known = self._child, min(length, self._known)
            self._engine.send(Fork(fork.number, self.number, fork._known))
        return fork

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._call is None:
                self._release()
            else:
                self._call.stop()
        if self._call is not None:
            await self._call.ended()

    @property
    def call(self) -> SampleCall | None:
        """The `sample` call that hasn't ended."""
        return self._call

    def submit(self) -> None:
        """Send the current call, or what is left of it, to the child, with the tokens that it doesn't have."""
        call = self._call
        assert call is not None
        params, delivered = call.params, call.delivered
        if params.max_tokens is not None and delivered:
            params = dataclasses.replace(params, max_tokens=params.max_tokens - delivered)
        if not self._in_child:
            self._child, self._known = self._engine.child_number, 0
            self._lost, self._computed = self._fed, 0
        self._engine.send(
            Sample(
                self.number,
                list(pieces(self.ledger, self._known)),
                params,
                call.forced[delivered:] if call.forced is not None else None,
                call.continued + delivered,
                self._shares_prefix,
            )
        )
        self._known = len(self.ledger)

    def on_progress(self, progress: SequenceProgress) -> None:
        call, ledger = self._call, self.ledger
        assert call is not None
        count = len(progress.tokens)
        sampled = list(
            map(
                SampledToken,
                progress.tokens,
                progress.logprobs or [None] * count,
                progress.sampled_at,
                progress.top_logprobs or [()] * count,
            )
        )
        self._account(progress)
        if progress.logprobs or progress.top_logprobs:
            for token in sampled:
                ledger.sample(token.token, token.logprob, token.top_logprobs)
        else:
            ledger.sample_all(progress.tokens)
        if count:
            # The last of them is fed when something follows it.
            self._fed = len(ledger) - 1
            self._known += count
            self.crashes = 0
        if progress.forgotten:
            self._child = 0
        call.deliver(sampled)
        if progress.ended:
            self.finish(
                None if progress.finish_reason is None else FinishReason(progress.finish_reason),
                None if progress.error is None else progress.error.restore(),
            )

    def finish(self, reason: FinishReason | None = None, error: SamplerError | None = None) -> None:
        """The call has ended."""
        call, self._call = self._call, None
        assert call is not None
        self.finish_reason = reason
        if self._closed:
            self._release()
        call.end(error)

    @property
    def _in_child(self) -> bool:
        return self._child == self._engine.child_number

    def _account(self, progress: SequenceProgress) -> None:
        ledger = self.ledger
        ledger.decoded += progress.decoded
        ledger.recomputed += progress.recomputed
        ledger.copied += progress.copied
        for position in progress.rebuilds:
            ledger.note_rebuild(position)
        self.inference_ns += progress.inference_ns
        self._computed += progress.decoded - progress.recomputed
        if self._lost and progress.tokens:
            # Everything up to the last token is computed now. What the child didn't compute was copied from another
            # sequence that begins alike.
            begin = len(ledger) + len(progress.tokens) - 1 - self._computed
            ledger.recomputed += max(0, self._lost - begin)
            ledger.note_rebuild(self._lost)
            self._lost = 0

    def _release(self) -> None:
        if self._in_child:
            self._engine.send(Close(self.number))
        self._engine.remove()

    def _check_idle(self) -> None:
        if self._closed:
            raise SequenceClosed("the sequence can't be used: it was closed")
        if self._call is not None:
            raise SequenceBusy("the sequence is being sampled: wait for the stream's end, or `aclose` it")


def _portable(params: SamplingParams) -> SamplingParams:
    """Parameters that give the same tokens however often the child is started again, and that can be sent."""
    if params.grammar is not None:
        try:
            params.grammar.encode()
        except UnicodeEncodeError:
            raise InvalidGrammar("the grammar holds a lone surrogate, which no text can contain") from None
    if params.seed is None and not params.greedy:
        params = dataclasses.replace(params, seed=secrets.randbits(63))
    return params
