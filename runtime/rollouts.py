"""Every rollout of a server: a task for each, the protocol core that they share, and its clock.

A rollout belongs to no connection. It goes on when its client is gone, until its next pause or its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.codec import encode
from ..protocol.connection import (
    AppendRequested,
    CreateRequested,
    EndRequested,
    ForgetRequested,
    ServerConnection,
    ServerProtocol,
    ServerResponse,
)
from ..protocol.errors import Overloaded
from ..protocol.events import ResponseCancelled, ResponseEvent, WebsocketTiming
from ..protocol.limits import DEFAULT_LIMITS, Limits
from ..protocol.messages import ResponseCreate, ResponseResume
from ..protocol.modes import APPEND, Mode
from .boundary import translate
from .emitter import Emitter, Ending
from .pending import LocalTools
from .postinference import response_never_begun
from .previous import Previous
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
        self.limits = limits
        self._core = ServerProtocol(limits, service.metrics.error)
        self._loop = asyncio.get_running_loop()
        self._running: dict[ServerResponse, _Running] = {}
        self._wakers: dict[ServerConnection, Callable[[], None]] = {}
        self._previous: dict[ServerConnection, dict[str, Previous]] = {}
        self._releasing: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self.received_at = 0  # when what is being taken in came

    @property
    def num_open(self) -> int:
        """Responses that have not ended."""
        return len(self._running)

    @property
    def num_paused(self) -> int:
        """Those of them that wait for their client."""
        return sum(response.is_paused for response in self._running)

    # --- connections ----------------------------------------------------------------------------------------------

    def connect(self, credential: str, wake: Callable[[], None], mode: Mode = APPEND) -> ServerConnection:
        """A client has connected. ``wake`` is called when its connection has got something to send."""
        connection = self._core.connect(self._loop.time(), credential=credential, mode=mode)
        self._wakers[connection] = wake
        self.settle()
        return connection

    def receive(self, connection: ServerConnection, data: str | bytes) -> None:
        """A frame has come."""
        self.received_at = time.perf_counter_ns()
        connection.receive(data, self._loop.time())
        self.settle()

    def create(self, connection: ServerConnection, message: ResponseCreate, received_at: int) -> None:
        """The one create of an HTTP request, whose body was there at that time of :func:`time.perf_counter_ns`. What is
        wrong with it comes as an ``error`` frame."""
        self.received_at = received_at
        connection.take(message, self._loop.time())
        self.settle()

    def resume(self, connection: ServerConnection, message: ResponseResume) -> None:
        """Send on this connection the events of a Response that lives without one, or has ended."""
        connection.take(message, self._loop.time())
        self.settle()

    def find(self, response_id: str, credential: str) -> ServerResponse:
        """A Response that has not ended, or is kept after its end.

        :raises ResponseNotFound: there is none of that id and owner.
        """
        return self._core.find(response_id, credential)

    async def cancel(self, response: ServerResponse) -> None:
        """End it, if it hasn't ended, and wait until it has."""
        self._core.request_end(response, "cancelled", "client_request")
        self.settle()
        if (running := self._running.get(response)) is not None:
            await asyncio.wait([running.task])

    def disconnect(self, connection: ServerConnection) -> None:
        """The transport is gone. The rollouts that outlive it go on."""
        connection.lost(self._loop.time())
        self._wakers.pop(connection, None)
        self.settle()

    def end_all(self) -> None:
        """The server stops: end every rollout, so that its client is told and it is stored."""
        for response in list(self._running):
            self._core.request_end(response, "cancelled", "server_shutdown")
        self.settle()

    async def close(self) -> None:
        """The server has stopped: every rollout too. Returns when their sequences are free."""
        self.end_all()
        running = list(self._running.values())
        for each in running:
            if each.emit.ending is None:  # the core thinks that it is being ended already
                each.task.cancel()
        await asyncio.gather(*[each.task for each in running], return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()
        for previous in self._previous.values():
            for one in previous.values():
                self._release(one)
        self._previous.clear()
        await asyncio.gather(*self._releasing)

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
                case ForgetRequested():
                    self._forget(request)
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
            append = request.append if request.is_repeat else local.guarded(request.append)
            if not request.is_repeat:
                local.emit.received_at = self.received_at
                local.check(append)
        except Exception as error:  # whatever the outputs did to the template must not end the connection
            self._core.reject(request, translate(error), self._loop.time())
            return
        self._core.accept(request, self._loop.time())
        if not request.is_repeat:
            local.resolve(append)

    def _end(self, request: EndRequested) -> None:
        running = self._running.get(request.response)
        if running is not None:
            running.emit.ending = Ending(request.status, request.reason)
            running.task.cancel()
        elif not request.response.has_ended:
            self._end_waiting(request.response, request.reason)

    def _forget(self, request: ForgetRequested) -> None:
        known = self._previous.get(request.connection, {})
        previous = known.pop(request.response_id, None)
        if previous is not None:
            self._release(previous)
        if not known:
            self._previous.pop(request.connection, None)

    def _release(self, previous: Previous) -> None:
        if previous.row is not None:
            task = self._loop.create_task(previous.row.release())
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    def _end_unborn(self, emit: Emitter, reason: str) -> None:
        """It was looked at and not begun."""
        if emit.response.mode.pauses:
            self._end_waiting(emit.response, reason)
        else:  # no event that these clients know ends a Response which never began
            self._core.reject(
                emit.request, Overloaded("The server stops, and nothing was begun. Ask again."), self._loop.time()
            )

    def _end_waiting(self, response: ServerResponse, reason: str) -> None:
        """It was asked for and never begun: this is all that there will ever be of it."""
        self.emit(response, ResponseCancelled(response=response_never_begun(response.model, reason, time.time())))

    # --- what a rollout asks for ----------------------------------------------------------------------------------

    def emit(self, response: ServerResponse, event: ResponseEvent) -> None:
        self._core.emit(response, event, self._loop.time())

    def previous(self, connection: ServerConnection, response_id: str) -> Previous | None:
        """An ended Response that this connection remembers."""
        return self._previous.get(connection, {}).get(response_id)

    def remember(self, connection: ServerConnection | None, previous: Previous) -> None:
        """Keep it as long as a create may go on from it. Takes over its share of the row."""
        if connection is not None and previous.response.id in connection.memory:
            self._previous.setdefault(connection, {})[previous.response.id] = previous
        else:
            self._release(previous)

    def forget(self, response_id: str, credential: str) -> None:
        """A Response was deleted: its owner's connections forget it."""
        for connection, known in list(self._previous.items()):
            if response_id in known and connection.credential == credential:
                connection.memory.forget(response_id)
        self.settle()

    async def forget_one(self) -> bool:
        """Have a connection forget the Response that was of use there longest ago; whether there was one."""
        connection = next(iter(self._previous), None)
        if connection is None:
            return False
        connection.memory.forget_oldest()
        self.settle()
        await asyncio.gather(*self._releasing)
        return True

    def tell(self, connection: ServerConnection, event: WebsocketTiming) -> None:
        """Send an event that belongs to no Response."""
        connection.queue(encode(event), self._loop.time())

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
        emit = self._running.pop(response).emit
        if emit.ending is not None and response.is_unborn:
            self._end_unborn(emit, emit.ending.reason)
        self.settle()
