"""The ASGI application: ``WS /v1/responses``, ``GET /health``, ``GET /v1/models``."""

from __future__ import annotations

from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from .service import Service
from .session import Session


def create_app(service: Service) -> Starlette:
    """The application for one model. The caller owns the engine and closes it after the server has stopped."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "model": service.model.name})

    async def models(_: Request) -> Response:
        names = sorted(service.model_names)
        return JSONResponse(
            {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "caesura"} for name in names]}
        )

    async def responses(websocket: WebSocket) -> None:
        await serve_websocket(websocket, service)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            WebSocketRoute("/v1/responses", responses),
        ]
    )


async def serve_websocket(websocket: WebSocket, service: Service) -> None:
    """One client, from handshake to close. Nothing that the client sends ends it but its own close."""

    async def send(frame: str) -> None:
        # A client that is gone shows up in receive(); until then its rollouts may still have something to say.
        if websocket.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect):
                await websocket.send_text(frame)

    await websocket.accept()
    session = Session(service, send)
    try:
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            await session.receive(message["bytes"] if text is None else text)
    finally:
        await session.close()
