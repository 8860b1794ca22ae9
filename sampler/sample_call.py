"""One `sample` call of a sequence in the engine's process, as the event loop sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from .engine import SampledToken, SamplingParams
from .sample_stream import TokenInbox


class SampleCall(TokenInbox):
    """One `sample` call: what was asked for, and what came of it.

    delivered: tokens of this call in the ledger, so a child that is started again goes on after them.
    """

    def __init__(
        self, params: SamplingParams, forced: list[int] | None, continued: int, on_stop: Callable[[], None]
    ) -> None:
        super().__init__()
        self.params = params
        self.forced = forced
        self.continued = continued
        self.delivered = 0
        self.stopping = False
        self._on_stop = on_stop
        self._loop = asyncio.get_running_loop()

    def deliver(self, tokens: Sequence[SampledToken]) -> None:
        self.delivered += len(tokens)
        super().deliver(tokens)

    def stop(self) -> None:
        """The end comes as progress, or at once when no child is there."""
        if not self._ended and not self.stopping:
            self.stopping = True
            self._on_stop()

    def abandon(self) -> None:
        if not self._ended:
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(self.stop)
