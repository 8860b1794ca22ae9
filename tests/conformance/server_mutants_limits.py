"""Servers that are wrong about limits and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caesura.protocol import append_items, codec, server_connection
from caesura.protocol.deadlines import Deadlines
from caesura.protocol.errors import MessageTooDeep, MessageTooLarge
from caesura.protocol.outbox import Outbox
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.protocol.server_requests import AppendRequested, Close
from server_mutants import QUIET, Patches, mutant
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol as WebSocket

# --- messages ---------------------------------------------------------------------------------------------------------


def _size(on: Patches, test: Callable[[str, int], bool]) -> None:
    def check(data: str, bound: int) -> None:
        if test(data, bound):
            raise MessageTooLarge("The message is too large.")

    on.set(codec, "check_size", check)


@mutant("limit-message-size", by="message-size", limits="small")
def a_message_of_the_size_is_too_large(on: Patches) -> None:
    """The bound itself is refused."""
    _size(on, lambda data, bound: len(data.encode()) >= bound)


@mutant("limit-message-size", by="message-size", limits="small")
def characters_are_counted(on: Patches) -> None:
    """A message is measured before it is encoded."""
    _size(on, lambda data, bound: len(data) > bound)


@mutant("limit-message-size", by="message-size", limits="small")
def the_transport_has_the_bound(on: Patches) -> None:
    """A message that is too large by a byte closes the connection."""

    @on.around(Config, "__init__")
    def init(original: Any, self: Config, *more: Any, ws_max_size: int = 0, **named: Any) -> None:
        original(self, *more, ws_max_size=ws_max_size // 4, **named)


def _depth(on: Patches, depth: Callable[[str], int]) -> None:
    def check(data: str, bound: int) -> None:
        if depth(data) > bound:
            raise MessageTooDeep("The message is too deep.")

    on.set(codec, "_check_depth", check)


def _deepest(data: str, opening: str = "[{", closing: str = "]}") -> int:
    depth = most = 0
    for each in data:
        depth += (each in opening) - (each in closing)
        most = max(most, depth)
    return most


@mutant("limit-depth", by="message-depth", limits="small")
def a_message_of_the_depth_is_too_deep(on: Patches) -> None:
    """The bound itself is refused."""
    _depth(on, lambda data: _deepest(data) + 1)


@mutant("limit-depth", by="message-depth", limits="small")
def the_object_of_the_message_is_no_level(on: Patches) -> None:
    """One level more is read."""
    _depth(on, lambda data: _deepest(data) - 1)


@mutant("limit-depth", by="message-depth", limits="small")
def brackets_are_counted(on: Patches) -> None:
    """Lists beside each other are as deep as lists in each other."""
    _depth(on, lambda data: data.count("[") + data.count("{"))


@mutant("limit-depth", by="message-depth", limits="small")
def brackets_in_texts_are_levels(on: Patches) -> None:
    """A text that holds brackets is nested."""
    _depth(on, _deepest)


def _items(on: Patches, change: Callable[[Any, int], tuple[Any, int]]) -> None:
    @on.around(append_items, "parse_append")
    def parse(original: Any, value: Any, *, max_items: int, **more: Any) -> Any:
        value, max_items = change(value, max_items)
        return original(value, max_items=max_items, **more)

    on.set(server_connection, "parse_append", append_items.parse_append)


@mutant("limit-append-items", by="append-items", limits="small", wait=QUIET)
def one_more_item_is_taken(on: Patches) -> None:
    """The bound is off by one."""
    _items(on, lambda value, most: (value, most + 1))


@mutant("limit-append-items", by="append-items", limits="small")
def one_item_less_is_taken(on: Patches) -> None:
    """The bound itself is refused."""
    _items(on, lambda value, most: (value, most - 1))


@mutant("limit-append-items", by="append-items", limits="small", wait=QUIET)
def the_first_items_are_taken(on: Patches) -> None:
    """Those beyond the bound are dropped."""
    _items(on, lambda value, most: (value[:most] if isinstance(value, list) else value, most))


# --- open Responses ---------------------------------------------------------------------------------------------------


def _open(on: Patches, change: Callable[[ServerConnection, int], int]) -> None:
    @on.around(ServerConnection, "_num_open")
    def num_open(original: Any, self: ServerConnection) -> int:
        return change(self, original(self))


CONNECTION = "open-responses-of-a-connection"

CREDENTIAL = "open-responses-of-a-credential"


@mutant("limit-open-connection", by=CONNECTION, limits="small")
def one_more_response_may_be_open(on: Patches) -> None:
    """The bound is off by one."""
    _open(on, lambda connection, num: num - 1)


@mutant("limit-open-connection", by=CONNECTION, limits="small")
def a_paused_response_is_not_open(on: Patches) -> None:
    """Only what is sampled or waits is counted."""
    _open(on, lambda connection, num: connection._num_sampling() + len(connection._waiting.creates))


@mutant("limit-open-connection", by=CONNECTION, limits="small")
def an_ended_response_is_counted(on: Patches) -> None:
    """What was begun on a connection counts as long as that is open."""
    _open(on, lambda connection, num: sum(lane.current is not None for lane in connection._lanes))


@mutant("limit-open-connection", by=CONNECTION, limits="small")
def all_connections_have_one_bound(on: Patches) -> None:
    """What is open on another connection counts too."""
    _open(on, lambda connection, num: connection._server._num_open.total())


@mutant("limit-open-credential", by=CREDENTIAL, limits="small", wait=QUIET)
def a_credential_may_have_one_more(on: Patches) -> None:
    """The bound is off by one."""

    @on.around(ServerProtocol, "open")
    def open_response(original: Any, self: ServerProtocol, connection: ServerConnection, **more: Any) -> Any:
        self._num_open[connection.credential] -= 1
        response = original(self, connection, **more)
        self._num_open[connection.credential] += 1
        return response


@mutant("limit-open-credential", by=CREDENTIAL, limits="small", wait=QUIET)
def a_detached_response_is_not_open(on: Patches) -> None:
    """What nobody is attached to is not counted."""

    @on.around(ServerProtocol, "open")
    def open_response(original: Any, self: ServerProtocol, connection: ServerConnection, **more: Any) -> Any:
        detached = sum(
            each.owner == connection.credential and each.connection is None and not each.has_ended
            for each in self._responses.values()
        )
        self._num_open[connection.credential] -= detached
        response = original(self, connection, **more)
        self._num_open[connection.credential] += detached
        return response


@mutant("limit-open-credential", by=CREDENTIAL, limits="small")
def all_credentials_have_one_bound(on: Patches) -> None:
    """What another credential has open counts too."""

    @on.around(ServerProtocol, "open")
    def open_response(original: Any, self: ServerProtocol, connection: ServerConnection, **more: Any) -> Any:
        others = self._num_open.total() - self._num_open[connection.credential]
        self._num_open[connection.credential] += others
        try:
            return original(self, connection, **more)
        finally:
            self._num_open[connection.credential] -= others


# --- slow readers -----------------------------------------------------------------------------------------------------


@mutant("limit-slow-reader", by="slow-reader", limits="small", wait=QUIET)
def what_is_not_read_waits(on: Patches) -> None:
    """There is no bound on the frames of a connection."""
    on.set(Outbox, "is_full", False)


@mutant("limit-slow-reader", by="slow-reader", limits="small")
def a_slow_reader_is_not_told(on: Patches) -> None:
    """The connection is closed, and what waited is dropped."""

    @on.around(ServerConnection, "_detach_slow_reader")
    def detach(original: Any, self: ServerConnection, now: float) -> None:
        self._outbox.clear()
        self.closing = Close(1008, "slow")
        self._server.deadlines.cancel(self)
        self._detach_all(now)
        self._server.has_output(self)


def _ends_all(connection: ServerConnection) -> None:
    for lane in connection._lanes:
        if lane.open is not None:
            connection._server.request_end(lane.open, "cancelled", "connection_lost")


@mutant("limit-slow-reader", by="slow-reader", limits="small")
def a_slow_reader_loses_its_responses(on: Patches) -> None:
    """They are cancelled with its connection."""

    @on.around(ServerConnection, "_detach_slow_reader")
    def detach(original: Any, self: ServerConnection, now: float) -> None:
        _ends_all(self)
        original(self, now)


# --- pings ------------------------------------------------------------------------------------------------------------


@mutant("ping-pong", by="ping", wait=QUIET)
def a_pong_carries_nothing(on: Patches) -> None:
    """The data of the ping is left out."""

    @on.around(WebSocket, "send_frame")
    def send_frame(original: Any, self: WebSocket, frame: Frame) -> None:
        original(self, Frame(Opcode.PONG, b"") if frame.opcode is Opcode.PONG else frame)


@mutant("ping-pong", by="ping", wait=QUIET)
def pings_are_passed_over(on: Patches) -> None:
    """There is no pong."""

    @on.around(WebSocket, "send_frame")
    def send_frame(original: Any, self: WebSocket, frame: Frame) -> None:
        if frame.opcode is not Opcode.PONG:
            original(self, frame)


@mutant("ping-sent", by="server-pings", limits="impatient")
def nobody_is_pinged(on: Patches) -> None:
    """An idle connection is left alone."""
    on.set(WebSocketsSansIOProtocol, "start_keepalive", lambda self: None)


# --- time -------------------------------------------------------------------------------------------------------------


def _ends(on: Patches, change: Callable[[str, str], tuple[str, str]]) -> None:
    @on.around(ServerProtocol, "request_end")
    def request_end(original: Any, self: ServerProtocol, response: Any, status: str, reason: str) -> None:
        original(self, response, *change(status, reason))


@mutant("pause-timeout", by="nobody-answers", limits="impatient")
def a_pause_that_is_too_long_is_cancelled(on: Patches) -> None:
    """It ends as what is abandoned does."""
    _ends(on, lambda status, reason: ("cancelled", reason))


@mutant("pause-timeout", by="nobody-answers", limits="impatient")
def a_pause_that_is_too_long_has_another_reason(on: Patches) -> None:
    """The reason is none of the text."""
    _ends(on, lambda status, reason: (status, "timeout" if reason == "append_timeout" else reason))


@mutant("pause-timeout", by="nobody-answers", limits="impatient")
def the_time_of_a_pause_runs_on(on: Patches) -> None:
    """An append that leaves calls open does not begin it anew."""

    @on.around(ServerProtocol, "accept")
    def accept(original: Any, self: ServerProtocol, request: Any, now: float) -> None:
        key = (request.response, "pause")
        when = self.deadlines._when.get(key)
        original(self, request, now)
        if isinstance(request, AppendRequested) and when is not None and request.response.is_paused:
            self.deadlines.set(key, when)


@mutant("grace-period", by="nobody-resumes", limits="impatient")
def what_is_abandoned_has_another_reason(on: Patches) -> None:
    """The reason is that of a cancel by the client."""
    _ends(on, lambda status, reason: (status, "client_request"))


@mutant("grace-period", by="nobody-resumes", limits="impatient")
def the_grace_period_runs_on(on: Patches) -> None:
    """A resume does not end it."""

    @on.around(Deadlines, "cancel")
    def cancel(original: Any, self: Any, key: Any) -> None:
        if not (isinstance(key, tuple) and key[1] == "grace"):
            original(self, key)


@mutant("grace-period", by="nobody-resumes", limits="impatient")
def what_is_abandoned_is_forgotten(on: Patches) -> None:
    """Its end can't be read any more."""

    @on.around(ServerProtocol, "_ended_now")
    def ended(original: Any, self: ServerProtocol, response: Any, now: float) -> None:
        was_lost = response.connection is None
        original(self, response, now)
        if was_lost:
            self._forget(response)


