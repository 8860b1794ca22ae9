"""What the client raises, one tree.

    ClientError
     ├── ToolDefinitionError    a function can't be offered as a tool
     ├── ConnectionFailed       no WebSocket could be opened
     ├── ConnectionLost         a run can't go on: no connection, or the Response is gone from it
     ├── DeadlineExceeded       a run took longer than it may
     └── RunFailed              the server refused, failed or cancelled the Response

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
    """The address can't be used, nobody listens there, or the handshake was refused.

    ``is_final``: another attempt would end the same way (the address, the credentials or the server are wrong).
    """

    code = "connection_failed"

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class _RunError(ClientError):
    """Ends one run. ``partial`` is what the run had done until then (status ``in_progress`` if it was cut off)."""

    def __init__(self, message: str, partial: RunResult) -> None:
        super().__init__(message)
        self.partial = partial


class ConnectionLost(_RunError, ConnectionError):
    """The connection was lost before the Response was final, and so was the way back to it.

    ``code`` is ``connection_lost`` if there is no connection any more: every attempt failed, or the server refuses.
    ``taken_over``: another client has resumed the Response. Else it is the wire's, from the server's refusal to resume
    it (``response_not_found``: it was given up for too long, or the server was started anew).
    """

    code = "connection_lost"

    def __init__(self, message: str, partial: RunResult, *, code: str = "connection_lost") -> None:
        super().__init__(message, partial)
        self.code = code


class DeadlineExceeded(_RunError, TimeoutError):
    """The run was not over at its deadline. Its tools are cancelled, and so is its Response."""

    code = "deadline_exceeded"


class RunFailed(_RunError):
    """The server answered with an ``error`` event, with ``response.failed``, or with a ``response.cancelled`` that this
    run did not ask for (code ``cancelled``; ``partial.incomplete_reason`` says why).

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
