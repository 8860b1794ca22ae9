"""Servers that are wrong about opening a connection, about frames that are no message, and about errors."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any

from caesura.protocol import codec, items, server_outlet
from caesura.protocol.codec import encode
from caesura.protocol.errors import (
    ConnectionLimitReached,
    InvalidJson,
    InvalidValue,
    MissingParameter,
    ResponseNotPaused,
    UnknownMessageType,
)
from caesura.protocol.events import ErrorEvent
from caesura.protocol.opening import APPEND_MODE, APPEND_MODE_NAME, APPEND_MODE_VERSION, BETA_HEADER
from caesura.protocol.server_connection import ServerConnection
from caesura.runtime import app
from server_mutants import QUIET, Event, Patches, mutant
from starlette.websockets import WebSocket

# --- opening ----------------------------------------------------------------------------------------------------------


def _opens_if(on: Patches, test: Callable[[WebSocket], bool]) -> None:
    on.set(app, "asks_for_append_mode", test)


def _by_query(websocket: WebSocket) -> bool:
    return APPEND_MODE_VERSION in websocket.query_params.getlist(APPEND_MODE_NAME)


@mutant("open-header", by="header-opens-append-mode header-is-a-list")
def the_header_is_not_looked_at(on: Patches) -> None:
    """Only the query opens append mode."""
    _opens_if(on, _by_query)


@mutant("open-header", by="header-is-a-list")
def the_list_is_split_and_not_stripped(on: Patches) -> None:
    """A blank behind the comma belongs to the value."""
    _opens_if(on, lambda ws: APPEND_MODE in ws.headers.get(BETA_HEADER, "").split(",") or _by_query(ws))


@mutant("open-query", by="query-opens-append-mode")
def the_parameter_has_the_name_of_the_header(on: Patches) -> None:
    """``?OpenAI-Beta=...`` opens append mode, and not the parameter of the text."""
    _opens_if(
        on, lambda ws: APPEND_MODE in (ws.headers.get(BETA_HEADER, "") + "," + ws.query_params.get(BETA_HEADER, ""))
    )


@mutant("open-opt-in", by="nothing-of-append-mode-unasked")
def append_mode_for_everybody(on: Patches) -> None:
    """The opt-in is forgotten."""
    _opens_if(on, lambda ws: True)


@mutant("open-opt-in", by="nothing-of-append-mode-unasked")
def append_mode_for_every_version(on: Patches) -> None:
    """The header opens append mode whatever version it names."""
    _opens_if(on, lambda ws: APPEND_MODE_NAME in ws.headers.get(BETA_HEADER, "") or _by_query(ws))


@mutant("open-echo", by="answer-echoes-the-mode")
def the_handshake_is_accepted_without_a_word(on: Patches) -> None:
    """No header in the answer."""

    @on.around(WebSocket, "accept")
    async def accept(original: Any, self: WebSocket, subprotocol: str | None = None, headers: Any = None) -> None:
        await original(self, subprotocol)


@mutant("open-echo", by="answer-echoes-the-mode")
def the_echo_lacks_the_version(on: Patches) -> None:
    """The name of the mode, without the version that was understood."""
    on.set(app, "APPEND_MODE", APPEND_MODE_NAME)
    _opens_if(on, lambda ws: APPEND_MODE in ws.headers.get(BETA_HEADER, ""))


# --- frames that are no message ---------------------------------------------------------------------------------------


@mutant("binary-refused", by="binary-frame")
def a_binary_frame_may_hold_a_message(on: Patches) -> None:
    """Bytes that are text are read as such."""

    @on.around(ServerConnection, "receive")
    def receive(original: Any, self: ServerConnection, data: str | bytes, now: float) -> None:
        with contextlib.suppress(UnicodeDecodeError):
            data = data.decode() if isinstance(data, bytes) else data
        original(self, data, now)


@mutant("binary-refused", by="binary-frame", wait=QUIET)
def binary_frames_are_dropped(on: Patches) -> None:
    """Nobody is told that they can't be read."""

    @on.around(ServerConnection, "receive")
    def receive(original: Any, self: ServerConnection, data: str | bytes, now: float) -> None:
        if isinstance(data, str):
            original(self, data, now)


@mutant("bad-json", by="no-json-object")
def json_that_is_no_object_lacks_a_type(on: Patches) -> None:
    """``[]`` and ``17`` are refused as messages without ``type``."""

    @on.around(codec, "_explain")
    def explain(original: Any, data: str, error: Exception) -> None:
        try:
            original(data, error)
        except InvalidJson as found:
            raise UnknownMessageType(found.message) from error


@mutant("bad-json", by="no-json-object", wait=QUIET)
def an_empty_frame_keeps_alive(on: Patches) -> None:
    """A frame without text is taken for a heartbeat."""

    @on.around(ServerConnection, "receive")
    def receive(original: Any, self: ServerConnection, data: str | bytes, now: float) -> None:
        if data != "":
            original(self, data, now)


def _instead(on: Patches, found: type[Exception], make: Callable[[Exception], Exception | None]) -> None:
    """Refuse with another error than the one that was found, or with none."""

    @on.around(ServerConnection, "refuse")
    def refuse(original: Any, self: ServerConnection, error: Exception, *more: Any, **about: Any) -> None:
        other = make(error) if isinstance(error, found) else error
        if other is not None:
            original(self, other, *more, **about)


@mutant("unknown-type", by="unknown-type")
def a_message_without_type_lacks_a_parameter(on: Patches) -> None:
    """No ``type`` at all has the code of other fields that are missing."""
    _instead(on, UnknownMessageType, lambda error: MissingParameter(str(error)) if "missing" in str(error) else error)


