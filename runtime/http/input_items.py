"""``GET /v1/responses/{response_id}/input_items``: what a stored Response was generated from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from ...protocol.errors import InvalidValue, ResponseNotFound
from ..access.api_keys import credential_of
from ..store import StoredItem, StoredResponse
from .api import Api, json_response
from .errors import ResponseInProgress
from .query import integer, response_id_of
from .stored import in_flight

_MAX_LIMIT = 100
_DEFAULT_LIMIT = 20
_ORDERS = ("desc", "asc")


async def input_items(api: Api, request: Request, _: Send) -> Response:
    """A page of the items, the latest first unless ``order=asc``.

    Those of the Responses that it goes on from are among them, their output too: it was generated from these as well.
    """
    response_id, owner = response_id_of(request), credential_of(request)
    limit = integer(request, "limit", _DEFAULT_LIMIT, 1, _MAX_LIMIT)
    order = request.query_params.get("order", _ORDERS[0])
    if order not in _ORDERS:
        raise InvalidValue("'order' must be asc or desc.", param="order")
    history = None if api.service.store is None else await api.service.store.history(response_id, owner)
    if history is None and in_flight(api, response_id, owner):
        raise ResponseInProgress(f"The items of Response {response_id} are stored when it ends.", param="response_id")
    if history is None:
        raise ResponseNotFound(f"No Response {response_id!r} is stored here.", param="response_id")
    items = inputs_of(history)
    if order == "desc":
        items.reverse()
    return json_response(msgspec.json.encode(page_of(items, request.query_params.get("after"), limit)))


def inputs_of(history: Sequence[StoredResponse]) -> list[StoredItem]:
    """The items that the last one of a chain was generated from, oldest first."""
    inherited = [item for response in history[:-1] for item in response.items]
    return inherited + [item for item in history[-1].items if not item.is_output]


def page_of(items: Sequence[StoredItem], after: str | None, limit: int) -> dict[str, Any]:
    begin = 0
    if after is not None:
        begin = next((at for at, item in enumerate(items, 1) if item.id == after), 0)
        if not begin:
            raise InvalidValue(f"'after' is {after[:80]!r}, which is none of the items.", param="after")
    page = items[begin : begin + limit]
    return {
        "object": "list",
        "data": [msgspec.Raw(item.body) for item in page],
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
        "has_more": begin + limit < len(items),
    }
