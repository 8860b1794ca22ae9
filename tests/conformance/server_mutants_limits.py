"""Servers that are wrong about limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caesura.protocol import append_items, codec, server_connection
from caesura.protocol.errors import MessageTooDeep, MessageTooLarge
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.outbox import Outbox
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.protocol.server_requests import Close
from server_mutants import QUIET, Patches, mutant
from uvicorn import Config

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


@mutant("limit-open-connection", by=CONNECTION, limits="small", wait=QUIET)
def one_more_response_may_be_open(on: Patches) -> None:
    """The bound is off by one."""
    _open(on, lambda connection, num: num - 1)


@mutant("limit-open-connection", by=CONNECTION, limits="small", wait=QUIET)
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
    def open_response(original: Any, self: ServerProtocol, connection: ServerConnection, create: ResponseCreate) -> Any:
        self._num_open[connection.credential] -= 1
        response = original(self, connection, create)
        self._num_open[connection.credential] += 1
        return response


@mutant("limit-open-credential", by=CREDENTIAL, limits="small", wait=QUIET)
def a_detached_response_is_not_open(on: Patches) -> None:
    """What nobody is attached to is not counted."""

    @on.around(ServerProtocol, "open")
    def open_response(original: Any, self: ServerProtocol, connection: ServerConnection, create: ResponseCreate) -> Any:
        detached = sum(
            each.owner == connection.credential and each.connection is None and not each.has_ended
            for each in self._responses.values()
        )
        self._num_open[connection.credential] -= detached
        response = original(self, connection, create)
        self._num_open[connection.credential] += detached
        return response


@mutant("limit-open-credential", by=CREDENTIAL, limits="small")
def all_credentials_have_one_bound(on: Patches) -> None:
    """What another credential has open counts too."""

    @on.around(ServerProtocol, "open")
    def open_response(original: Any, self: ServerProtocol, connection: ServerConnection, create: ResponseCreate) -> Any:
        others = self._num_open.total() - self._num_open[connection.credential]
        self._num_open[connection.credential] += others
        try:
            return original(self, connection, create)
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


def ends_all(connection: ServerConnection) -> None:
    for lane in connection._lanes:
        if lane.open is not None:
            connection._server.request_end(lane.open, "cancelled", "connection_lost")


@mutant("limit-slow-reader", by="slow-reader", limits="small")
def a_slow_reader_loses_its_responses(on: Patches) -> None:
    """They are cancelled with its connection."""

    @on.around(ServerConnection, "_detach_slow_reader")
    def detach(original: Any, self: ServerConnection, now: float) -> None:
        ends_all(self)
        original(self, now)
