"""Pages of other sites, in the browser of somebody who can reach the server."""

from __future__ import annotations

import re

from .errors import AccessSettingsError, HostNotAllowed, OriginNotAllowed
from .loopback import host_name, is_loopback

ANY_ORIGIN = "*"

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")


def parse_origin(text: str) -> str:
    """An origin as an operator writes it: ``https://example.com``, ``null``, or ``*`` for all.

    :raises AccessSettingsError: it is none.
    """
    origin = text.strip().lower().removesuffix("/")
    if origin not in (ANY_ORIGIN, "null") and not _ORIGIN.fullmatch(origin):
        raise AccessSettingsError(f"{text!r} is no origin. Write it like https://example.com, or '*' for all.")
    return origin


def check_origin(origin: str, host: str, allowed: frozenset[str]) -> None:
    """Whether a request with this ``Origin`` and ``Host`` may do something. Only browsers send ``Origin``; a page's own
    server is the one that its origin names. The scheme is not compared: a proxy may speak TLS for this server.

    :raises OriginNotAllowed: it may not.
    """
    origin = origin.lower()
    is_same = bool(host) and origin.partition("://")[2] == host.lower()
    if is_same or ANY_ORIGIN in allowed or origin in allowed:
        return
    raise OriginNotAllowed(
        "Pages of this origin may not use this server. Its operator can allow them with --allow-origin."
    )


def check_host(host: str) -> None:
    """Whether a server without keys, which only this machine reaches, was asked for by a loopback name.

    A page can have its own name resolved to 127.0.0.1 (DNS rebinding): then the request comes from this machine and is
    same-origin, and only ``Host`` tells.

    :param host: empty for a client of HTTP/1.0, which is no browser.
    :raises HostNotAllowed: it was not.
    """
    if host and not is_loopback(host_name(host)):
        raise HostNotAllowed(
            "This server has no API keys, so it answers to 127.0.0.1, [::1] and localhost only. Its operator can set "
            "--api-key-file, or --no-auth to let everybody in."
        )
