"""What the protocol core of a server asks its runtime to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .append_items import Append
from .items import InputItem
from .messages import ResponseCreate
from .server_response import ServerResponse

if TYPE_CHECKING:
    from .server_connection import ServerConnection


@dataclass(frozen=True, slots=True)
class CreateRequested:
    """A create whose turn has come. Answer with :meth:`.server.ServerProtocol.accept` or
    :meth:`.server.ServerProtocol.reject`."""

    response: ServerResponse
    request: ResponseCreate
    input: Sequence[InputItem]


@dataclass(frozen=True, slots=True)
class AppendRequested:
    """An append that the state table allows. Answer with :meth:`.server.ServerProtocol.accept` or
    :meth:`.server.ServerProtocol.reject` before the next message is received; until then the Response has not
    changed.

    ``is_repeat``: all of it is known already, and nothing has to be done but to accept it. ``raw`` is the input as it
    was sent.
    """

    response: ServerResponse
    append: Append
    is_repeat: bool
    raw: Any


@dataclass(frozen=True, slots=True)
class EndRequested:
    """End this Response: stop whatever runs for it and emit its last event, ``response.cancelled`` or
    ``response.incomplete`` as ``status`` says, with ``reason``. If it has ended already, only stop what runs."""

    response: ServerResponse
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class ForgetRequested:
    """No create of this connection will go on from this Response: drop what is kept for that."""

    connection: ServerConnection
    response_id: str


Request = CreateRequested | AppendRequested | EndRequested | ForgetRequested


@dataclass(frozen=True, slots=True)
class Close:
    """A WebSocket close code (RFC 6455, 7.4.1) and a reason for people."""

    code: int
    reason: str
