"""The ASGI middleware that asks: who is it, from where, how much, and is there room?

Plain ASGI, since starlette's ``BaseHTTPMiddleware`` copies every chunk of a stream through a task of its own, and hides
from the application that the client is gone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...protocol.errors import CaesuraError
from ...protocol.limits import DEFAULT_LIMITS
from ..http_errors import refuse
from ..metrics import Metrics
from .api_keys import ApiKeys, credential
from .body import bounded, check_media_type
from .errors import HeadersTooLarge
from .origins import check_host, check_origin
from .slots import Slots

PUBLIC_PATHS = frozenset({"/health"})
"""Answered to everybody, however much goes on: a supervisor asks whether the server lives."""

UNCOUNTED_PATHS = frozenset({"/metrics"})
"""Answered with no room left, since then they are needed most."""

_WANTED = frozenset({b"host", b"origin", b"authorization", b"content-type", b"content-length", b"transfer-encoding"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}

CLIENT_GONE = 499
"""The status that is counted for a request whose client left before there was an answer; it is never sent."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much.

    :ivar max_body_bytes: of a request.
    :ivar max_header_bytes: request line and headers, of a request or handshake.
    :ivar max_connections: WebSockets that are open at once.
    :ivar max_requests: requests in flight over HTTP; a stream is in flight until its end.
    :ivar max_requests_per_credential: of one API key.
    """

    max_body_bytes: int = DEFAULT_LIMITS.max_message_bytes
    max_header_bytes: int = 32 << 10
    max_connections: int = 4096
    max_requests: int = 1024
    max_requests_per_credential: int = 512


@dataclass(frozen=True, slots=True)
class Access:
    """Who. The default lets everybody in.

    :ivar keys: None if none are needed.
    :ivar allowed_origins: whose pages may use the server; ``*`` for all.
    :ivar loopback_names_only: refuse requests whose ``Host`` is no loopback name.
    """

    keys: ApiKeys | None = None
    allowed_origins: frozenset[str] = frozenset()
    loopback_names_only: bool = False
    bounds: Bounds = Bounds()


def guarded(app: ASGIApp, access: Access, metrics: Metrics | None = None) -> ASGIApp:
    """The application behind everything that ``access`` says. What it lets through reaches the application unchanged;
    what it refuses is answered in the API's error shape, a WebSocket's handshake too."""
    guard = _Guard(app, access, Metrics() if metrics is None else metrics)
    if not access.allowed_origins:
        return guard
    # Outermost: preflights carry no key, and a page can read an error only if that has these headers too.
    return CORSMiddleware(
        guard,
        allow_origins=sorted(access.allowed_origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Retry-After", "Server-Timing", "WWW-Authenticate"],
    )


class _Guard:
    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics
        bounds = access.bounds
        self._requests = Slots("requests in flight", bounds.max_requests, bounds.max_requests_per_credential)
        self._connections = Slots("open WebSockets", bounds.max_connections)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._observe(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = CLIENT_GONE

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begin = time.perf_counter()
        try:
            if scope["path"] in PUBLIC_PATHS:
                await self._app(scope, receive, observed)
            else:
                await self._http(scope, receive, observed)
        finally:
            # Nothing that a client makes up becomes a label: each new value costs memory for good.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.http_request(method, route, status, time.perf_counter() - begin)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = self._headers(scope)
            owner = self._admit(headers, changes_state=scope["method"] not in _SAFE_METHODS)
            if scope["method"] == "POST":
                check_media_type(headers.get(b"content-type"))
            receive = bounded(receive, headers, self._access.bounds.max_body_bytes)
            is_counted = scope["path"] not in UNCOUNTED_PATHS
            if is_counted:
                self._requests.take(owner)
        except CaesuraError as error:
            self._metrics.error(error.code)
            await refuse(error, scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if is_counted:
                self._requests.give_back(owner)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            owner = self._admit(self._headers(scope), changes_state=True)
            self._connections.take(owner)
        except CaesuraError as error:
            self._metrics.error(error.code)
            await refuse(error, scope, receive, send)
            return
        self._metrics.websocket_opened()
        try:
            await self._app(scope, receive, send)
        finally:
            self._metrics.websocket_closed()
            self._connections.give_back(owner)

    def _headers(self, scope: Scope) -> dict[bytes, bytes]:
        """Those that are looked at; of one that comes twice the first, as starlette does.

        :raises HeadersTooLarge: the request line and headers take more bytes than allowed.
        """
        size = len(scope["path"]) + len(scope.get("query_string", b""))
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            size += len(name) + len(value) + 4
            if name in _WANTED:
                found.setdefault(name, value)
        limit = self._access.bounds.max_header_bytes
        if size > limit:
            raise HeadersTooLarge(f"The headers have more than {limit} bytes, the most that this server takes.")
        return found

    def _admit(self, headers: dict[bytes, bytes], *, changes_state: bool) -> str:
        """The credential of a client that may go on.

        :raises CaesuraError: it may not.
        """
        access = self._access
        host = headers.get(b"host", b"").decode("latin-1")
        if access.loopback_names_only:
            check_host(host)
        if changes_state and b"origin" in headers:
            check_origin(headers[b"origin"].decode("latin-1"), host, access.allowed_origins)
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        return credential(authorization) if access.keys is None else access.keys.check(authorization)
