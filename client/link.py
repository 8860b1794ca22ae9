"""One client across all the connections that it has, one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from uuid import uuid4

import msgspec
from websockets.asyncio.client import ClientConnection as WebSocket

from ..protocol.connection import ClientProtocol, ClientResponse, Outcome, Received
from ..protocol.items import FunctionCallOutput
from ..protocol.limits import DEFAULT_LIMITS
from ..protocol.messages import ResponseCreate
from .channel import Channel
from .errors import ConnectionFailed
from .exchange import Closed, Delivery, Exchange
from .reconnect import Backoff
from .results import Reconnecting


class Link:
    """Owns the protocol core, and the socket that there is now.

    A task, the carrier, reads. When the socket is gone and a run goes on, it opens another one; the core resumes there
    whatever is open. Without a run it ends, and the next run starts it again: a client that does nothing needs no
    connection, and one that could not reach its server may try later.

    :param open_socket: gives a new socket; raises ``ConnectionFailed``.
    :param sleep, clock: seconds; ``asyncio.sleep`` and a clock that doesn't go back.
    """

    def __init__(
        self,
        open_socket: Callable[[], Awaitable[WebSocket]],
        backoff: Backoff,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_socket = open_socket
        self._backoff = backoff
        self._sleep = sleep
        self._clock = clock
        self._core = ClientProtocol()
        self._exchanges: dict[ClientResponse, Exchange] = {}
        # Lane 0 is the default lane, which every server of this protocol has. The lowest free one is used.
        self._free_lanes: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
        for lane in range(DEFAULT_LIMITS.max_named_lanes + 1):
            self._free_lanes.put_nowait(lane)
        self._num_runs = 0
        self._channel: Channel | None = None
        self._carrier: asyncio.Task[None] | None = None
        self._attempts = self._new_attempts()
        self._has_progressed = False
        self._reason = "the connection was lost"
        self._is_closed = False

    async def open(self) -> None:
        """Connect for the first time: one attempt. Raises ``ConnectionFailed``."""
        self._channel = Channel(await self._open_socket(), self._core)
        self._carrier = asyncio.create_task(self._carry(), name="caesura client")

    async def close(self) -> None:
        """Cancel what is open, close the socket; every run that goes on gets ``Closed``."""
        self._is_closed = True
        for response in self._core.open_responses:
            self._core.cancel(response)
        if self._channel is not None:
            await self._channel.close()
        if self._carrier is not None:
            self._carrier.cancel()
            await asyncio.wait({self._carrier})
        self._give_up(Closed("the client was closed"))
        if self._carrier is not None and not self._carrier.cancelled():
            self._carrier.result()

    # --- what a run asks for --------------------------------------------------------------------------------------

    async def begin(self, request: ResponseCreate, deliver: Callable[[Delivery], None]) -> Exchange:
        """Send a create, on a lane where nothing else runs; waits for one if all are taken. ``leave`` it in the end."""
        self._num_runs += 1
        try:
            self._wake()
            lane = await self._free_lanes.get()
        except BaseException:
            self._num_runs -= 1
            raise
        stream_id = f"lane-{lane}" if lane else None
        key = uuid4().hex  # so that a create that is sent again begins nothing anew
        response = self._core.create(msgspec.structs.replace(request, stream_id=stream_id, idempotency_key=key))
        exchange = self._exchanges[response] = Exchange(response, lane, deliver, time.perf_counter())
        self._wake()
        if self._is_closed:
            self._give_up(Closed("the client is closed"))
        return exchange

    def append(self, exchange: Exchange, outputs: Sequence[FunctionCallOutput]) -> None:
        """Send outputs, and see to it that they arrive. Raises what ``ClientProtocol.append`` does."""
        self._core.append(exchange.response, outputs)
        self._wake()

    def cancel(self, exchange: Exchange) -> None:
        """Ask for the end of the Response, which is still followed."""
        self._core.cancel(exchange.response)
        if self._channel is not None:
            self._channel.wake()

    def leave(self, exchange: Exchange) -> None:
        """Follow it no longer. If it has not ended it is cancelled; nothing waits for that but its lane."""
        self._num_runs -= 1
        exchange.is_left = True
        if exchange.response.has_ended:
            self._release(exchange)
        else:
            self.cancel(exchange)

    def _release(self, exchange: Exchange) -> None:
        del self._exchanges[exchange.response]
        self._free_lanes.put_nowait(exchange.lane)

    def _wake(self) -> None:
        if self._channel is not None:
            self._channel.wake()
        elif not self._is_closed and (self._carrier is None or self._carrier.done()):
            self._carrier = asyncio.create_task(self._carry(), name="caesura client")

    # --- the carrier ----------------------------------------------------------------------------------------------

    async def _carry(self) -> None:
        try:
            while True:
                if self._channel is not None:
                    self._reason = await self._serve(self._channel)
                if not self._num_runs or self._is_closed:
                    return
                self._channel = await self._reconnect()
                if self._channel is None:
                    return
        except Exception as error:  # a defect: nobody may be left waiting for what will never come
            self._give_up(Closed(f"the client broke: {error!r}"))
            raise

    async def _serve(self, channel: Channel) -> str:
        """Carry the Responses on this connection while it lasts; why it did not."""
        opened_at = self._clock()
        self._has_progressed = False
        self._core.connected()
        self._tell_lost()
        try:
            return await channel.run(self._hand_on)
        finally:
            self._channel = None
            self._core.disconnected()
            # An event is progress, and so is a connection that held: one that breaks at once each time is neither.
            if self._has_progressed or self._clock() - opened_at > self._backoff.cap:
                self._attempts = self._new_attempts()

    async def _reconnect(self) -> Channel | None:
        """A new connection; None if there is none to be had, or nobody wants it any more."""
        reasons = [self._reason]
        for attempt, delay in self._attempts:
            self._tell(Reconnecting(attempt, delay, reasons[-1]))
            await self._sleep(delay)
            if not self._num_runs:
                return None
            try:
                socket = await self._open_socket()
            except ConnectionFailed as error:
                reasons[1:] = [str(error)]
                if error.is_final:
                    break
                continue
            for exchange in self._exchanges.values():
                exchange.reconnects += 1
            return Channel(socket, self._core)
        else:
            reasons.append(f"gave up after {self._backoff.max_reconnects} attempts to connect again")
        self._attempts = self._new_attempts()  # whoever begins another run may try as often
        self._give_up(Closed("; ".join(reasons)))
        return None

    def _new_attempts(self) -> Iterator[tuple[int, float]]:
        return enumerate(self._backoff.delays(), 1)

    # --- out to the runs ------------------------------------------------------------------------------------------

    def _hand_on(self, received: Received) -> None:
        self._has_progressed |= received.outcome is Outcome.EVENT
        exchange = None if received.response is None else self._exchanges.get(received.response)
        if exchange is None:
            return
        if not exchange.is_left:
            exchange.take(received)
        elif exchange.response.has_ended:
            self._release(exchange)

    def _tell(self, delivery: Delivery) -> None:
        for exchange in self._exchanges.values():
            if not exchange.is_left:
                exchange.deliver(delivery)

    def _tell_lost(self) -> None:
        """Creates that were cancelled before they were answered are not sent again."""
        for exchange in list(self._exchanges.values()):
            if exchange.response.is_lost and exchange.is_left:
                self._release(exchange)
            elif exchange.response.is_lost:
                exchange.deliver(Closed("the create was cancelled before it was answered"))

    def _give_up(self, closed: Closed) -> None:
        self._tell(closed)
        for exchange in list(self._exchanges.values()):
            self._core.give_up(exchange.response)
            if exchange.is_left:
                self._release(exchange)
