"""The ASGI application: ``WS /v1/responses``, ``GET /health``, ``GET /v1/models``."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ..protocol.opening import APPEND_MODE, APPEND_MODE_NAME, APPEND_MODE_VERSION, BETA_HEADER
from .rollouts import Rollouts
from .service import Service
from .session import Session


def create_app(service: Service, rollouts: Rollouts) -> Starlette:
    """The application for one model. The caller owns the engine and the rollouts, and closes both after the server has
    stopped."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "model": service.model.name})

    async def models(_: Request) -> Response:
        names = sorted(service.model_names)
        return JSONResponse(
            {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "caesura"} for name in names]}
        )

    async def responses(websocket: WebSocket) -> None:
        if asks_for_append_mode(websocket):
            await serve_websocket(websocket, rollouts)
        else:
            await websocket.send_denial_response(_upgrade_required())

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            WebSocketRoute("/v1/responses", responses),
        ]
    )


def asks_for_append_mode(websocket: WebSocket) -> bool:
    """By the header, or by the query for clients that can't set headers (browsers)."""
    betas = [beta.strip() for value in websocket.headers.getlist(BETA_HEADER) for beta in value.split(",")]
    return APPEND_MODE in betas or APPEND_MODE_VERSION in websocket.query_params.getlist(APPEND_MODE_NAME)


def _upgrade_required() -> Response:
    message = (
        f"This server speaks append mode only. Ask for it by the header '{BETA_HEADER}: {APPEND_MODE}' or by "
        f"'?{APPEND_MODE}'."
    )
    error = {"type": "invalid_request_error", "code": "append_mode_required", "message": message, "param": None}
    return JSONResponse({"error": error}, status_code=426, headers={"Upgrade": "websocket"})  # RFC 9110, 15.5.22


async def serve_websocket(websocket: WebSocket, rollouts: Rollouts) -> None:
    """One client, from handshake to close."""

    async def send(frame: str) -> None:
        # A client that is gone shows up in receive(); until then there may still be something to say.
        if websocket.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect):
                await websocket.send_text(frame)

    async def close(code: int, reason: str) -> None:
        if websocket.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect):
                await websocket.close(code, reason)

    await websocket.accept(headers=[(BETA_HEADER.lower().encode(), APPEND_MODE.encode())])
    session = Session(rollouts, send, close, credential_of(websocket))
    try:
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            session.receive(message["bytes"] if text is None else text)
    finally:
        await session.disconnect()


def credential_of(websocket: WebSocket) -> str:
    """Who the client is, as far as it said: a digest, so that no key lies about in memory or in a log."""
    authorization = websocket.headers.get("authorization", "")
    return hashlib.sha256(authorization.encode()).hexdigest() if authorization else ""
