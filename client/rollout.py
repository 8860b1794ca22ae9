"""One run: from ``response.create`` to the Response's end, with the local tools run in its pauses."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType

import msgspec

from ..protocol.items import FunctionCallOutput
from ..protocol.messages import (
    ErrorEvent,
    Response,
    ResponseCompleted,
    ResponseCreate,
    ResponseDone,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
    Usage,
)
from ..protocol.response import ResponseMachine
from .errors import ConnectionLost, RunFailed
from .link import Closed, Exchange, Link
from .local_tools import ToolBox, ToolCall
from .results import RunEvent, RunResult, ToolFinished, ToolStarted


class RunStream:
    """The events of a run, for ``async for``; they carry it on, so it goes no further than it is read.

    A run that is left early (``break``) is given up: its tools are cancelled, and no more is sent for it. That happens
    when the stream is closed (``async with``, ``aclose``) or collected.
    """

    def __init__(self, link: Link, request: ResponseCreate, tools: ToolBox) -> None:
        self._rollout = Rollout(link, request, tools)
        # The generator knows the rollout, not this object: without a cycle it is closed as soon as this one is dropped.
        self._events = self._rollout.events()

    @property
    def result(self) -> RunResult:
        """What the run has come to; while it goes on, what it has done so far (status ``in_progress``)."""
        return self._rollout.result

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


class Rollout:
    """The state of one run, and ``events``, the coroutine that carries it through."""

    def __init__(self, link: Link, request: ResponseCreate, tools: ToolBox) -> None:
        self._link = link
        self._request = request
        self._tools = tools
        self._machine = ResponseMachine()
        self._usage: Usage | None = None
        self._final: Response | None = None
        self._tool_calls: list[ToolCall] = []
        self._client_tools_s = 0.0
        self._started_at = self._ended_at = time.perf_counter()

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """Raises ``ConnectionLost`` or ``RunFailed``; both carry the result so far."""
        async with self._link.begin(self._request) as exchange:
            self._machine = exchange.response
            self._started_at = exchange.started_at
            while self._final is None:
                event = await self._next(exchange)
                self._note(event)
                yield event
                if isinstance(event, ResponseDone):
                    async with aclosing(self._pause(exchange)) as own_events:
                        async for own_event in own_events:
                            yield own_event
        if self._final.status == "failed":
            error = self._final.error or {}
            raise RunFailed(
                f"the Response failed: {error.get('message') or 'the server gave no reason'}",
                self.result,
                code=error.get("code") or "server_error",
            )

    async def _next(self, exchange: Exchange) -> ResponseEvent:
        received = await exchange.receive()
        self._ended_at = time.perf_counter()
        if isinstance(received, Closed):
            raise ConnectionLost(received.reason, self.result)
        event = received.event
        if isinstance(event, ErrorEvent):
            error = event.error
            raise RunFailed(
                f"the server answered {error.code}: {error.message}",
                self.result,
                code=error.code,
                type=error.type,
                status=event.status,
                param=error.param,
            )
        return event

    def _note(self, event: ResponseEvent) -> None:
        match event:
            case ResponseDone():
                self._usage = event.response.usage or self._usage
            case ResponseCompleted() | ResponseIncomplete() | ResponseFailed():
                self._usage = event.response.usage or self._usage
                self._final = event.response

    async def _pause(self, exchange: Exchange) -> AsyncGenerator[ToolStarted | ToolFinished, None]:
        """Run the calls that wait, and append their outputs in the order in which they were sampled."""
        response = exchange.response
        pause = response.num_pauses
        calls = list(response.pending_calls.values())
        for call in calls:
            yield ToolStarted(pause, call)
        if not calls:
            raise RunFailed("the server paused without a call to answer", self.result, code="nothing_to_append")
        answers: dict[str, ToolCall] = {}
        async with aclosing(self._tools.run(calls)) as finished:
            async for answered in finished:
                answers[answered.call.call_id] = answered
                self._tool_calls.append(answered)
                yield ToolFinished(pause, answered)
        started_at = min(each.started_at for each in answers.values())
        self._client_tools_s += max(each.started_at + each.seconds for each in answers.values()) - started_at
        if not response.has_ended:  # it may have failed, or the connection have closed, while the tools ran
            await exchange.append(
                [FunctionCallOutput(call_id=call.call_id, output=answers[call.call_id].output.text) for call in calls]
            )

    @property
    def result(self) -> RunResult:
        final = self._final
        details = final.incomplete_details if final else None
        stats = final.caesura if final and final.caesura is not msgspec.UNSET else {}
        return RunResult(
            response_id=self._machine.id,
            status=final.status if final else "in_progress",
            output=tuple(final.output if final else self._machine.output),
            incomplete_reason=details.get("reason") if details else None,
            usage=self._usage,
            tool_calls=tuple(self._tool_calls),
            pauses=self._machine.num_pauses,
            stats=stats,
            client_tools_ms=self._client_tools_s * 1000,
            wall_ms=(self._ended_at - self._started_at) * 1000,
        )
