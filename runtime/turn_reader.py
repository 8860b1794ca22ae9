"""From sampled tokens to what they say: stop strings, the parser, and which tokens a text was sampled in."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.items import TokenLogprob, TopLogprob
from ..sampler.engine import SampledToken, SamplingParams
from ..sampler.model import Model
from ..sampler.stop_strings import StopStringFilter, StopStrings
from ..sampler.tool_call_deltas import Delta
from ..sampler.vocabulary import Vocabulary

_LEAST_LOGPROB = -9999.0
"""JSON has no infinity. A token that is forced may have the probability 0."""

_NO_TEXT = b"\xff"
"""In place of a special token's text: that must not be taken for the same letters after it. No UTF-8 has this byte."""


class TurnReader:
    """Reads one assistant turn."""

    def __init__(self, model: Model, params: SamplingParams) -> None:
        self._vocab = model.vocab
        self._parser = model.turn_parser()
        self._stop = StopStringFilter(StopStrings(params.stop)) if params.stop else None
        self._marks = frozenset(model.vocab.special_tokens.values())
        self._unclaimed: list[tuple[SampledToken, bytes]] = []

    @property
    def stopped(self) -> bool:
        """A stop string has ended the turn."""
        return self._stop is not None and self._stop.stopped

    def read(self, sampled: SampledToken) -> Sequence[Delta]:
        """What is certain after this token."""
        piece = self._vocab.visible_piece(sampled.token)
        if piece:
            self._unclaimed.append((sampled, _NO_TEXT if sampled.token in self._marks else piece))
        return self._parser.feed(piece if self._stop is None else self._stop.feed(piece))

    def finish(self) -> Sequence[Delta]:
        """The turn is over: what was held back."""
        held = [] if self._stop is None else self._parser.feed(self._stop.finish())
        return [*held, *self._parser.finish()]

    def claim(self, text: str) -> Sequence[SampledToken]:
        """The tokens that the text of a delta was sampled in; to be asked for each delta with text, in order.

        The parser and the stop strings hold bytes back and drop some (marks, white space around them), so a delta is
        looked up among the bytes that nobody claimed yet. A token that reaches over both ends of a mark belongs to the
        first text that has a part of it.
        """
        tokens = self._unclaimed
        if len(tokens) > 1:
            needle = text.encode("utf-8", "replace")
            begin = b"".join(piece for _, piece in tokens).find(needle)
            if begin >= 0:
                return self._claim_between(begin, begin + len(needle))
        # What is not found has bytes that are no UTF-8, begins in a token that is claimed already, or is a mark that
        # turned out to be text.
        self._unclaimed = []
        return [sampled for sampled, _ in tokens]

    def _claim_between(self, begin: int, end: int) -> Sequence[SampledToken]:
        claimed: list[SampledToken] = []
        position = 0
        for index, (sampled, piece) in enumerate(self._unclaimed):
            if position >= end:
                self._unclaimed = self._unclaimed[index:]
                return claimed
            position += len(piece)
            if position > begin:
                claimed.append(sampled)
        self._unclaimed = []
        return claimed


def token_logprob(sampled: SampledToken, vocab: Vocabulary) -> TokenLogprob:
    """A token that was sampled with log-probabilities, as the wire shows it."""
    piece = vocab.piece(sampled.token)
    return TokenLogprob(
        token=piece.decode("utf-8", "replace"),
        logprob=_LEAST_LOGPROB if sampled.logprob is None else max(sampled.logprob, _LEAST_LOGPROB),
        bytes=list(piece),
        top_logprobs=[_top_logprob(token, logprob, vocab) for token, logprob in sampled.top_logprobs],
    )


def _top_logprob(token: int, logprob: float, vocab: Vocabulary) -> TopLogprob:
    piece = vocab.piece(token)
    return TopLogprob(token=piece.decode("utf-8", "replace"), logprob=max(logprob, _LEAST_LOGPROB), bytes=list(piece))
