"""After a decode: a token for each run, and which runs that ends."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .engine import FinishReason, SampledToken
from .engine_run import Run
from .errors import ChoiceFailed, InvalidLogits, SamplerError
from .llama_context import Logits

_NOT_FINITE = "the model produced logits that are no finite numbers"


class Ended(NamedTuple):
    run: Run
    reason: FinishReason | None = None
    error: SamplerError | None = None


def is_greedy(runs: Sequence[Run]) -> bool:
    """Whether `take_likeliest` does for these runs what `sample` does."""
    return all(run.chooser is None for run in runs)


def take_likeliest(logits: Logits, runs: Sequence[Run]) -> list[Ended]:
    """`sample` for runs that need no more than the argmax, in half the time.

    It is taken where a token is forced, too: a replay has to cost what sampling does.
    """
    ended = []
    likeliest = argmax(logits)
    sampled_at = time.perf_counter_ns()
    for run, token in zip(runs, likeliest, strict=True):
        if run.forced is not None:
            token = run.forced[run.sampled]
        elif token < 0:
            ended.append(Ended(run, error=InvalidLogits(_NOT_FINITE)))
            continue
        run.progress.tokens.append(SampledToken(token, None, sampled_at))
        run.token = token
        run.sampled += 1
        if run.sampled == run.limit or token in run.params.stop_tokens:
            ended.append(_end(run, stopped=False))
    return ended


def sample(logits: Logits, runs: Sequence[Run]) -> list[Ended]:
    """Give each run a token of its row of logits; returns those that end with it."""
    likeliest = argmax(logits) if any(run.chooser is None for run in runs) else ()
    sampled_at = time.perf_counter_ns()
    ended = []
    for index, run in enumerate(runs):
        forced = None if run.forced is None else run.forced[run.sampled]
        stopped = False
        try:
            if run.chooser is not None:
                choice = run.chooser.choose(logits[index], run.length + run.sampled, forced)
                token, stopped = choice.token, choice.stopped
                sampled = SampledToken(token, choice.logprob, sampled_at, choice.top_logprobs)
            else:
                token = likeliest[index] if forced is None else forced
                if token < 0:
                    raise InvalidLogits(_NOT_FINITE)
                sampled = SampledToken(token, None, sampled_at)
        except Exception as error:  # one run's chooser must not end all the others
            failure = error if isinstance(error, SamplerError) else ChoiceFailed(repr(error))
            ended.append(Ended(run, error=failure))
            continue
        run.progress.tokens.append(sampled)
        run.token = token
        run.sampled += 1
        if stopped or run.sampled == run.limit or token in run.params.stop_tokens:
            ended.append(_end(run, stopped=stopped))
    return ended


def _end(run: Run, *, stopped: bool) -> Ended:
    if stopped or run.token in run.params.stop_tokens:
        return Ended(run, FinishReason.STOP)
    return Ended(run, FinishReason.LENGTH if run.limit_is_wanted else FinishReason.CONTEXT)


def argmax(logits: Logits) -> list[int]:
    """The likeliest token of each row; -1 where the row holds what is no finite number.

    The maximum of a row with a NaN in it is NaN; llama.cpp would silently yield some token.
    """
    if len(logits) == 1:
        row = logits[0]
        token = int(row.argmax())
        return [token if math.isfinite(row[token]) else -1]
    tokens = logits.argmax(axis=1)
    finite = np.isfinite(logits[np.arange(len(tokens)), tokens])
    return (tokens if finite.all() else np.where(finite, tokens, -1)).tolist()  # type: ignore[no-any-return]
