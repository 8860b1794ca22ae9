"""One client's connection: bytes between the transport and the protocol core, a task for each rollout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from ..protocol.connection import AppendRequested, CreateRequested, ResponseCancelled, ServerConnection
from ..protocol.response import ResponseMachine
from .boundary import translate
from .emitter import Emitter
from .pending import LocalTools
from .rollout import rollout
from .service import Service

Send = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[None]
    local: LocalTools


class Session:
    """Feed it frames with :meth:`receive`; it sends through ``send``. :meth:`close` when the peer is gone."""

    def __init__(self, service: Service, send: Send) -> None:
        self._service = service
        self._send = send
        self._connection = ServerConnection()
        self._running: dict[ResponseMachine, _Running] = {}
        self._sending = asyncio.Lock()

    async def receive(self, data: str | bytes) -> None:
        """Take in one frame: text, or bytes for a binary one."""
        self._connection.receive(data, time.time())
        await self._flush()

    async def close(self) -> None:
        """Give up every rollout of this client and wait until their sequences are free."""
        self._connection.close()
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _serve_requests(self) -> None:
        while (request := self._connection.next_request()) is not None:
            match request:
                case CreateRequested():
                    self._begin(request)
                case AppendRequested():
                    self._append(request)
                case ResponseCancelled(response=response):
                    if response in self._running:
                        self._running[response].task.cancel()

    def _append(self, request: AppendRequested) -> None:
        running = self._running.get(request.response)
        try:
            if running is not None:
                running.local.check(request.items)
        except Exception as error:  # whatever the outputs did to the template must not end the connection
            self._connection.reject(request, translate(error))
            return
        self._connection.accept(request)
        if running is not None:
            running.local.resolve(request.items)

    def _begin(self, request: CreateRequested) -> None:
        emit = Emitter(self._connection, request.response, self._flush, partial(self._supersede, request))
        local = LocalTools(emit)
        task = asyncio.create_task(self._run(request, emit, local))
        self._running[request.response] = _Running(task, local)

    async def _supersede(self, request: CreateRequested) -> bool:
        predecessor = self._connection.supersede(request)
        if predecessor is None:
            return False
        running = self._running.get(predecessor)
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])
        return True

    async def _run(self, request: CreateRequested, emit: Emitter, local: LocalTools) -> None:
        response = request.response
        try:
            await rollout(request, self._service, emit, local)
        except Exception as error:
            # Once there is a Response, the rollout itself says on the wire how it failed.
            failure = translate(error)
            if response.is_unborn:
                self._connection.reject(request, failure)
        finally:
            del self._running[response]
            await self._flush()

    async def _flush(self) -> None:
        """Do what has become due, then send what is queued, in order, whoever asks: several rollouts share the
        transport, and an event of one may give the turn to the next on its lane."""
        self._serve_requests()
        async with self._sending:
            for frame in self._connection.data_to_send():
                await self._send(frame)
