"""Server-sent events (WHATWG HTML, 9.2), as far as APIs use them."""

from __future__ import annotations


class EventSplitter:
    """Takes a stream in pieces, cut anywhere, and gives the data of each event once its last byte is there.

    Of an event only ``data`` is kept; events without any are none. Lines end in LF or CRLF: a lone CR, which the
    standard allows too, is written by no server and would have every chunk's end looked at twice.
    """

    def __init__(self) -> None:
        self._line = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        lines = chunk.split(b"\n")
        lines[0] = self._line + lines[0]
        self._line = lines.pop()
        events = []
        for line in lines:
            if line.endswith(b"\r"):
                line = line[:-1]
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
        return events
