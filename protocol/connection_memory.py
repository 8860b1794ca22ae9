"""The ended Responses of a connection that its creates can go on from, and what the runtime has to drop for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .lineage import Lineage
from .server_requests import ForgetRequested, Request
from .server_response import ServerResponse

if TYPE_CHECKING:
    from .server_connection import ServerConnection


class ConnectionMemory:
    """A :class:`.lineage.Lineage` that asks the runtime to forget what it forgets.

    :param request: takes what the runtime is asked for.
    """

    def __init__(self, connection: ServerConnection, capacity: int, request: Callable[[Request], None]) -> None:
        self._connection = connection
        self._lineage = Lineage(capacity)
        self._request = request

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._lineage

    def use(self, response_id: str) -> None:
        """A create goes on from this one."""
        self._lineage.use(response_id)

    def ended(self, response: ServerResponse, *, failed: bool) -> None:
        """A Response of the connection has ended: later creates may go on from it, unless it failed or was ended."""
        if failed:
            self.failed(response.previous_response_id, response.stream_id)
        elif response.mode.remembers and not response.is_ending:
            for response_id in self._lineage.add(response.id or "", response.stream_id):
                self._forget(response_id)

    def failed(self, previous_response_id: str | None, stream_id: str | None) -> None:
        """A create could not be carried out."""
        if previous_response_id is not None and self._lineage.fail(previous_response_id, stream_id):
            self._forget(previous_response_id)

    def forget(self, response_id: str) -> None:
        """No create is to go on from it any more."""
        if self._lineage.discard(response_id):
            self._forget(response_id)

    def forget_oldest(self) -> None:
        """Make room: forget the one that was of use longest ago."""
        if oldest := self._lineage.pop_oldest():
            self._forget(oldest)

    def clear(self) -> None:
        """Forget all: the connection is gone."""
        for response_id in self._lineage.clear():
            self._forget(response_id)

    def _forget(self, response_id: str) -> None:
        self._request(ForgetRequested(self._connection, response_id))
