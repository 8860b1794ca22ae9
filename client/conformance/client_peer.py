"""The suite's end of one connection that the client under test has opened."""

from __future__ import annotations

from websockets.asyncio.connection import Connection

from .client_listener import TextFrames
from .events import Event
from .peer import Frame, Peer
from .transcript import Transcript
from .usage_rule import Complain


class ClientPeer(Peer):
    """Messages are taken one by one, in their order. Whatever comes is held against ``text-frames``."""

    def __init__(
        self, connection: Connection, transcript: Transcript, name: str, *, timeout: float, complain: Complain
    ) -> None:
        self._complain = complain
        self._taken = 0
        socket = TextFrames(connection, lambda: complain("text-frames", "a message came as a binary frame"))
        super().__init__(socket, transcript, name, timeout=timeout, on_frame=self._observe)  # type: ignore[arg-type]

    async def message(self, what: str, *, seconds: float | None = None) -> Event:
        """The next message.

        :raises CheckFailed: none came in time, or the connection closed before.
        """
        frame = await self.wait(
            lambda frame: frame if _is_message(frame) else None, what, after=self._taken, seconds=seconds
        )
        self._taken = frame.index + 1
        return frame.event

    def take_waiting(self) -> list[Event]:
        """Take all messages that have come."""
        start, self._taken = self._taken, len(self.frames)
        return [frame.event for frame in self.frames[start:] if _is_message(frame)]

    async def hang_up(self, code: int) -> None:
        """Close it with this code."""
        self.note("-", f"closes with code {code}")
        await self.bounded(self._socket.close(code), "the client's part of closing")

    def _observe(self, frame: Frame) -> None:
        if not _is_message(frame):
            text = f"a message came that is no JSON object with a type: {frame.text[:100]}"
            self._complain("text-frames", text)


def _is_message(frame: Frame) -> bool:
    return isinstance(frame.event.get("type"), str)
