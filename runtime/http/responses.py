"""``POST /v1/responses``."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from ...protocol.codec import decode_create
from ...protocol.errors import InvalidValue, ResponseNotFound
from ...protocol.messages import ResponseCreate
from ..access.api_keys import credential_of
from ..http_errors import RETRY_AFTER_SECONDS
from . import frames
from .api import Api, json_response
from .exchange import Exchange, exchange
from .server_timing import timing_headers, timing_of
from .sse import send_events


async def create(api: Api, request: Request, send: Send) -> Response | None:
    """Carry a Response out: as events with ``stream``, as one object when it has ended without. One in the background
    is answered as it stands once it has begun, or with its events, and goes on whatever becomes of the connection."""
    body = await request.body()
    received_at = time.perf_counter_ns()
    message = decode_create(body, api.rollouts.limits)
    check_background(message, api)
    owner = credential_of(request)
    async with exchange(api.rollouts, owner, request.receive, send) as line:
        api.rollouts.create(line.connection, message, received_at)
        if not message.stream:
            return await final_answer(line, at_once=bool(message.background))
        first = await first_frame(line)
        if frames.type_of(first) == frames.ERROR:
            return refusal(first)
        await send_events(line, first, _timing_so_far(api, first, owner), api.keep_alive)
        return None


def _timing_so_far(api: Api, first: str, owner: str) -> dict[str, str]:
    """What is known when the headers go out: preinference."""
    if frames.type_of(first) != frames.CREATED:
        return {}
    try:
        return timing_headers(api.rollouts.find(frames.response_id_of(first), owner).timing)
    except ResponseNotFound:  # it has failed at once, and is forgotten
        return {}


def check_background(message: ResponseCreate, api: Api) -> None:
    """:raises InvalidValue: nobody could ever fetch what is done in the background."""
    if message.background and message.store is False:
        raise InvalidValue("A background Response has to be stored: leave 'store' out.", param="background")
    if message.background and api.service.store is None:
        raise InvalidValue("This server stores no Responses, so it has none in the background.", param="background")


async def first_frame(line: Exchange) -> str:
    """The first event of an exchange; nobody waits for it in vain."""
    frame = await line.next_frame()
    assert frame is not None  # without a bound on the silence
    return frame


async def final_answer(line: Exchange, *, at_once: bool = False) -> Response:
    """The Response as its last event has it, or as its first one does; an error if it never began."""
    while True:
        frame = await first_frame(line)
        kind = frames.type_of(frame)
        if kind == frames.ERROR:
            return refusal(frame)
        if kind in frames.ENDS or (at_once and kind == frames.CREATED):
            response = frames.parts_of(frame).response
            return json_response(bytes(response), timing_headers(timing_of(response)))


def refusal(frame: str) -> Response:
    """An ``error`` event as an answer."""
    parts = frames.parts_of(frame)
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if parts.status in (429, 503) else {}
    return json_response(b'{"error":%b}' % bytes(parts.error), headers, parts.status)
