"""``/v1/responses/{response_id}``: a Response that is carried out, has lately ended, or is stored."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from ...protocol.connection import ServerResponse
from ...protocol.errors import EventsLost, ResponseNotFound
from ...protocol.messages import ResponseResume
from ..access.api_keys import credential_of
from ..store import StoredResponse
from . import frames
from .api import Api, json_response
from .errors import ResponseInProgress
from .exchange import exchange
from .query import boolean, integer, response_id_of
from .responses import first_frame, refusal
from .sse import send_events

_NO_EVENT = -1
_MAX_SEQUENCE_NUMBER = 2**53


async def retrieve(api: Api, request: Request, send: Send) -> Response | None:
    """The Response as it stands; with ``stream=true`` its events after ``starting_after``, those that are kept and then
    those that come."""
    response_id, owner = response_id_of(request), credential_of(request)
    if boolean(request, "stream"):
        starting_after = integer(request, "starting_after", _NO_EVENT, _NO_EVENT, _MAX_SEQUENCE_NUMBER)
        return await _events(api, request, send, ResponseResume(response_id=response_id, starting_after=starting_after))
    return json_response(await _as_it_stands(api, response_id, owner))


async def cancel(api: Api, request: Request, _: Send) -> Response:
    """End the Response, whoever waits for it. One that has ended is answered as it is.

    The Responses API cancels those in the background alone. Here any can be cancelled while it is carried out.
    """
    response_id, owner = response_id_of(request), credential_of(request)
    live = _find(api, response_id, owner)
    if live is not None and not live.has_ended:
        await api.rollouts.cancel(live)
        return json_response(_snapshot(live))
    return json_response(await _as_it_stands(api, response_id, owner))


async def delete(api: Api, request: Request, _: Send) -> Response:
    """Forget what is stored of it. Later ones that went on from it keep what they have.

    :raises ResponseInProgress: it has not ended. It would be stored when it does.
    """
    response_id, owner = response_id_of(request), credential_of(request)
    live = _find(api, response_id, owner)
    if live is not None and not live.has_ended:
        raise ResponseInProgress(
            f"Response {response_id} has not ended. Cancel it first, or wait for its end.", param="response_id"
        )
    store = api.service.store
    if store is None or not await store.delete(response_id, owner):
        raise _not_stored(response_id)
    api.rollouts.forget(response_id, owner)
    return json_response(msgspec.json.encode({"id": response_id, "object": "response", "deleted": True}))


def in_flight(api: Api, response_id: str, owner: str) -> bool:
    """Whether it is being carried out."""
    live = _find(api, response_id, owner)
    return live is not None and not live.has_ended


async def stored(api: Api, response_id: str, owner: str) -> StoredResponse:
    """What is stored of it.

    :raises ResponseNotFound: nothing.
    """
    found = None if api.service.store is None else await api.service.store.get(response_id, owner)
    if found is None:
        raise _not_stored(response_id)
    return found


def _not_stored(response_id: str) -> ResponseNotFound:
    return ResponseNotFound(f"No Response {response_id!r} is stored here.", param="response_id")


async def _as_it_stands(api: Api, response_id: str, owner: str) -> bytes:
    live = _find(api, response_id, owner)
    if live is None or _is_stored(api, live):
        return (await stored(api, response_id, owner)).response
    return _snapshot(live)


async def _events(api: Api, request: Request, send: Send, resume: ResponseResume) -> Response | None:
    response_id, owner = resume.response_id, credential_of(request)
    live = _find(api, response_id, owner)
    if live is None or _is_stored(api, live):
        await stored(api, response_id, owner)  # what was deleted is not here, whatever is kept of it
    if live is None:
        raise EventsLost(
            f"The events of Response {response_id} are not kept any more. Get it without 'stream'.", param="stream"
        )
    if live.connection is not None and not live.is_background:
        raise ResponseInProgress(
            f"The events of Response {response_id} go to another connection, which keeps them unless it is one in the "
            "background.",
            param="response_id",
        )
    nothing_follows = live.has_ended and resume.starting_after == live.log.last
    async with exchange(api.rollouts, owner, request.receive, send) as line:
        api.rollouts.resume(line.connection, resume)
        first = await first_frame(line)
        if frames.type_of(first) == frames.ERROR:
            return refusal(first)
        await send_events(line, None if nothing_follows else first, {}, api.keep_alive)
        return None


def _find(api: Api, response_id: str, owner: str) -> ServerResponse | None:
    try:
        return api.rollouts.find(response_id, owner)
    except ResponseNotFound:
        return None


def _is_stored(api: Api, live: ServerResponse) -> bool:
    """Whether the store is to be asked: it alone knows what was deleted."""
    return api.service.store is not None and live.final is not None and live.final.store


def _snapshot(live: ServerResponse) -> bytes:
    snapshot = live.snapshot()
    assert snapshot is not msgspec.UNSET  # it has an id, so it has begun
    return msgspec.json.encode(snapshot.response)
