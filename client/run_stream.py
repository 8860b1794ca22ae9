"""A run to watch: what ``Client.stream`` gives."""

from __future__ import annotations

from types import TracebackType

from .results import RunEvent, RunResult
from .rollout import Rollout


class RunStream:
    """The events of a run, for ``async for``; they carry it on, so it goes no further than it is read.

    A run that is left early (``break``) is given up: its tools are cancelled, and so is its Response. That happens when
    the stream is closed (``async with``, ``aclose``) or collected.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        # The generator knows the rollout, not this object: without a cycle it is closed as soon as this one is dropped.
        self._events = rollout.events()

    @property
    def result(self) -> RunResult:
        """What the run has come to; while it goes on, what it has done so far (status ``in_progress``)."""
        return self._rollout.result

    def cancel(self) -> None:
        """End the run: its tools are cancelled at once, and the server is asked to cancel its Response.

        The stream goes on until that has ended. This raises nothing, and ``result.status`` is ``cancelled``, unless the
        Response had ended otherwise by then. To leave without waiting for that, close the stream instead.
        """
        self._rollout.cancel()

    def __aiter__(self) -> RunStream:
        return self

    async def __anext__(self) -> RunEvent:
        return await anext(self._events)

    async def __aenter__(self) -> RunStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._events.aclose()
