"""Servers that are wrong about pings and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caesura.protocol import server_connection
from caesura.protocol.deadlines import Deadlines
from caesura.protocol.server import ServerProtocol
from caesura.protocol.server_connection import ServerConnection
from caesura.protocol.server_requests import AppendRequested
from server_mutants import QUIET, Patches, mutant
from server_mutants_limits import ends_all
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol as WebSocket

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
        ends_all(self)
        original(self, *more)
