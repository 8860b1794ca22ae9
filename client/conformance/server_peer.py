"""The suite as a client: connections to a server under test, each watched by an observer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket

from ..handshake import is_local
from .events import Event, error_code, error_message
from .observer import Observer
from .outcome import CheckFailed, Violation
from .peer import Frame, Peer, count_pings
from .response_log import ResponseLog
from .transcript import Transcript
from .usage_rule import Complain

HEADER = "OpenAI-Beta"
APPEND_MODE = "responses_websockets=2026-02-04"
MAX_FRAME_BYTES = 64 << 20

T = TypeVar("T")


class ServerPeer(Peer):
    """``attached`` are the Responses that this connection carries. Errors are expected one by one, in order; one that
    nobody expects ends a wait for something else at once, instead of at its timeout."""

    def __init__(
        self, connection: Any, transcript: Transcript, name: str, timeout: float, observer: Observer, complain: Complain
    ) -> None:
        self.observer = observer
        self._complain = complain
        self._response_ids: dict[int, str] = {}
        self._errors_taken = 0
        self._connection = connection
        super().__init__(
            connection, transcript, name, timeout=timeout, on_frame=self._observe, on_send=self.observer.sends
        )

    @property
    def handshake(self) -> Mapping[str, str]:
        """The headers of the server's answer."""
        return dict(self._connection.response.headers.raw_items())

    @property
    def pinged(self) -> asyncio.Event:
        """Set once the server has sent a ping."""
        pinged: asyncio.Event = self._connection.pinged
        return pinged

    def response_id(self, frame: Frame) -> str | None:
        """The Response that a frame is an event of."""
        return self._response_ids.get(frame.index)

    def events(self, response_id: str, after: int = 0) -> list[Frame]:
        """What came here of a Response, from the index ``after`` on."""
        return [frame for frame in self.frames[after:] if self.response_id(frame) == response_id]

    def _observe(self, frame: Frame) -> None:
        if not frame.event:
            self._complain("error-shape", f"a frame came that is no JSON object: {frame.text[:100]}")
            return
        log = self.observer.receives(frame.text, frame.event)
        if log is not None:
            self._response_ids[frame.index] = log.id

    # --- errors ---------------------------------------------------------------------------------------------------

    async def error(
        self, what: str = "an error", *, requirement: str | None = None, seconds: float | None = None
    ) -> Event:
        """The next error."""

        def test(frame: Frame) -> Frame | None:
            return frame if frame.type == "error" else None

        frame = await laid_to(requirement, self.wait(test, what, after=self._errors_taken, seconds=seconds))
        self._errors_taken = frame.index + 1
        return frame.event

    async def refusal(self, code: str, requirement: str) -> Event:
        """The next error, which must have this code."""
        error = await self.error(f"the error {code}", requirement=requirement)
        if error_code(error) != code:
            text = f"the error has the code {error_code(error)}, not {code}: {error_message(error)}"
            raise Violation(requirement, text)
        return error

    def raise_unexpected(self, frame: Frame, awaited: str) -> None:
        """:raises CheckFailed: the frame is an error that nobody has taken."""
        if frame.type == "error" and frame.index >= self._errors_taken:
            code, text = error_code(frame.event), error_message(frame.event)
            raise CheckFailed(f"the error {code} came, not {awaited}: {text}")


async def laid_to(requirement: str | None, awaitable: Awaitable[T]) -> T:
    """What it gives; if it fails, that is a violation of the requirement, if one is given."""
    try:
        return await awaitable
    except Violation:
        raise
    except CheckFailed as failed:
        if requirement is None:
            raise
        raise Violation(requirement, str(failed)) from None


async def connect_to_server(
    url: str,
    transcript: Transcript,
    name: str,
    *,
    find_log: Callable[[str], ResponseLog],
    complain: Complain,
    wait_seconds: float,
    api_key: str | None = None,
    header: str | None = APPEND_MODE,
    receive_buffer: int | None = None,
) -> ServerPeer:
    """Open a connection.

    :param header: the value of ``OpenAI-Beta``, if any.
    :param receive_buffer: bytes that the system keeps for what is not read yet; None leaves it to the system.
    :raises CheckFailed: there is no such server, or it refuses; ``websockets.InvalidStatus`` is then the cause.
    """
    headers = {} if header is None else {HEADER: header}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    transcript.add(name, "-", f"connects to {url}" + (f" with {HEADER}: {header}" if header else ""))
    options: dict[str, Any] = {"sock": _small_socket(url, receive_buffer)} if receive_buffer else {}
    try:
        connection = await open_websocket(
            url,
            additional_headers=headers,
            create_connection=count_pings(ClientConnection),
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=wait_seconds,
            ping_interval=None,  # the suite pings only where a check says so
            proxy=None if is_local(url) else True,
            **options,
        )
    except (OSError, websockets.WebSocketException) as error:
        transcript.add(name, "-", f"no connection: {error or type(error).__name__}")
        raise CheckFailed(f"can't connect: {error or type(error).__name__}") from error
    return ServerPeer(connection, transcript, name, wait_seconds, Observer(find_log, complain), complain)


def _small_socket(url: str, receive_buffer: int) -> socket.socket:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    family, kind, protocol, _, address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.connect(address)
    made.setblocking(False)
    return made
