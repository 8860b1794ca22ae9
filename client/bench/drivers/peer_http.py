"""HTTP to servers that say they keep a connection, and don't."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..driver import BenchError
from ..script import Json
from .transports import OverHttp
from .turn import PendingTurn

TurnT = TypeVar("TurnT", bound=PendingTurn)


class OverPeerHttp(OverHttp):
    """A request a turn; once more, on a new connection, where the one before was closed before a byte of the answer.

    llama-server (of llama-cpp-python 0.3.36) closes after every event stream, while its headers promise to go on. The
    next request may be written before that is noticed. It is lost then for want of a reader: nothing has been sampled.
    """

    async def ask(self, path: str, body: Json, make_turn: Callable[[], TurnT]) -> TurnT:
        """The turn, ended well.

        :raises BenchError: it has no good end.
        """
        used = self.http.link is not None and self.http.link.is_open
        turn = make_turn()
        try:
            await self.play(path, body, turn)
        except BenchError:
            link = self.http.link
            if not used or self.http.meter.first_byte or (link is not None and link.is_open):
                raise
            turn = make_turn()
            await self.play(path, body, turn)
        return turn
