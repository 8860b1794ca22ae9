"""HTTP/1.1 requests, one after the other on a connection that is kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import httptools

from ..driver import BenchError
from .address import Address
from .event_stream import EventSplitter
from .link import TIMEOUT, Link, Meter, connect


class Reader(Protocol):
    """Who hears what comes: each event's data, then either the answer's end or why there is none.

    ``answered`` gives the status and the body; the body of an event stream is empty, its events were given.
    """

    def event(self, data: bytes) -> None: ...

    def answered(self, status: int, body: bytes) -> None: ...

    def fail(self, error: BenchError) -> None: ...


class AnswerParser:
    """Reads the answers that come on one connection, cut anywhere, and tells ``reader``.

    :param on_end: called after each answer, with whether the connection can be used again.
    """

    def __init__(self, on_end: Callable[[bool], None]) -> None:
        self.reader: Reader | None = None
        self._on_end = on_end
        self._parser = httptools.HttpResponseParser(self)
        self._splitter: EventSplitter | None = None
        self._body: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """:raises BenchError: it is no HTTP."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            # What a reader raises comes out of the parser as its own error, with the cause.
            raise BenchError(f"what the server sent can't be read: {error.__context__ or error}") from error

    def fail(self, error: BenchError) -> None:
        """There will be no answer, or no more of it."""
        if self.reader is not None:
            reader, self.reader = self.reader, None
            reader.fail(error)

    # The parser calls these.

    def on_message_begin(self) -> None:
        self._splitter = None
        self._body.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type" and value.startswith(b"text/event-stream"):
            self._splitter = EventSplitter()

    def on_body(self, body: bytes) -> None:
        if self._splitter is None:
            self._body.append(body)
        elif self.reader is not None:
            for data in self._splitter.feed(body):
                self.reader.event(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer
            return
        reader, self.reader = self.reader, None
        self._on_end(self._parser.should_keep_alive())
        if reader is not None:
            reader.answered(status, b"".join(self._body))


class HttpConnection:
    """A client's connection. Connects again if the server has closed it between two requests, which servers do after a
    few seconds or requests. A request that meets the closing halfway is lost, as with any client that doesn't repeat
    a POST.

    :ivar link: the latest one; None before the first.
    """

    def __init__(self, address: Address, *, timeout: float = TIMEOUT) -> None:
        self.meter = Meter()
        self._address = address
        self._timeout = timeout
        self.link: Link | None = None
        self._answers = AnswerParser(self._ended)
        self._idle = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        """:raises BenchError: nobody is there."""
        self._answers = AnswerParser(self._ended)
        self.link = await connect(self._address, self.meter, self._receive, self._lost)

    async def send(self, method: str, path: str, body: bytes, reader: Reader) -> None:
        """Send a request, as soon as the answer to the one before has ended; ``reader`` hears the answer.

        :param path: what comes after the address's base, like ``/responses``.
        :raises BenchError: the connection can't be had, or the answer before doesn't end.
        """
        if not self._idle.is_set():  # the last chunk of an event stream may come a little after the last event
            await self._wait_until_idle()
        if self.link is None or not self.link.is_open:
            await self.open()
        assert self.link is not None
        head = (
            f"{method} {self._address.base}{path} HTTP/1.1\r\nHost: {self._address.authority}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._idle.clear()
        self._answers.reader = reader
        self.link.write(head.encode() + body)

    async def close(self) -> None:
        if self.link is not None:
            self._answers.reader = None
            self.link.abort()
            await self.link.closed()

    async def _wait_until_idle(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._idle.wait()
        except TimeoutError:
            raise BenchError(f"an answer did not end in {self._timeout:g} s") from None

    def _receive(self, data: bytes) -> None:
        try:
            self._answers.feed(data)
        except BenchError as error:
            self._answers.fail(error)
            self._abort()

    def _ended(self, can_be_used_again: bool) -> None:
        self._idle.set()
        if not can_be_used_again:
            self._abort()

    def _abort(self) -> None:
        if self.link is not None:
            self.link.abort()

    def _lost(self, error: BenchError) -> None:
        self._idle.set()
        self._answers.fail(error)
