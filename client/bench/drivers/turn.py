"""A turn that is under way: what has come of it, and who waits for its end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from time import perf_counter_ns
from typing import Any

import msgspec

from ..driver import BenchError, Call, TurnResult
from ..records import TurnRecord
from .events import (
    COMPLETED,
    FAILURES,
    INCOMPLETE,
    ITEM_ADDED,
    ITEM_DONE,
    brief_event,
    failure_of,
    item_event,
    reason_of,
    type_of,
)
from .link import Meter


class PendingTurn(ABC):
    """Reads one turn. What an event means is in ``_read``, which each protocol has its own of; it calls ``_output`` for
    those that carry output, and ``_end`` or ``fail`` for the last one.

    Events are taken where they arrive, in the connection's callback; the one who waits is woken once.
    """

    def __init__(self, meter: Meter) -> None:
        self.calls: list[Call] = []
        self.response_id: str | None = None
        self.usage: dict[str, Any] | None = None
        self.events = 0
        self.sent = 0
        self.first_byte = 0
        self.first_token = 0
        self.last_event = 0
        self.is_over = False
        self._bytes = (0, 0)
        self._meter = meter
        self._error: BenchError | None = None
        self._over = asyncio.Event()

    def event(self, data: bytes) -> None:
        """Data of an event, or a message. What comes after the end is passed over."""
        if self.is_over:
            return
        try:
            self._read(data)
        except (msgspec.DecodeError, ValueError) as error:
            self.fail(BenchError(f"an event can't be read: {error}"))

    def answered(self, status: int, body: bytes) -> None:
        """The answer to an HTTP request is at its end."""
        if status == 200:
            self.fail(BenchError(f"the answer ended before the turn did, with {reason_of(body)}"))
        else:
            self.fail(BenchError(f"HTTP {status}: {reason_of(body)}"))

    def fail(self, error: BenchError) -> None:
        if not self.is_over:
            self._error = error
            self.is_over = True
            self._over.set()

    async def wait(self, seconds: float) -> None:
        """Until it is over.

        :raises BenchError: it has failed, or takes longer than so many seconds.
        """
        if not self.is_over:
            try:
                async with asyncio.timeout(seconds):
                    await self._over.wait()
            except TimeoutError:
                raise BenchError(f"a turn did not end in {seconds:g} s") from None
        if self._error is not None:
            raise self._error

    def result(self, began: int) -> TurnResult:
        """What is to be said of a turn that is over."""
        record = TurnRecord(
            began=began,
            sent=self.sent,
            first_byte=self.first_byte,
            first_token=self.first_token or self.last_event,
            last_event=self.last_event,
            ended=self.last_event,
            bytes_up=self._bytes[0],
            bytes_down=self._bytes[1],
            events=self.events,
            usage=self.usage,
        )
        return TurnResult(self.calls, record, self.response_id)

    @abstractmethod
    def _read(self, data: bytes) -> None:
        """:raises msgspec.DecodeError, ValueError: it can't be read."""

    def _item(self, data: bytes) -> bool:
        """An output item is done; whether it is a call."""
        self._output()
        item = item_event(data).item
        if item.type != "function_call":
            return False
        self.calls.append(Call(item.call_id, item.name, item.arguments))
        return True

    def _output(self) -> None:
        if not self.first_token:
            self.first_token = perf_counter_ns()

    def _end(self) -> None:
        meter = self._meter
        self.last_event = perf_counter_ns()
        self.sent = self.sent or meter.sent
        self.first_byte = self.first_byte or meter.first_byte
        self._bytes = meter.take_bytes()
        self.is_over = True
        self._over.set()


class ResponsesTurn(PendingTurn):
    """A Response that is one turn: it ends with the Response."""

    def _read(self, data: bytes) -> None:
        self.events += 1
        kind = type_of(data)
        if kind.endswith(b".delta") or kind == ITEM_ADDED:
            self._output()
        elif kind == ITEM_DONE:
            self._item(data)
        elif kind == COMPLETED:
            self._completed(data)
            self._end()
        elif kind == INCOMPLETE or kind in FAILURES:
            self.fail(BenchError(f"the Response ended with {kind.decode()}: {failure_of(data)}"))

    def _completed(self, data: bytes) -> None:
        response = brief_event(data).response
        self.response_id, self.usage = response.id, response.usage
