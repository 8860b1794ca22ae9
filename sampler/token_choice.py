"""Choosing the next token from a row of logits.

Everything happens in this order. From the penalties on it is llama.cpp's default (penalties, top_k, top_p, min_p,
temperature), with the grammar where it leaves the truncations only tokens that may come:

1. log-probabilities, from the raw logits;
2. penalties, by OpenAI's formula: a token that was sampled `c` times loses `c * frequency_penalty`, and
   `presence_penalty` once if c > 0;
3. the grammar's mask, and the banned tokens;
4. greedy (temperature 0 or top_k 1): the likeliest token, of equally likely ones the lowest id; else
5. top_k, top_p over what is left, min_p, all before the temperature, which is applied to what they leave;
6. a draw by `random_draw`: the number depends on the seed and the position alone, and the tokens stand in the order of
   their ids. So it doesn't matter where a sequence was paused, forked, rebuilt or moved to another process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .errors import InvalidLogits
from .grammar import Matcher
from .logprobs import log_normaliser, top_logprobs
from .penalties import Penalties
from .random_draw import draw, uniform
from .sampling_params import SamplingParams
from .stop_strings import StopStringReader, StopStrings
from .truncation import min_p_mask, top_k_ids, top_p_ids
from .vocabulary import Vocabulary

Logits = npt.NDArray[np.float32]

_COLDEST = 1e-6
"""A lower temperature is as good as this one: what is 1e-4 below the peak has no weight left. It keeps
single precision from overflowing."""


class Choice(NamedTuple):
    """A chosen token. `stopped`: it completes a stop string, or the grammar allows nothing after it."""

    token: int
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()
    stopped: bool = False


class TokenChooser(Protocol):
    """Chooses the tokens of one `sample` call. Made in the event loop, then used in the engine's thread alone.

    A greedy call without grammar, stop strings, penalties and logprobs (`SamplingParams.is_argmax`) needs none: the
    engine takes the argmax.
    """

    def choose(self, logits: Logits, position: int, forced: int | None = None) -> Choice:
        """The token for `position` of the sequence, from a read-only view of the model's logits.

        forced: take this token (a replay's); everything else happens as if it had been sampled.

        Raises InvalidLogits: there is a NaN or a positive infinity among the logits, or no token that may be sampled
        has a finite one. Raises GrammarFailed: the grammar doesn't allow the forced token, or can't go on.
        """
        ...


class ParameterisedChooser:
    """Chooses as `SamplingParams` say, in numpy. Choosers share nothing that changes."""

    def __init__(
        self,
        params: SamplingParams,
        *,
        seed: int,
        vocab: Vocabulary,
        penalties: Penalties | None,
        stop: StopStringReader | None,
        matcher: Matcher | None,
    ) -> None:
        self._params = params
        self._seed = seed
        self._vocab = vocab
        self._penalties = penalties
        self._stop = stop
        self._matcher = matcher
        self._records = params.logprobs or params.top_logprobs > 0
        self._banned = sorted(params.banned)
        self._scale = 1.0 / max(params.temperature, _COLDEST)

    def choose(self, logits: Logits, position: int, forced: int | None = None) -> Choice:
        # Logits near the limits of single precision may overflow to -inf, which means what it should.
        with np.errstate(over="ignore"):
            normaliser = self._normaliser(logits) if self._records else 0.0
            token = self._pick(logits, position) if forced is None else forced
            logprob: float | None = None
            likeliest: tuple[tuple[int, float], ...] = ()
            if self._params.logprobs:
                logprob = float(logits[token]) - normaliser
            if self._params.top_logprobs:
                likeliest = top_logprobs(logits, self._params.top_logprobs, normaliser)
        return Choice(token, logprob, likeliest, self._advance(token))

    def _normaliser(self, logits: Logits) -> float:
        return log_normaliser(logits, _finite(float(logits.max())))

    def _pick(self, logits: Logits, position: int) -> int:
        params = self._params
        if self._penalties is not None:
            logits = self._penalties.apply(logits)
        if self._matcher is not None:
            logits = self._matcher.mask(logits)
        if params.greedy:
            token = int(logits.argmax())  # a NaN, if there is one
            if token in params.banned:  # seldom: a copy for each token would cost more than the argmax does
                logits = self._without_banned(logits)
                token = int(logits.argmax())
            _finite(float(logits[token]))
            return token
        if self._banned:
            logits = self._without_banned(logits)
        peak = logits.max()  # NaN, if there is one
        _finite(float(peak))
        ids = None
        if 0 < params.top_k < logits.size:
            ids = top_k_ids(logits, params.top_k)
            logits = logits[ids]
        if params.top_p < 1.0:
            kept = top_p_ids(np.exp(logits - peak), params.top_p)
            ids = kept if ids is None else ids[kept]
            logits = logits[kept]
        weights = np.exp((logits - peak) * np.float32(self._scale))
        if params.min_p > 0.0:
            weights *= min_p_mask(logits, peak, params.min_p)
        index = draw(weights, uniform(self._seed, position))
        return index if ids is None else int(ids[index])

    def _without_banned(self, logits: Logits) -> Logits:
        logits = logits.copy()
        logits[self._banned] = -np.inf
        return logits

    def _advance(self, token: int) -> bool:
        if self._penalties is not None:
            self._penalties.count(token)
        stopped = False
        if self._matcher is not None:
            self._matcher.advance(token)
            stopped = self._matcher.finished
        if self._stop is not None and self._stop.completes(self._vocab.visible_piece(token)):
            stopped = True
        return stopped


def make_chooser(
    params: SamplingParams,
    *,
    seed: int,
    vocab: Vocabulary,
    sampled: Sequence[int] = (),
    text: Sequence[int] = (),
    matcher: Matcher | None = None,
) -> TokenChooser:
    """A chooser for one `sample` call.

    seed:    any integer; `params.seed`, or a random one that the caller drew for it.
    sampled: the tokens sampled before in this sequence, for penalties; else it isn't looked at.
    text:    the tokens of this turn that were sampled before, when a turn is taken up again: stop strings and the
             grammar have seen them.
    matcher: a fresh one of `params.grammar`, for this chooser alone.

    Raises InvalidGrammar: the grammar doesn't allow `text`.
    """
    if matcher is not None:
        matcher.resume(text)
    stop = None
    if params.stop:
        stop = StopStringReader(StopStrings(params.stop))
        for token in text:
            stop.completes(vocab.visible_piece(token))
    penalties = None
    if params.penalised:
        penalties = Penalties(params.presence_penalty, params.frequency_penalty, sampled)
    return ParameterisedChooser(params, seed=seed, vocab=vocab, penalties=penalties, stop=stop, matcher=matcher)


def _finite(peak: float) -> float:
    """The peak, unless no token can be told from it."""
    if math.isfinite(peak):
        return peak
    if peak == -math.inf:
        raise InvalidLogits("every token that may be sampled has a logit of minus infinity")
    raise InvalidLogits(f"the model's logits hold {'infinity' if peak > 0 else 'NaN'}")
