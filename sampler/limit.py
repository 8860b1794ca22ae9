"""How fast an agent's turns can be at most: llama.cpp alone, in the barest loop that Python has.

No event loop, no engine thread, no scheduler: a prefill in the engine's chunks, then one token after the other by
argmax. What an engine's turn takes beyond that is what everything around llama.cpp costs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from .engine_context import IDLE_PREFILL_CHUNK, EngineContext
from .errors import ContextLengthExceeded, InvalidMeasurement

SLOT = 0


class LimitTurn(NamedTuple):
    """context: tokens that are computed before. appended: those that aren't yet, at least one. sampled: at least one,
    of which the last is not computed in this turn."""

    context: int
    appended: int
    sampled: int


class LimitTimes(NamedTuple):
    """prefill_ns: until the first token was chosen. decode_ns: the others."""

    prefill_ns: int
    decode_ns: int


def measure_limit(
    context: EngineContext, turns: Sequence[LimitTurn], tokens: Sequence[int], context_length: int
) -> list[LimitTimes]:
    """Play the turns of one sequence, one after the other, and time each. Where a turn begins at another length than
    the one before has ended at, the sequence is brought there first, outside of the times.

    tokens: what is fed, by position, until sampled ones follow; as many as the longest turn has.

    Raises ContextLengthExceeded, InvalidMeasurement, DecodeFailed.
    """
    for turn in turns:
        if turn.context < 0 or turn.appended < 1 or turn.sampled < 1:
            raise InvalidMeasurement(f"a turn has context >= 0, appended >= 1 and sampled >= 1, not {tuple(turn)}")
        if sum(turn) > context_length:
            raise ContextLengthExceeded(sum(turn), context_length, context_length)
    context.clear(SLOT)
    position = 0
    times = []
    for turn in turns:
        if position > turn.context:
            position = turn.context if context.can_trim else 0
            context.trim(SLOT, position) if position else context.clear(SLOT)
        if position < turn.context:
            _prefill(context, position, tokens[position : turn.context])
        position = turn.context + turn.appended
        appended = tokens[turn.context : position]
        began = time.perf_counter_ns()
        _prefill(context, turn.context, appended)
        token = context.logits(1)[0].argmax()
        first = time.perf_counter_ns()
        _decode(context, position, token, turn.sampled - 1)
        times.append(LimitTimes(first - began, time.perf_counter_ns() - first))
        position += turn.sampled - 1
    context.clear(SLOT)
    return times


def _prefill(context: EngineContext, position: int, tokens: Sequence[int]) -> None:
    last = len(tokens) - IDLE_PREFILL_CHUNK
    for at in range(0, len(tokens), IDLE_PREFILL_CHUNK):
        chunk = tokens[at : at + IDLE_PREFILL_CHUNK]
        context.decode([(SLOT, position + at, chunk, at >= last)])


def _decode(context: EngineContext, position: int, token: int, count: int) -> None:
    if count < 1:
        return
    decode_next, logits = context.decode_next, context.logits
    context.decode([(SLOT, position, [token], True)])
    token = logits(1)[0].argmax()
    for _ in range(count - 1):
        decode_next([token])
        token = logits(1)[0].argmax()
