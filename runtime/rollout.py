"""The rollout: one long-running Response, from the first token to the last, as one coroutine.

This is the design that the project exists for. Preinference runs once. The loop samples until the model has made its
calls, waits for their outputs, adds only the new tokens, and samples on from the very token where it stopped.
Postinference runs once. Nothing is rendered, tokenised or computed a second time, because nothing is ever forgotten:
the coroutine itself is the state.
"""

from __future__ import annotations

from ..protocol.connection import CreateRequested
from .emitter import Emitter
from .pending import Answers, LocalTools
from .postinference import ending_cleanly, postinference
from .preinference import preinference
from .service import Service
from .turn import sample


async def rollout(request: CreateRequested, service: Service, emit: Emitter, local: LocalTools) -> None:
    """Carry one Response out. ``local`` is where the session puts what the client appends.

    :raises InvalidRequest, Overloaded: from preinference; no Response has been created then. Whatever goes wrong
        later ends the Response as failed, on the wire.
    """
    context = await preinference(request, service, emit)
    answers = Answers(context, emit, local)
    async with ending_cleanly(context, emit):
        while calls := await sample(context, emit):
            outputs = await answers(calls)
            if outputs is None:  # not in append mode: the client's next request brings them
                break
            context.extend(context.render(calls, outputs))
        await postinference(context, emit)
        if context.unanswered is not None and emit.response.mode.remembers:
            context.anticipate(context.unanswered.calls)