@mutant("resume-unknown", by="nobody-resumes", limits="impatient", wait=QUIET)
def nothing_is_forgotten(on: Patches) -> None:
    """What has ended is kept for ever."""
    on.set(ServerProtocol, "_forget", lambda self, response: None)


@mutant("lifetime-close", by="end-of-a-connection", limits="short-lived")
def an_old_connection_closes_as_usual(on: Patches) -> None:
    """With code 1000."""
    on.set(server_connection, "GOING_AWAY", 1000)


@mutant("lifetime-close", by="end-of-a-connection", limits="short-lived")
def an_old_connection_closes_without_a_word(on: Patches) -> None:
    """The close code is all that is said."""

    @on.around(ServerConnection, "_close")
    def close(original: Any, self: ServerConnection, code: int, error: Any, now: float) -> None:
        original(self, code, error, now)
        self._outbox.clear()


@mutant("lifetime-close", by="sampled-on-at-the-end", limits="short-lived")
def an_old_connection_does_not_wait(on: Patches) -> None:
    """It is closed while the model samples."""

    @on.around(ServerConnection, "_retire")
    def retire(original: Any, self: ServerConnection, now: float) -> None:
        self._close(server_connection.GOING_AWAY, self._too_old(), now)


@mutant("lifetime-resumable", by="end-of-a-connection", limits="short-lived")
def an_old_connection_takes_its_responses_along(on: Patches) -> None:
    """They are cancelled when it closes."""

    @on.around(ServerConnection, "_close")
    def close(original: Any, self: ServerConnection, *more: Any) -> None:
        _ends_all(self)
        original(self, *more)
