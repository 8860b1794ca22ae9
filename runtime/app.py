"""The ASGI application: the Responses API over HTTP and over a WebSocket, on one path."""

from __future__ import annotations

import time
from contextlib import suppress

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ..protocol.modes import APPEND, WEBSOCKET
from ..protocol.opening import APPEND_MODE, APPEND_MODE_NAME, APPEND_MODE_VERSION, BETA_HEADER
from .access.api_keys import credential_of
from .http.api import Api
from .http.routes import routes
from .http_errors import exception_handlers, not_found
from .rollouts import Rollouts
from .service import Service
from .session import Session

TIMING_HEADER = "x-responsesapi-include-timing-metrics"
"""Asks for ``responsesapi.websocket_timing``, on the handshake."""


def create_app(service: Service, rollouts: Rollouts) -> Starlette:
    """The application for one model. The caller owns the engine and the rollouts, and closes both after the server has
    stopped."""
    api = Api(service, rollouts, started_at=int(time.time()))

    async def responses(websocket: WebSocket) -> None:
        await serve_websocket(websocket, rollouts)

    app = Starlette(
        routes=[
            *routes(api),
            Route("/metrics", service.metrics.endpoint),
            *([] if service.spans is None else [Route("/spans", service.spans.endpoint)]),
            WebSocketRoute("/v1/responses", responses),
        ],
        exception_handlers=exception_handlers,
    )
    app.router.default = not_found
    return app


def asks_for_append_mode(websocket: WebSocket) -> bool:
    """By the header, or by the query for clients that can't set headers (browsers)."""
    betas = [beta.strip() for value in websocket.headers.getlist(BETA_HEADER) for beta in value.split(",")]
    return APPEND_MODE in betas or APPEND_MODE_VERSION in websocket.query_params.getlist(APPEND_MODE_NAME)


async def serve_websocket(websocket: WebSocket, rollouts: Rollouts) -> None:
    """One client, from handshake to close: in append mode if it asks for it, else in OpenAI's WebSocket mode."""

    async def send(frame: str) -> None:
        # A client that is gone shows up in receive(); until then there may still be something to say.
        if websocket.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect):
                await websocket.send_text(frame)

    async def close(code: int, reason: str) -> None:
        if websocket.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect):
                await websocket.close(code, reason)

    appends = asks_for_append_mode(websocket)
    await websocket.accept(headers=[(BETA_HEADER.lower().encode(), APPEND_MODE.encode())] if appends else None)
    session = Session(rollouts, send, close, credential_of(websocket), APPEND if appends else WEBSOCKET)
    session.connection.wants_timing = websocket.headers.get(TIMING_HEADER, "").lower() == "true"
    try:
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            session.receive(message["bytes"] if text is None else text)
    finally:
        await session.disconnect()
