"""Opening a WebSocket: which address a URL means, what is sent, and why it can't be had."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

import websockets
from websockets.asyncio.client import ClientConnection as WebSocket
from websockets.asyncio.client import connect

from ..protocol.opening import APPEND_MODE, BETA_HEADER
from .errors import ConnectionFailed

MAX_FRAME_BYTES = 64 << 20
"""The largest event that is accepted; the final one repeats a whole rollout's output."""

CLOSE_TIMEOUT = 2.0
"""Seconds that the other side has for its part of closing. Nothing is lost by closing without it."""

_MAY_PASS = (408, 425, 429)
"""HTTP answers below 500 that may be others later."""


async def open_websocket(address: str, headers: Mapping[str, str], open_timeout: float) -> WebSocket:
    """Connect, and ask for append mode.

    :param address: as ``responses_url`` gives it.
    :raises ConnectionFailed: there is no such server, or it refuses; the message says which.
    """
    try:
        return await connect(
            address,
            additional_headers=_with_append_mode(headers),
            compression=None,  # costs more time than it saves on a stream of small frames
            max_size=MAX_FRAME_BYTES,
            open_timeout=open_timeout,
            close_timeout=CLOSE_TIMEOUT,
            proxy=None if is_local(address) else True,
        )
    except (OSError, websockets.WebSocketException) as error:
        raise ConnectionFailed(_reason(address, error), is_final=_is_final(error)) from error


def responses_url(url: str) -> str:
    """The WebSocket address that a user means by ``url``: scheme ``ws`` or ``wss``, path ending in ``/v1/responses``.

    :raises ConnectionFailed: it is no such address.
    """
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        scheme = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}.get(parts.scheme)
        usable = scheme is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        message = f"{url!r} is not an address of a server; give one such as http://127.0.0.1:8000"
        raise ConnectionFailed(message, is_final=True)
    path = parts.path.rstrip("/")
    if not path.endswith("/responses"):
        path += "/responses" if path.endswith("/v1") else "/v1/responses"
    return urlunsplit((scheme or "", parts.netloc, path, parts.query, ""))


def _with_append_mode(headers: Mapping[str, str]) -> dict[str, str]:
    """The user may ask for other beta features in the same header: it is a list."""
    others = [value for name, value in headers.items() if name.lower() == BETA_HEADER.lower()]
    kept = {name: value for name, value in headers.items() if name.lower() != BETA_HEADER.lower()}
    return {**kept, BETA_HEADER: ", ".join([*others, APPEND_MODE])}


def is_local(address: str) -> bool:
    """A proxy from the environment can't reach this machine's own servers, and ``no_proxy`` often forgets them."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_final(error: Exception) -> bool:
    """Whether the server has answered and will answer so again. What may be the network's doing is not."""
    match error:
        case websockets.InvalidStatus():
            status = error.response.status_code
            return status < 500 and status not in _MAY_PASS
        case websockets.InvalidURI() | ssl.SSLCertVerificationError():
            return True
    return False


def _reason(address: str, error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return f"no server listens at {address}"
        case TimeoutError():
            return f"the server at {address} did not answer in time"
        case websockets.InvalidStatus():
            return f"{address} answered HTTP {error.response.status_code}, not a WebSocket"
    return f"can't connect to {address}: {error or type(error).__name__}"
