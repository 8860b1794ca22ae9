"""Both ends of the protocol under one name: :class:`.server.ServerProtocol`, :class:`.client.ClientProtocol`."""

from .client import ClientProtocol, ClientResponse, Outcome, Received
from .server import ServerProtocol
from .server_connection import ServerConnection
from .server_requests import AppendRequested, Close, CreateRequested, EndRequested, ForgetRequested, Request
from .server_response import ServerResponse

__all__ = [
    "AppendRequested",
    "ClientProtocol",
    "ClientResponse",
    "Close",
    "CreateRequested",
    "EndRequested",
    "ForgetRequested",
    "Outcome",
    "Received",
    "Request",
    "ServerConnection",
    "ServerProtocol",
    "ServerResponse",
]
