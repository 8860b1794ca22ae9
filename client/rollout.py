"""One run: from ``response.create`` to the Response's end, with the local tools that it calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import msgspec

from ..protocol.errors import InvalidRequest
from ..protocol.events import (
    ErrorEvent,
    OutputItemDone,
    ResponseCancelled,
    ResponseCompleted,
    ResponseDone,
    ResponseFailed,
    ResponseIncomplete,
)
from ..protocol.items import FunctionCall, FunctionCallOutput
from ..protocol.limits import DEFAULT_LIMITS
from ..protocol.messages import ResponseCreate
from ..protocol.resource import Response, Usage
from ..protocol.response import ResponseMachine
from .errors import ConnectionLost, DeadlineExceeded, RunFailed
from .exchange import Closed, Delivery, Exchange
from .link import Link
from .local_tools import ToolBox, ToolCall
from .results import EventsLost, RunEvent, RunResult, ToolFinished, ToolStarted
from .running_tools import RunningTools


class Rollout:
    """The state of one run, and ``events``, the coroutine that carries it through.

    What the server sends and what tools come to arrive in one inbox, so the run waits for whichever is first. Reading
    an event is what starts tools and sends their outputs: the run goes no further than it is read.
    """

    def __init__(
        self, link: Link, request: ResponseCreate, tools: ToolBox, *, deadline: float | None, early_tools: bool
    ) -> None:
        self._link = link
        self._request = request
        self._deadline = deadline
        self._early_tools = early_tools
        self._inbox: asyncio.Queue[Delivery | asyncio.Task[ToolCall]] = asyncio.Queue()
        self._tools = RunningTools(tools, self._inbox.put_nowait)
        self._exchange: Exchange | None = None
        self._due: float | None = None
        self._usage: Usage | None = None
        self._final: Response | None = None
        self._is_cancel_wanted = False
        self._is_withdrawn = False
        self._num_pauses = 0
        self._pause_of: dict[str, int] = {}
        self._unsent: dict[str, ToolCall] = {}
        self._tool_calls: list[ToolCall] = []
        self._started_at = self._ended_at = time.perf_counter()

    def cancel(self) -> None:
        """Cancel the tools that run, and ask the server to end the Response."""
        self._is_cancel_wanted = True
        self._tools.cancel()
        if self._exchange is not None:
            self._link.cancel(self._exchange)

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """Raises ``ConnectionLost``, ``DeadlineExceeded`` or ``RunFailed``; all carry the result so far."""
        if self._is_cancel_wanted:
            self._is_withdrawn = True
            return
        exchange = await self._begin()
        try:
            while self._final is None:
                self._append_outputs(exchange)
                delivery = await self._next(exchange)
                match delivery:
                    case asyncio.Task():
                        if (answered := self._tools.take(delivery)) is not None:
                            yield self._finished(answered)
                    case Closed() if self._is_cancel_wanted and exchange.response.id is None:
                        self._is_withdrawn = True
                        return
                    case Closed():
                        raise ConnectionLost(delivery.reason, self.result, code=delivery.code)
                    case ErrorEvent():
                        raise self._refused(delivery)
                    case event:
                        self._note(event)
                        yield event
                        for call in self._calls_to_start(exchange, event):
                            yield self._start(call, event)
        finally:
            self._tools.cancel()
            self._link.leave(exchange)
        self._check_end(self._final)

    async def _begin(self) -> Exchange:
        loop = asyncio.get_running_loop()
        self._due = None if self._deadline is None else loop.time() + self._deadline
        try:
            async with asyncio.timeout_at(self._due):
                self._exchange = await self._link.begin(self._request, self._inbox.put_nowait)
        except TimeoutError:
            raise self._too_late() from None
        self._started_at = self._exchange.started_at
        if self._is_cancel_wanted:
            self._link.cancel(self._exchange)
        return self._exchange

    async def _next(self, exchange: Exchange) -> Delivery | asyncio.Task[ToolCall]:
        if self._due is not None and not exchange.response.has_ended:
            if asyncio.get_running_loop().time() >= self._due:  # also where there is always something to read
                raise self._too_late()
            try:
                async with asyncio.timeout_at(self._due):
                    delivery = await self._inbox.get()
            except TimeoutError:
                raise self._too_late() from None
        else:
            delivery = await self._inbox.get()
        self._ended_at = time.perf_counter()
        return delivery

    def _note(self, event: RunEvent) -> None:
        match event:
            case ResponseDone():
                self._num_pauses += 1
                self._usage = event.response.usage or self._usage
            case ResponseCompleted() | ResponseIncomplete() | ResponseFailed() | ResponseCancelled():
                self._usage = event.response.usage or self._usage
                self._final = event.response
                self._tools.cancel()

    # --- tools ----------------------------------------------------------------------------------------------------

    def _calls_to_start(self, exchange: Exchange, event: RunEvent) -> list[FunctionCall]:
        """What this event asks for. It may be older than ``exchange.response``, which knows all that has arrived."""
        response = exchange.response
        if response.has_ended or self._is_cancel_wanted:
            return []
        if isinstance(event, ResponseDone) and response.is_paused and not response.pending_calls:
            raise RunFailed("the server paused without a call to answer", self.result, code="nothing_to_append")
        match event:
            case OutputItemDone(item=FunctionCall() as call) if self._early_tools:
                asked = [each for each in response.open_calls if each.call_id == call.call_id]
            case ResponseDone():
                asked = response.open_calls
            case EventsLost() if self._early_tools or response.is_paused:
                asked = response.open_calls
            case _:
                asked = []
        return [call for call in asked if call.call_id not in self._pause_of]

    def _start(self, call: FunctionCall, event: RunEvent) -> ToolStarted:
        pause = self._pause_of[call.call_id] = self._num_pauses + (not isinstance(event, ResponseDone))
        self._tools.start(call)
        return ToolStarted(pause, call)

    def _finished(self, answered: ToolCall) -> ToolFinished:
        self._unsent[answered.call.call_id] = answered
        self._tool_calls.append(answered)
        return ToolFinished(self._pause_of[answered.call.call_id], answered)

    def _append_outputs(self, exchange: Exchange) -> None:
        """Send what is finished once nothing runs, in the order in which the calls were sampled."""
        if self._tools or not self._unsent or self._is_cancel_wanted or exchange.response.has_ended:
            return
        answers = [self._unsent[call.call_id] for call in exchange.response.open_calls if call.call_id in self._unsent]
        self._unsent = {}
        outputs = [_as_output(answered) for answered in answers]
        most = DEFAULT_LIMITS.max_append_items
        try:
            for at in range(0, len(outputs), most):
                self._link.append(exchange, outputs[at : at + most])
        except InvalidRequest as error:
            message = f"the outputs can't be sent: {error.message}"
            raise RunFailed(message, self.result, code=error.code, type=error.type, param=error.param) from error

    # --- the end --------------------------------------------------------------------------------------------------

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"the run was not over after {self._deadline:g} s", self.result)

    def _refused(self, event: ErrorEvent) -> RunFailed:
        error = event.error
        return RunFailed(
            f"the server answered {error.code}: {error.message}",
            self.result,
            code=error.code,
            type=error.type,
            status=event.status,
            param=error.param,
        )

    def _check_end(self, final: Response) -> None:
        error = final.error or {}
        if final.status == "failed":
            message = f"the Response failed: {error.get('message') or 'the server gave no reason'}"
            raise RunFailed(message, self.result, code=error.get("code") or "server_error")
        if final.status == "cancelled" and not self._is_cancel_wanted:
            reason = self.result.incomplete_reason or "the server gave no reason"
            raise RunFailed(f"the Response was cancelled: {reason}", self.result, code="cancelled")

    @property
    def result(self) -> RunResult:
        final = self._final
        details = {"reason": "client_request"} if self._is_withdrawn else final.incomplete_details if final else None
        stats = final.caesura if final and final.caesura is not msgspec.UNSET else {}
        exchange = self._exchange
        response = ResponseMachine() if exchange is None else exchange.response
        return RunResult(
            response_id=response.id,
            status=final.status if final else "cancelled" if self._is_withdrawn else "in_progress",
            output=tuple(final.output if final else response.output),
            incomplete_reason=details.get("reason") if details else None,
            usage=self._usage,
            tool_calls=tuple(self._tool_calls),
            pauses=response.num_pauses,
            reconnects=0 if exchange is None else exchange.reconnects,
            stats=stats,
            client_tools_ms=self._tools.seconds * 1000,
            wall_ms=(self._ended_at - self._started_at) * 1000,
        )


def _as_output(answered: ToolCall) -> FunctionCallOutput:
    status = "failed" if answered.output.is_error else "completed"
    return FunctionCallOutput(call_id=answered.call.call_id, output=answered.output.text, status=status)
