"""Postinference: everything that happens once, after the last token.

The last event goes out first. What comes after it, the store and the metrics, holds nobody up.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ..protocol.errors import CaesuraError
from ..protocol.events import EndEvent, ResponseCancelled, ResponseCompleted, ResponseFailed, ResponseIncomplete
from ..protocol.modes import Mode
from ..protocol.resource import Response
from ..sampler.errors import ContextLengthExceeded as SequenceFull
from .boundary import translate
from .context import Context
from .emitter import Emitter
from .history import record, remembered
from .spans import ResponseSpans

log = logging.getLogger("caesura")


async def postinference(context: Context, emit: Emitter) -> None:
    """Give the sequence back, make the final Response with its whole output, usage and costs, and end with it."""
    context.accounting.postinference_runs += 1
    with context.accounting.stage("post"):
        if not emit.response.mode.remembers:
            await context.release()
        final = final_response(context, "completed" if context.cut is None else "incomplete")
    _end(context, emit, final)


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
        _end(context, emit, final_response(context, emit.ending.status))
    except SequenceFull:
        # Outputs that were accepted before the turn was over: the turn took the room that they had.
        context.cut = "max_output_tokens"
        _end(context, emit, final_response(context, "incomplete"))
    except Exception as error:
        failure = translate(error)
        log.warning("response %s failed: %s", context.response.id, failure.message)
        _end(context, emit, final_response(context, "failed", failure))
    finally:
        await context.release()


def end_event(final: Response, mode: Mode) -> EndEvent:
    """The event that ends a Response so. The Responses API has no event for one that was cancelled: where clients know
    no other, it ends as an incomplete one whose status tells."""
    match final.status:
        case "completed":
            return ResponseCompleted(response=final)
        case "failed":
            return ResponseFailed(response=final)
        case "cancelled" if mode.pauses:
            return ResponseCancelled(response=final)
    return ResponseIncomplete(response=final)


def _end(context: Context, emit: Emitter, final: Response) -> None:
    if emit.response.has_ended:
        return
    report = _report(context)
    final = msgspec.structs.replace(final, caesura=report)
    emit.tell_timing(_timing_metrics(report))
    emit(end_event(final, emit.response.mode))
    if emit.response.mode.remembers:
        emit.remember(remembered(context, final))
    emit.flush()
    context.accounting.turn_told()
    _keep_spans(context, final.id)
    log.info("response %s %s: %s", final.id, final.status, report)
    context.service.metrics.response_ended(emit.response.mode.name, final.status, report)
    if context.service.store is not None and final.store:
        context.service.store.put(*record(context, final))


def _keep_spans(context: Context, response_id: str) -> None:
    spans, turns = context.service.spans, context.accounting.turns
    if spans is not None and turns:
        turns[-1].post_ns = context.accounting.stages_ns["post"]
        spans.add(ResponseSpans(response_id, context.request.response.mode.name, turns))


def _report(context: Context) -> dict[str, Any]:
    report = context.accounting.report(context.sequence, context.before)
    if context.tools.ignored:
        report["ignored_tools"] = list(context.tools.ignored)
    if context.warnings:
        report["guard_warnings"] = list(context.warnings)
    return report


def _timing_metrics(report: dict[str, Any]) -> dict[str, float | None]:
    """By the names of the first clients of append mode. One process has no service between API and engine: the two
    times to first token are one, and so are the two between tokens, which nobody takes."""
    stages, first = report["stages_ms"], report["preinference_ms"].get("prefill")
    return {
        "responses_duration_excl_engine_and_client_tool_time_ms": stages["api"] + stages["post"],
        "engine_service_total_ms": stages["inference"],
        "engine_iapi_ttft_total_ms": first,
        "engine_service_ttft_total_ms": first,
        "engine_iapi_tbt_across_engine_calls_ms": None,
        "engine_service_tbt_across_engine_calls_ms": None,
    }


def final_response(context: Context, status: str, error: CaesuraError | None = None) -> Response:
    """The Response as it ends, whatever it ends as."""
    return msgspec.structs.replace(
        context.response,
        status=status,
        output=context.output,
        usage=context.usage(),
        completed_at=int(time.time()) if status == "completed" else None,
        incomplete_details=_details(context, status),
        error=None if error is None else {"code": error.code, "message": error.message},
    )


def _details(context: Context, status: str) -> dict[str, str] | None:
    """Why it ends early. The Responses API has a few reasons, and none for being cancelled."""
    is_told = status == "incomplete" or (status == "cancelled" and context.request.response.mode.pauses)
    return {"reason": context.cut} if is_told and context.cut else None


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
