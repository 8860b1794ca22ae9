"""``GET /v1/models``, ``GET /v1/models/{model}`` and ``GET /health``."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from ...protocol.errors import ModelNotFound
from .api import Api, json_response


async def health(api: Api, _: Request, __: Send) -> Response:
    return json_response(msgspec.json.encode({"status": "ok", "model": api.service.model.name}))


async def list_models(api: Api, _: Request, __: Send) -> Response:
    """All names that the model goes by."""
    models = [_model(api, name) for name in sorted(api.service.model_names)]
    return json_response(msgspec.json.encode({"object": "list", "data": models}))


async def get_model(api: Api, request: Request, _: Send) -> Response:
    """:raises ModelNotFound: nothing here goes by that name."""
    name = str(request.path_params["model"])
    if name not in api.service.model_names:
        raise ModelNotFound(f"No model {name[:80]!r} here.", param="model")
    return json_response(msgspec.json.encode(_model(api, name)))


def _model(api: Api, name: str) -> dict[str, Any]:
    """``created`` is when this server began to serve it; a GGUF doesn't say when it was made."""
    return {"id": name, "object": "model", "created": api.started_at, "owned_by": "caesura"}
