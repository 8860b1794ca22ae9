"""Every rollout of a server: a task for each, the protocol core that they share, and its clock.

A rollout belongs to no connection. It goes on when its client is gone, until its next pause or its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.connection import (
    AppendRequested,
    CreateRequested,
    EndRequested,
    ServerConnection,
    ServerProtocol,
    ServerResponse,
)
from ..protocol.events import ResponseCancelled, ResponseEvent
from ..protocol.limits import DEFAULT_LIMITS, Limits
from .boundary import translate
from .emitter import Emitter, Ending
from .pending import LocalTools
from .postinference import response_never_begun
from .rollout import rollout
from .service import Service


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[None]
    emit: Emitter
    local: LocalTools


class Rollouts:
    """Make it inside the event loop that it runs in."""

    def __init__(self, service: Service, limits: Limits = DEFAULT_LIMITS) -> None:
        self._service = service
        self._core = ServerProtocol(limits)
        self._loop = asyncio.get_running_loop()
        self._running: dict[ServerResponse, _Running] = {}
        self._wakers: dict[ServerConnection, Callable[[], None]] = {}
        self._alarm: asyncio.TimerHandle | None = None

    # --- connections ----------------------------------------------------------------------------------------------

    def connect(self, credential: str, wake: Callable[[], None]) -> ServerConnection:
        """A client has connected. ``wake`` is called when its connection has got something to send."""
        connection = self._core.connect(self._loop.time(), credential=credential)
        self._wakers[connection] = wake
        self.settle()
        return connection

    def receive(self, connection: ServerConnection, data: str | bytes) -> None:
        """A frame has come."""
        connection.receive(data, self._loop.time())
        self.settle()

    def disconnect(self, connection: ServerConnection) -> None:
        """The transport is gone. The rollouts go on."""
        connection.lost(self._loop.time())
        self._wakers.pop(connection, None)
        self.settle()

    async def close(self) -> None:
        """The server stops: every rollout too. Returns when their sequences are free."""
        if self._alarm is not None:
            self._alarm.cancel()
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def settle(self) -> None:
        """Do what has become due, and have what is queued sent, whoever asks: an event of one rollout may give the turn
        to another."""
        while (request := self._core.next_request()) is not None:
            match request:
                case CreateRequested():
                    self._begin(request)
                case AppendRequested():
                    self._append(request)
                case EndRequested():
                    self._end(request)
        for connection in self._core.take_ready():
            if (wake := self._wakers.get(connection)) is not None:
                wake()
        self._set_alarm()

    def _set_alarm(self) -> None:
        deadline = self._core.next_deadline()
        if self._alarm is not None:
            if self._alarm.when() == deadline:
                return
            self._alarm.cancel()
        self._alarm = None if deadline is None else self._loop.call_at(deadline, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        self._core.advance_time(self._loop.time())
        self.settle()

    # --- what the core asks for -----------------------------------------------------------------------------------

    def _begin(self, request: CreateRequested) -> None:
        emit = Emitter(self, request)
        local = LocalTools(emit)
        task = self._loop.create_task(self._run(request, emit, local))
        self._running[request.response] = _Running(task, emit, local)
        task.add_done_callback(lambda _: self._over(request.response))

    def _append(self, request: AppendRequested) -> None:
        local = self._running[request.response].local
        try:
            if not request.is_repeat:
                local.check(request.append)
        except Exception as error:  # whatever the outputs did to the template must not end the connection
            self._core.reject(request, translate(error), self._loop.time())
            return
        self._core.accept(request, self._loop.time())
        if not request.is_repeat:
            local.resolve(request.append)

    def _end(self, request: EndRequested) -> None:
        running = self._running.get(request.response)
        if running is not None:
            running.emit.ending = Ending(request.status, request.reason)
            running.task.cancel()
        elif not request.response.has_ended:
            self._end_unborn(request.response, request.reason)

    def _end_unborn(self, response: ServerResponse, reason: str) -> None:
        """It was asked for and never begun: this is all that there will ever be of it."""
        self.emit(response, ResponseCancelled(response=response_never_begun(response.model, reason, time.time())))

    # --- what a rollout asks for ----------------------------------------------------------------------------------

    def emit(self, response: ServerResponse, event: ResponseEvent) -> None:
        self._core.emit(response, event, self._loop.time())

    def accept(self, request: CreateRequested) -> None:
        self._core.accept(request, self._loop.time())

    async def supersede(self, request: CreateRequested) -> bool:
        """End the Response that holds the lane of this create, and wait until it has; whether there was one."""
        predecessor = self._core.predecessor(request)
        if predecessor is None:
            return False
        self._core.request_end(predecessor, "cancelled", "superseded")
        self.settle()
        if (running := self._running.get(predecessor)) is not None:
            await asyncio.wait([running.task])
        return True

    async def _run(self, request: CreateRequested, emit: Emitter, local: LocalTools) -> None:
        try:
            await rollout(request, self._service, emit, local)
        except Exception as error:
            # Once there is a Response, the rollout itself says on the wire how it failed.
            failure = translate(error)
            if request.response.is_unborn:
                self._core.reject(request, failure, self._loop.time())

    def _over(self, response: ServerResponse) -> None:
        """A rollout's task has ended. Not the task's own last act: one that is cancelled at once never runs."""
        ending = self._running.pop(response).emit.ending
        if ending is not None and response.is_unborn:
            self._end_unborn(response, ending.reason)
        self.settle()
