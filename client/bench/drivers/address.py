"""Where a server is."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ..driver import BenchError

_PORTS = {False: 80, True: 443}
_SCHEMES = {"http": False, "ws": False, "https": True, "wss": True}


@dataclass(frozen=True, slots=True)
class Address:
    """``base`` is the path that the API's own paths come after: ``/v1`` as a rule."""

    host: str
    port: int
    is_secure: bool
    base: str

    @property
    def authority(self) -> str:
        """What a Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.is_secure] else f"{host}:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"{'wss' if self.is_secure else 'ws'}://{self.authority}{self.base}/responses"

    @property
    def http_url(self) -> str:
        return f"{'https' if self.is_secure else 'http'}://{self.authority}{self.base}"


def address_of(url: str) -> Address:
    """What a user means by ``url``: http, https, ws or wss, with or without ``/v1`` and ``/responses``.

    :raises BenchError: it is no such address.
    """
    try:
        parts = urlsplit(url)
        is_secure, host, port = _SCHEMES[parts.scheme], parts.hostname, parts.port
    except (KeyError, ValueError):
        host = None
    if not host:
        raise BenchError(f"{url!r} is no address of a server; give one such as http://127.0.0.1:8080")
    base = parts.path.rstrip("/").removesuffix("/responses")
    return Address(host, port or _PORTS[is_secure], is_secure, base or "/v1")
