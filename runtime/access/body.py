"""The bound on a request's body."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Message, Receive

from ...protocol.errors import MessageTooLarge
from .errors import UnsupportedMediaType

_MAX_DIGITS = 18
"""Python refuses to read a number of thousands of them."""


def check_media_type(content_type: bytes | None) -> None:
    """Whether a body is JSON, as far as it says. Clients differ: no type is taken for JSON, parameters for nothing.

    :raises UnsupportedMediaType: it says something else.
    """
    if content_type is None or content_type.partition(b";")[0].strip().lower() == b"application/json":
        return
    raise UnsupportedMediaType("Send the body as JSON, with 'Content-Type: application/json'.")


def bounded(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> Receive:
    """A ``receive`` that gives at most ``limit`` bytes of body and raises :class:`MessageTooLarge` in the application
    beyond that.

    :raises MessageTooLarge: the headers say that it has more.
    """
    length = headers.get(b"content-length")
    if b"transfer-encoding" not in headers:
        if length is None:
            return receive  # there is no body (RFC 9112, 6.3)
        if length.isdigit():
            if len(length) > _MAX_DIGITS or int(length) > limit:
                raise _too_large(limit)
            return receive  # the HTTP server holds the client to it
    left = limit

    async def counting() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise _too_large(limit)
        return message

    return counting


def _too_large(limit: int) -> MessageTooLarge:
    return MessageTooLarge(f"The body has more than {limit} bytes, the most that this server takes. Send less.")
