"""Every path of the Responses API that is spoken over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.routing import Route

from .api import Api, Endpoint, Handler
from .compact import compact
from .input_items import input_items
from .models import get_model, health, list_models
from .responses import create
from .stored import cancel, delete, retrieve

_HANDLERS: Mapping[str, Mapping[str, Handler]] = {
    "/health": {"GET": health},
    "/v1/models": {"GET": list_models},
    "/v1/models/{model:path}": {"GET": get_model},
    "/v1/responses": {"POST": create},
    "/v1/responses/compact": {"POST": compact},
    "/v1/responses/{response_id}": {"GET": retrieve, "DELETE": delete},
    "/v1/responses/{response_id}/cancel": {"POST": cancel},
    "/v1/responses/{response_id}/input_items": {"GET": input_items},
}


def routes(api: Api) -> list[Route]:
    """The API's routes, for Starlette."""
    return [Route(path, Endpoint(api, handlers), methods=list(handlers)) for path, handlers in _HANDLERS.items()]
