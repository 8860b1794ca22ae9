"""Postinference: everything that happens once, after the last token."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from ..protocol.errors import CaesuraError
from ..protocol.messages import Response, ResponseCompleted, ResponseFailed, ResponseIncomplete
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
    await emit.flush()


@asynccontextmanager
async def ending_cleanly(context: Context, emit: Emitter) -> AsyncIterator[None]:
    """However the block ends, the sequence goes back to the engine; an exception ends the Response as failed, with
    all that was sampled until then in its output."""
    try:
        yield
    except Exception as error:
        failure = translate(error)
        log.warning("response %s failed: %s", context.response.id, failure.message)
        if not emit.response.has_ended:
            emit(ResponseFailed(response=final_response(context, "failed", failure)))
            await emit.flush()
    finally:
        await context.sequence.close()


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
