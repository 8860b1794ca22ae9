"""One turn of the assistant: tokens from the engine, through the reader, out as stream events."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import aclosing

from .context import Context
from .emitter import Emitter
from .pending import Call
from .turn_events import TurnEvents
from .turn_reader import TurnReader


async def sample(context: Context, emit: Emitter) -> Sequence[Call]:
    """Sample until the turn ends; stream what comes.

    :returns: the calls that the model made, in order. None at all ends the rollout: the turn was text, or it was cut
        (then ``context.cut`` says why).
    :raises SamplerError: the engine failed, or a replay has no more turns.
    :raises GuardStopped: a guard has stopped the Response; nothing of this turn is released.
    """
    if context.request.request.generate is False:
        await _warm_up(context)
        return ()
    params = context.next_params()
    if params is None:
        context.cut = "max_output_tokens"
        return ()
    reader = TurnReader(context.service.model, params)
    turn = TurnEvents(context, emit, reader)
    accounting = context.accounting
    forced = context.next_forced()
    accounting.turn_begins(emit.received_at, context.sequence)
    stream = context.sequence.sample(params, forced=forced)
    try:
        async with aclosing(stream):
            await context.pass_guards()  # prefill runs meanwhile
            async for tokens in stream:
                accounting.note_tokens(tokens, context.sequence)
                context.note_resumed()
                for sampled in tokens:
                    turn.take(reader.read(sampled))
                emit.flush()
    except BaseException:
        turn.break_off()
        raise
    finally:
        accounting.turn_ends(context.sequence)
    context.end_turn(context.sequence.finish_reason)
    turn.take(reader.finish())
    return turn.end()


async def _warm_up(context: Context) -> None:
    """Compute the input, for a Response that is to go on from it. An engine computes nothing but to sample, so one
    token is sampled, which nobody sees and nobody counts."""
    await context.pass_guards()
    async with aclosing(context.sequence.sample(dataclasses.replace(context.params, max_tokens=1))) as stream:
        async for _ in stream:
            pass
    context.before = dataclasses.replace(context.before, sampled=context.before.sampled + 1)
