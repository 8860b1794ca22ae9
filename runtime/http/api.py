"""What the handlers of a server share, and how Starlette gets to call them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ...protocol.errors import CaesuraError, ServerFault
from ..rollouts import Rollouts
from ..service import Service
from ..store import StoreError
from .exchange import ClientGone
from .sse import KEEP_ALIVE_SECONDS

log = logging.getLogger("caesura")


@dataclass(frozen=True, slots=True)
class Api:
    """Immutable once the server runs.

    :ivar started_at: Unix time.
    :ivar keep_alive: seconds. See :data:`.sse.KEEP_ALIVE_SECONDS`.
    """

    service: Service
    rollouts: Rollouts
    started_at: int
    keep_alive: float = KEEP_ALIVE_SECONDS


Handler = Callable[[Api, Request, Send], Awaitable[Response | None]]
"""Gives its answer, or None if it has sent it itself: events go out while the request is carried out. Raises
:class:`caesura.protocol.errors.CaesuraError` before anything is sent."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The handlers of a path, by method, as an ASGI application. Starlette's own way to call a handler hands over no
    ``send``."""

    api: Api
    handlers: Mapping[str, Handler]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server leaves the body out
        try:
            response = await self.handlers[method](self.api, Request(scope, receive), send)
        except (ClientDisconnect, ClientGone):
            return
        except CaesuraError as error:
            self.api.service.metrics.error(error.code)
            raise
        except StoreError as error:
            log.error("a request failed: %s", error)
            self.api.service.metrics.error(ServerFault.code)
            raise ServerFault("What is stored can't be read now. Try again later.") from error
        if response is not None:
            await response(scope, receive, send)


def json_response(body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """JSON that is encoded already."""
    return Response(body, status, headers, media_type="application/json")
