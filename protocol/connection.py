"""Both ends of a connection under one name: :class:`.server.ServerConnection`, :class:`.client.ClientConnection`."""

from .client import ClientConnection, Received
from .server import AppendRequested, CreateRequested, Request, ResponseCancelled, ServerConnection

__all__ = [
    "AppendRequested",
    "ClientConnection",
    "CreateRequested",
    "Received",
    "Request",
    "ResponseCancelled",
    "ServerConnection",
]
