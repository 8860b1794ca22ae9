"""Postinference: everything that happens once, after the last token."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from ..protocol.errors import CaesuraError
from ..protocol.events import ResponseCancelled, ResponseCompleted, ResponseFailed, ResponseIncomplete
from ..protocol.resource import Response
from ..sampler.errors import ContextLengthExceeded as SequenceFull
from .boundary import translate
from .context import Context
from .emitter import Emitter

log = logging.getLogger("caesura")


async def postinference(context: Context, emit: Emitter) -> None:
    """Give the sequence back, make the final Response with its whole output, usage and costs, and end with it."""
    context.accounting.postinference_runs += 1
    with context.accounting.stage("post"):
        await context.sequence.close()
        final = final_response(context, "completed" if context.cut is None else "incomplete")
    report = context.accounting.report(context.sequence.ledger, context.sequence.inference_ns)
    final = msgspec.structs.replace(final, caesura=report)
    log.info("response %s %s: %s", final.id, final.status, report)
    emit(ResponseCompleted(response=final) if context.cut is None else ResponseIncomplete(response=final))
    emit.flush()


@asynccontextmanager
async def ending_cleanly(context: Context, emit: Emitter) -> AsyncIterator[None]:
    """However the block ends, the sequence goes back to the engine, and the Response ends with all that was sampled
    until then in its output: as failed by an exception, as ``emit.ending`` says if the task was cancelled for that."""
    try:
        yield
    except asyncio.CancelledError:
        if emit.ending is None:
            raise
        context.cut = emit.ending.reason
        _end(emit, final_response(context, emit.ending.status))
    except SequenceFull:
        # Outputs that were accepted before the turn was over: the turn took the room that they had.
        context.cut = "max_output_tokens"
        _end(emit, final_response(context, "incomplete"))
    except Exception as error:
        failure = translate(error)
        log.warning("response %s failed: %s", context.response.id, failure.message)
        _end(emit, final_response(context, "failed", failure))
    finally:
        await context.sequence.close()


_END_EVENTS: dict[str, type[ResponseCancelled] | type[ResponseIncomplete] | type[ResponseFailed]] = {
    "cancelled": ResponseCancelled,
    "incomplete": ResponseIncomplete,
    "failed": ResponseFailed,
}


def _end(emit: Emitter, final: Response) -> None:
    if not emit.response.has_ended:
        emit(_END_EVENTS[final.status](response=final))
        emit.flush()


def final_response(context: Context, status: str, error: CaesuraError | None = None) -> Response:
    """The Response as it ends, whatever it ends as."""
    return msgspec.structs.replace(
        context.response,
        status=status,
        output=context.output,
        usage=context.usage(),
        completed_at=int(time.time()) if status == "completed" else None,
        incomplete_details=None if context.cut is None else {"reason": context.cut},
        error=None if error is None else {"code": error.code, "message": error.message},
    )


def new_response_id() -> str:
    return f"resp_{uuid.uuid4().hex}"


def response_never_begun(model: str | None, reason: str, now: float) -> Response:
    """What is said of a Response that was cancelled before it began. ``now`` is Unix time."""
    return Response(
        id=new_response_id(),
        created_at=int(now),
        status="cancelled",
        model=model or "",
        incomplete_details={"reason": reason},
    )
