"""Messages over a socket between the server's process and the engine's: four bytes of length, then msgpack.

Raw sockets with the event loop's reader rather than asyncio's streams or transports: a message costs one `recv`, one
decode and one call, and the same socket can be read before there is an event loop, and by one after another.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

READ_BYTES = 256 * 1024
MESSAGE_BYTES = 2**30
"""No message is longer. A length beyond it is a broken sender's."""

_LENGTH = 4
_encode = msgspec.msgpack.Encoder().encode


class PipeBroken(Exception):
    """The other side went away, or sent what is no message."""


def frame(message: Any) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(_LENGTH) + body


def receive(sock: socket.socket, kind: Any) -> Any:
    """Wait for one message on a blocking socket. Raises PipeBroken."""
    try:
        size = int.from_bytes(_receive_exactly(sock, _LENGTH))
        if size > MESSAGE_BYTES:
            raise PipeBroken("it sent something that is no message")
        return msgspec.msgpack.decode(_receive_exactly(sock, size), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise PipeBroken(str(error)) from error


def _receive_exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise PipeBroken("it ended")
        data += part
    return bytes(data)


class Pipe(Generic[T]):
    """One end of the pipe, in an event loop.

    on_message: called with each message, in order.
    on_end:     called once when the other side is gone or sends nonsense; not after `close`.
    on_drained: called when everything that was sent has left.
    """

    def __init__(
        self,
        sock: socket.socket,
        kind: Any,
        on_message: Callable[[T], None],
        on_end: Callable[[], None],
        on_drained: Callable[[], None] = lambda: None,
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._decode: Callable[[bytes | memoryview], T] = msgspec.msgpack.Decoder(kind).decode
        self._on_message = on_message
        self._on_end = on_end
        self._on_drained = on_drained
        self._received = b""
        self._unsent = bytearray()
        self._loop = asyncio.get_running_loop()
        self._open = True
        # By number: uvloop would keep a socket object open until its reader is removed, also past the loop's own end.
        self._file = sock.fileno()
        self._loop.add_reader(self._file, self._on_readable)

    @property
    def congested(self) -> bool:
        """The other side doesn't read as fast as this one sends. What is sent now waits in memory."""
        return bool(self._unsent)

    def send(self, message: Any) -> None:
        """Never blocks and never fails: that the other side is gone is noticed by the reader."""
        data = frame(message)
        if self._unsent:
            self._unsent += data
            return
        sent = self._write(data)
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._file, self._on_writable)

    def move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go on in another event loop."""
        self._leave()
        self._loop = loop
        loop.add_reader(self._file, self._on_readable)
        if self._unsent:
            loop.add_writer(self._file, self._on_writable)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self._open:
            self._open = False
            self._leave()
            self._socket.close()

    def _leave(self) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(self._file)
            self._loop.remove_writer(self._file)

    def _write(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return len(data)

    def _on_writable(self) -> None:
        del self._unsent[: self._write(self._unsent)]
        if not self._unsent:
            self._loop.remove_writer(self._file)
            self._on_drained()

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        data = self._received + data if self._received else data
        begin, size = 0, len(data)
        while size - begin >= _LENGTH and self._open:
            end = begin + _LENGTH + int.from_bytes(data[begin : begin + _LENGTH])
            if end - begin > MESSAGE_BYTES:
                self._end()
                return
            if end > size:
                break
            try:
                message = self._decode(memoryview(data)[begin + _LENGTH : end])
            except msgspec.MsgspecError:
                self._end()
                return
            self._on_message(message)
            begin = end
        self._received = data[begin:]

    def _end(self) -> None:
        if self._open:
            self.close()
            self._on_end()
