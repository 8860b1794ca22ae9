"""One turn of the assistant: tokens from the engine, through the reader, out as stream events."""

from __future__ import annotations

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
    """
    params = context.next_params()
    if params is None:
        context.cut = "max_output_tokens"
        return ()
    reader = TurnReader(context.service.model, params)
    turn = TurnEvents(context, emit, reader)
    stream = context.sequence.sample(params, forced=context.next_forced())
    async with aclosing(stream):
        async for tokens in stream:
            for sampled in tokens:
                turn.take(reader.read(sampled))
            emit.flush()
    context.end_turn(context.sequence.finish_reason)
    turn.take(reader.finish())
    return turn.end()