@mutant("unknown-type", by="unknown-type", wait=QUIET)
def unknown_types_are_passed_over(on: Patches) -> None:
    """A server does with messages what a client does with events."""
    _instead(on, UnknownMessageType, lambda error: None)


@mutant("unknown-fields", by="unknown-fields")
def items_of_an_append_are_strict(on: Patches) -> None:
    """An output with a field that is not known is refused."""

    @on.around(items, "parse_item")
    def item(original: Any, raw: Any, at: str) -> Any:
        if isinstance(raw, dict) and raw.get("type") == "function_call_output":
            for name in raw.keys() - {"type", "call_id", "output", "status", "id"}:
                raise InvalidValue(f"'{at}.{name}' is unknown.", param=f"{at}.{name}")
        return original(raw, at)


@mutant("unknown-fields", by="unknown-fields", wait=QUIET)
def a_resume_is_strict(on: Patches) -> None:
    """A resume with a field that is not known is refused."""

    @on.around(ServerConnection, "receive")
    def receive(original: Any, self: ServerConnection, data: str | bytes, now: float) -> None:
        message = json.loads(data)
        known = {"type", "response_id", "starting_after", "stream_id"}
        if message.get("type") == "response.resume" and message.keys() - known:
            self.refuse(InvalidValue("A field is unknown."), None)
        else:
            original(self, data, now)


# --- errors -----------------------------------------------------------------------------------------------------------


def _errors(on: Patches, change: Callable[[ServerConnection, Event], None]) -> None:
    """Change errors as they are encoded."""

    class Connection:
        current: ServerConnection

    @on.around(ServerConnection, "refuse")
    def refuse(original: Any, self: ServerConnection, *arguments: Any, **about: Any) -> None:
        Connection.current = self
        original(self, *arguments, **about)

    def encode_changed(event: Any) -> str:
        frame = encode(event)
        if isinstance(event, ErrorEvent):
            decoded = json.loads(frame)
            change(Connection.current, decoded)
            frame = json.dumps(decoded)
        return frame

    on.set(server_outlet, "encode", encode_changed)


@mutant("error-shape", by="error-has-all-fields")
def a_param_that_is_null_is_left_out(on: Patches) -> None:
    """Errors that are about no field have no ``param``."""

    def change(connection: ServerConnection, event: Event) -> None:
        if event["error"]["param"] is None:
            del event["error"]["param"]

    _errors(on, change)


@mutant("error-shape", by="error-has-all-fields")
def an_error_has_a_status_in_its_body(on: Patches) -> None:
    """``status`` is inside of ``error``."""

    def change(connection: ServerConnection, event: Event) -> None:
        event["error"]["status"] = event.pop("status")

    _errors(on, change)


@mutant("error-lives", by="errors-in-a-pause")
def a_refused_append_fails_its_response(on: Patches) -> None:
    """Tools that misbehave are not asked again."""

    @on.around(ServerConnection, "refuse")
    def refuse(original: Any, self: ServerConnection, *more: Any, response_id: str | None = None, **about: Any) -> None:
        original(self, *more, response_id=response_id, **about)
        if response_id is not None and "raw" in about:
            self._server.request_end(self._server._responses[response_id], "cancelled", "invalid_request")


@mutant("error-lives", by="errors-while-sampling")
def what_comes_at_the_wrong_time_closes(on: Patches) -> None:
    """A message that the state table does not allow is a violation of the protocol."""

    @on.around(ServerConnection, "refuse")
    def refuse(original: Any, self: ServerConnection, error: Exception, *more: Any, **about: Any) -> None:
        original(self, error, *more, **about)
        if isinstance(error, ResponseNotPaused) and self.closing is None:
            self._close(1002, ConnectionLimitReached("That was not to come now."), 0.0)


@mutant("error-apart", by="errors-in-a-pause")
def errors_of_a_connection_all_have_the_number_0(on: Patches) -> None:
    """The count of errors is never kept."""
    _errors(on, lambda connection, event: event.update(sequence_number=0))


@mutant("error-apart", by="errors-in-a-pause errors-while-sampling")
def an_error_takes_a_number_of_its_response(on: Patches) -> None:
    """An error that names a Response is numbered like an event of it."""

    def change(connection: ServerConnection, event: Event) -> None:
        response = connection._server._responses.get(event.get("response_id"))
        if response is not None:
            event["sequence_number"] = response.next_sequence_number
            response.next_sequence_number += 1

    _errors(on, change)


@mutant("error-apart", by="errors-while-sampling")
def errors_are_counted_by_the_server(on: Patches) -> None:
    """All connections share one count."""
    count = itertools.count(1)
    _errors(on, lambda connection, event: event.update(sequence_number=next(count)))


@mutant("error-lane", by="error-echoes-the-lane")
def a_refused_create_has_no_lane(on: Patches) -> None:
    """Its lane was not opened yet."""

    @on.around(ServerConnection, "refuse")
    def refuse(original: Any, self: ServerConnection, error: Any, stream_id: str | None, **about: Any) -> None:
        original(self, error, None if "key" in about and "raw" not in about else stream_id, **about)


@mutant("error-lane", by="error-echoes-the-lane")
def an_error_has_the_lane_used_last(on: Patches) -> None:
    """The lane of the message before is echoed where a message has none."""

    def change(connection: ServerConnection, event: Event) -> None:
        lanes.append(event.get("stream_id") or lanes[-1])
        if lanes[-1] is not None:
            event["stream_id"] = lanes[-1]

    lanes: list[str | None] = [None]
    _errors(on, change)
