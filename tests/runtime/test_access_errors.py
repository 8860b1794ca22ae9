"""Errors as a Starlette application answers them over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from caesura.protocol import errors as protocol_errors
from caesura.protocol.errors import CaesuraError, InvalidValue, MessageTooLarge, Overloaded
from caesura.runtime.access import errors as access_errors
from caesura.runtime.access.guard import Access, Bounds, guarded
from caesura.runtime.http_errors import error_response, exception_handlers, not_found
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message
from starlette.websockets import WebSocket

SECONDS = 10


async def fine(request: Request) -> Response:
    return Response(await request.body())


async def refused(request: Request) -> Response:
    raise InvalidValue("No \ud800, please.", param="input[0]")


async def broken(request: Request) -> Response:
    raise ZeroDivisionError("a secret of the server")


async def refused_handshake(websocket: WebSocket) -> None:
    raise Overloaded("Full.")


@pytest.fixture
def app() -> Starlette:
    app = Starlette(
        routes=[
            Route("/v1/fine", fine, methods=["POST"]),
            Route("/v1/thing/{thing}", fine, methods=["GET"]),
            Route("/v1/thing/{thing}", fine, methods=["DELETE"]),
            Route("/v1/refused", refused),
            Route("/v1/broken", broken),
            WebSocketRoute("/v1/full", refused_handshake),
        ],
        exception_handlers=exception_handlers,
    )
    app.router.default = not_found
    return app


def answer(
    app: ASGIApp, method: str, path: str, *, kind: str = "http", received: list[Message] | None = None
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and error."""
    sent: list[Message] = []
    messages = list(received or [{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        async with asyncio.timeout(SECONDS):
            await app(
                {
                    "type": kind,
                    "method": method,
                    "path": path,
                    "query_string": b"",
                    "headers": [(b"host", b"["), (b"transfer-encoding", b"chunked")],
                },
                receive,
                send,
            )

    try:
        asyncio.run(main())
    except ZeroDivisionError:
        assert path == "/v1/broken"  # starlette lets the server log it, after the answer
    start, body = sent
    prefix = "websocket." if kind == "websocket" else ""
    assert start["type"] == f"{prefix}http.response.start"
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert headers["content-type"] == "application/json"
    error = json.loads(body["body"])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return start["status"], headers, error


def test_an_error_of_an_endpoint(app: Starlette) -> None:
    status, _, error = answer(app, "GET", "/v1/refused")
    assert status == 400
    assert error == {
        "message": "No \ud800, please.",
        "type": "invalid_request_error",
        "param": "input[0]",
        "code": "invalid_value",
    }


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/unknown", "/v1/thing/"])
def test_an_unknown_path(app: Starlette, path: str) -> None:
    for kind in ("http", "websocket"):
        status, _, error = answer(app, "GET", path, kind=kind)
        assert (status, error["code"], error["type"]) == (404, "unknown_url", "invalid_request_error")
        assert path in error["message"]


def test_a_method_that_the_path_does_not_have(app: Starlette) -> None:
    status, headers, error = answer(app, "GET", "/v1/fine")
    assert (status, error["code"], headers["allow"]) == (405, "method_not_allowed", "POST")
    status, headers, _ = answer(app, "POST", "/v1/thing/x")
    assert (status, headers["allow"]) == (405, "DELETE, GET, HEAD")


def test_a_bug(app: Starlette) -> None:
    status, _, error = answer(app, "GET", "/v1/broken")
    assert (status, error["code"], error["type"]) == (500, "server_error", "server_error")
    assert "secret" not in error["message"]


def test_a_handshake_that_an_endpoint_refuses(app: Starlette) -> None:
    status, headers, error = answer(app, "GET", "/v1/full", kind="websocket")
    assert (status, error["code"], headers["retry-after"]) == (503, "server_overloaded", "1")


def test_a_body_that_turns_out_too_large(app: Starlette) -> None:
    chunks: list[Message] = [{"type": "http.request", "body": b"x" * 6, "more_body": True}] * 2
    status, _, error = answer(
        guarded(app, Access(bounds=Bounds(max_body_bytes=10))), "POST", "/v1/fine", received=chunks
    )
    assert (status, error["code"]) == (413, MessageTooLarge.code)


def test_a_client_that_leaves_while_it_sends_is_no_bug(app: Starlette) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/fine", "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 400


def tree(kind: type[CaesuraError]) -> list[type[CaesuraError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]


@pytest.mark.parametrize("kind", tree(CaesuraError))
def test_every_error_has_an_answer(kind: type[CaesuraError]) -> None:
    response = error_response(kind("Why.", param="a.b"))
    assert response.status_code == kind.status
    assert json.loads(bytes(response.body)) == {
        "error": {"message": "Why.", "type": kind.type, "param": "a.b", "code": kind.code}
    }
    assert ("retry-after" in response.headers) == (kind.status in (429, 503))
    assert ("www-authenticate" in response.headers) == (kind.status == 401)


def test_codes_are_not_used_twice() -> None:
    """Those of the tree of the protocol and those of access together; kinds that only group others share a code."""
    modules = (protocol_errors.__name__, access_errors.__name__)
    codes = [kind.code for kind in tree(CaesuraError) if kind.__module__ in modules and not kind.__subclasses__()]
    twice = {code for code in codes if codes.count(code) > 1}
    assert twice <= {"server_error", "protocol_violation"}
