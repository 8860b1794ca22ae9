"""How many may be served at once, in all and for a credential."""

from __future__ import annotations

from ...protocol.errors import Overloaded
from .errors import RateLimitExceeded


class Slots:
    """Counts what is open.

    :param what: names it in messages, in the plural.
    :param limit: for all.
    :param per_credential: for each. Clients without a credential can't be told apart: only ``limit`` holds for them.
    """

    def __init__(self, what: str, limit: int, per_credential: int | None = None) -> None:
        self._what = what
        self._limit = limit
        self._per_credential = limit if per_credential is None else per_credential
        self._taken = 0
        self._taken_by: dict[str, int] = {}

    def take(self, credential: str) -> None:
        """Take one; :meth:`give_back` ends that.

        :raises Overloaded: the server has no room.
        :raises RateLimitExceeded: the credential has no room.
        """
        if self._taken >= self._limit:
            raise Overloaded(f"The server has no room for more {self._what}. Try again later.")
        own = self._taken_by.get(credential, 0)
        if credential and own >= self._per_credential:
            raise RateLimitExceeded(
                f"This API key has {own} {self._what}, the most that it may have. Try again when one has ended."
            )
        self._taken += 1
        self._taken_by[credential] = own + 1

    def give_back(self, credential: str) -> None:
        self._taken -= 1
        left = self._taken_by[credential] - 1
        if left:
            self._taken_by[credential] = left
        else:
            del self._taken_by[credential]
