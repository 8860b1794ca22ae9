"""What the client raises, one tree.

    ClientError
     ├── ToolDefinitionError    a function can't be offered as a tool
     ├── ConnectionFailed       no WebSocket could be opened
     ├── ConnectionLost         it closed while a run was going on
     └── RunFailed              the server refused or failed the Response

Each has a ``code``: the wire's where the server sent one, else one of the client's own, given as
the class attribute here. Errors of the wire itself (a server that breaks the protocol) are
``caesura.protocol.errors``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .results import RunResult


class ClientError(Exception):
    """The base of everything that this package raises on purpose."""

    code = "client_error"


class ToolDefinitionError(ClientError, TypeError):
    """A function whose signature can't be written as a JSON schema; the message names it and the parameter."""

    code = "invalid_tool_definition"


class ConnectionFailed(ClientError, ConnectionError):
    """The address can't be used, nobody listens there, or the handshake was refused."""

    code = "connection_failed"


class _RunError(ClientError):
    """Ends one run. ``partial`` is what the run had done until then (status ``in_progress`` if it was cut off)."""

    def __init__(self, message: str, partial: RunResult) -> None:
        super().__init__(message)
        self.partial = partial


class ConnectionLost(_RunError, ConnectionError):
    """The connection closed before the Response was final."""

    code = "connection_lost"


class RunFailed(_RunError):
    """The server answered with an ``error`` event or with ``response.failed``.

    ``code``, ``type``, ``status`` and ``param`` are the wire's own (``status`` and ``param`` may be None).
    """

    def __init__(
        self,
        message: str,
        partial: RunResult,
        *,
        code: str,
        type: str | None = None,
        status: int | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, partial)
        self.code = code
        self.type = type
        self.status = status
        self.param = param
