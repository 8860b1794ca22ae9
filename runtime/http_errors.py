"""Errors as answers over HTTP, all in the Responses API's shape::

{"error": {"message": "...", "type": "...", "param": null, "code": "..."}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from ..protocol.errors import CaesuraError

RETRY_AFTER_SECONDS = 1
"""What a client that found no room is told. What it waits for ends at any time; clients back off by themselves."""

_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": str(RETRY_AFTER_SECONDS)},
    503: {"Retry-After": str(RETRY_AFTER_SECONDS)},
}

_CODES = {404: "unknown_url", 405: "method_not_allowed"}


def error_response(error: CaesuraError) -> Response:
    """The answer that carries an error: its status, and the headers that go with that."""
    return _response(error.status, error.message, error.type, error.param, error.code, _HEADERS.get(error.status))


async def refuse(error: CaesuraError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or a WebSocket's handshake, with an error."""
    await error_response(error)(scope, receive, send)


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """For ``router.default`` of a :class:`~starlette.applications.Starlette` application: starlette's own answers a
    handshake for an unknown path with 403."""
    raise HTTPException(404)


def _response(
    status: int, message: str, kind: str, param: str | None, code: str, headers: Mapping[str, str] | None
) -> Response:
    # ASCII: a message may quote what came, and a lone surrogate can't be encoded.
    body = json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})
    return Response(body, status, headers, "application/json")


async def _caesura_error(_: HTTPConnection, error: CaesuraError) -> Response:
    return error_response(error)


async def _http_exception(connection: HTTPConnection, error: HTTPException) -> Response:
    """What starlette itself says: an unknown path, a method that the path doesn't have."""
    path = connection.scope["path"]
    status = error.status_code
    headers = dict(error.headers or {})
    message = error.detail
    if status == 404:
        message = f"There is nothing at {path}. The API begins at /v1."
    elif status == 405:
        headers["Allow"] = ", ".join(sorted(_methods_of(connection)))
        message = f"{path} has no {connection.scope['method']}, but {headers['Allow']}."
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = _CODES.get(status, HTTPStatus(status).name.lower())
    return _response(status, message, kind, None, code, headers)


def _methods_of(connection: HTTPConnection) -> set[str]:
    """Of all routes of the path: starlette names those of the first one."""
    app: Starlette = connection.app
    return {
        method
        for route in app.routes
        if isinstance(route, Route) and route.matches(connection.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


async def _client_gone(_: HTTPConnection, error: Exception) -> Response:
    """Nobody reads it. Without it the log would show a traceback."""
    return Response(status_code=400)


async def _bug(_: HTTPConnection, error: Exception) -> Response:
    """The error itself is logged by the server."""
    message = "Something broke on the server's side. The request was not at fault; it may be tried again."
    return _response(500, message, "server_error", None, "server_error", None)


exception_handlers: dict[Any, Any] = {
    CaesuraError: _caesura_error,
    HTTPException: _http_exception,
    ClientDisconnect: _client_gone,
    Exception: _bug,
}
"""For :class:`~starlette.applications.Starlette`. Endpoints raise a :class:`CaesuraError`; it becomes the answer."""
