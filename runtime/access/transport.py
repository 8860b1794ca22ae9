"""uvicorn's protocols, where they answer, or fail to, before there is a request for the application.

uvicorn's httptools protocol takes headers of any length, and waits for them for ever. It answers a malformed request
with plain text, in the middle of the answer to the one before if that isn't done. It drops the body of a request that
asks for a protocol other than WebSocket. A handshake that httptools can read and websockets can't (a line of more than
8 KiB, more than 128 headers, a method other than GET) is left without an answer, on a connection that stays open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, ClassVar

from httptools import HttpParserError, HttpParserUpgrade
from starlette.responses import Response
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import SecurityError

from ...protocol.errors import CaesuraError
from ..http_errors import error_response
from .errors import HeadersTooLarge, MalformedRequest, RateLimitExceeded

HEADER_SLACK_BYTES = 1024
"""What uvicorn's ``h11_max_incomplete_event_size`` gets on top of ``max_header_bytes``. That bound is a coarse one, on
what is buffered of unfinished headers; the exact one is :mod:`.guard`'s."""

MAX_PIPELINED = 64
"""Requests that may wait on one connection for the answer to the one before. They are parsed already, and take far more
memory than their bytes."""

_DEFAULT_MAX_UNPARSED_BYTES = (32 << 10) + HEADER_SLACK_BYTES


class HttpProtocol(HttpToolsProtocol):
    """For ``uvicorn.Config(http=...)``. Obeys ``h11_max_incomplete_event_size``, which is not for h11 alone here: of
    unfinished headers or trailers at most that is buffered, and one read of the socket.

    A refusal comes in its turn, when everything before it is answered, and ends the connection.
    """

    header_seconds: ClassVar[float] = 30.0
    """How long the headers of a request may take, from the connection or from their first byte."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._max_unparsed = config.h11_max_incomplete_event_size or _DEFAULT_MAX_UNPARSED_BYTES
        self._unparsed = 0  # bytes since the parser last gave a request's headers, a part of its body, or its end
        self._in_body = False
        self._answering: RequestResponseCycle | None = None  # ``cycle`` is the last one that came
        self._refusal: bytes | None = None
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        if self._answering is not None:  # uvicorn tells only the last one
            _tell_gone(self._answering)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._parse(data)

    def on_headers_complete(self) -> None:
        self._check_headers()
        super().on_headers_complete()
        if self.parser.should_upgrade():
            return
        if not self.pipeline:
            self._answering = self.cycle
        self._in_body = True
        self._unparsed = 0
        self.headers = []  # The application has the list: a trailer would turn up in it as a header.

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._unparsed = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._answering = self.pipeline[-1][0]
        super().on_response_complete()
        if self._refusal is not None:
            self._send_refusal_in_turn()

    def _should_upgrade(self) -> bool:
        """Asked by uvicorn where httptools saw the wish for another protocol. Whichever it is, httptools has given up
        on the request, its body included."""
        return True

    def _parse(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._unparsed += len(data)
        head_bytes = None
        try:
            self.parser.feed_data(data)
        except HttpParserError as error:
            cause = error.__context__  # what a callback raised
            self._refuse(cause if isinstance(cause, CaesuraError) else _malformed())
            return
        except HttpParserUpgrade as upgrade:
            head_bytes = upgrade.args[0]
        if head_bytes is not None:  # not in the handler: what it handles would become the context of the next error
            self._upgrade(data[head_bytes:])
        elif self._unparsed > self._max_unparsed:
            self._refuse(_too_large())
        else:
            self._watch_headers()

    def _check_headers(self) -> None:
        """What httptools lets through.

        :raises CaesuraError: there is no request to be made of these headers.
        """
        version = self.parser.get_http_version()
        num_hosts = [name for name, _ in self.headers].count(b"host")
        # Two names: which one :mod:`.guard` looks at must not be the client's choice.
        if num_hosts > 1 or (num_hosts == 0 and version == "1.1") or version not in ("1.0", "1.1"):
            raise _malformed()
        if self.parser.get_method() == b"CONNECT":
            raise _malformed()
        if len(self.url) > self._max_unparsed:  # uvicorn can't read one of 64 KiB
            raise _too_large()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RateLimitExceeded("More requests wait on this connection than may. Read the answers.")
        # The space behind a value is not part of it (RFC 9110, 5.5).
        self.headers[:] = [(name, value.rstrip(b" \t")) for name, value in self.headers]

    def _upgrade(self, rest: bytes) -> None:
        if not super()._should_upgrade():
            # Some clients always ask for HTTP/2. To answer in HTTP/1.1 is to say no (RFC 9110, 7.8).
            self._parse(self._head_without_upgrade())
            self._parse(rest)
        elif self._answering is not None and not self._answering.response_complete:
            self._refuse(_malformed())
        else:
            self._stop_watching()
            self.handle_websocket_upgrade()

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)
        return line + _header_lines(header for header in self.headers if header[0] != b"upgrade") + b"\r\n"

    def _refuse(self, error: CaesuraError) -> None:
        self.logger.warning("Invalid HTTP request received.")
        self._stop_watching()
        if self._in_body:
            if self.cycle is not self._answering:
                self.pipeline.popleft()
            elif self.cycle.response_started:
                self.transport.close()  # the answer is under way already, or done
                return
            else:
                _tell_gone(self.cycle)  # what the application says from here on is for nobody
        self._refusal = _serialized(error_response(error))
        self._send_refusal_in_turn()

    def _send_refusal_in_turn(self) -> None:
        answering = self._answering
        is_turn = answering is None or answering.response_complete or answering.disconnected
        if is_turn and self._refusal is not None and not self.transport.is_closing():
            self.transport.write(self._refusal)
            # Closed with bytes unread, a connection is reset, and the client may lose the answer. They are read, and
            # dropped, until the client closes too.
            self.transport.write_eof()
            self.flow.resume_reading()
            self._header_timer = self.loop.call_later(self.header_seconds, self.transport.close)

    def _watch_headers(self) -> None:
        """Close the connection if it stays as it is, with no headers, or unfinished ones, and nothing left to answer.
        uvicorn's own timer is for an idle connection; any byte ends it."""
        if self._in_body or not (self.cycle is None or self.cycle.response_complete):
            self._stop_watching()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(self.header_seconds, self.transport.close)

    def _stop_watching(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """For ``uvicorn.Config(ws=...)``."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            is_too_large = isinstance(self.conn.handshake_exc.__cause__, SecurityError)
            self.transport.write(_serialized(error_response(_too_large() if is_too_large else _malformed())))
            self.transport.close()


def _tell_gone(cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True
    cycle.waiting_for_100_continue = False  # it would be written behind a refusal
    cycle.message_event.set()


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge("The headers are too many or too long for this server.")


def _malformed() -> MalformedRequest:
    return MalformedRequest("This is no HTTP/1.1 request, or no WebSocket handshake.")


def _serialized(response: Response) -> bytes:
    line = b"HTTP/1.1 %d %s\r\n" % (response.status_code, HTTPStatus(response.status_code).phrase.encode())
    return line + _header_lines(response.raw_headers) + b"connection: close\r\n\r\n" + bytes(response.body)


def _header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)
