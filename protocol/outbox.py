"""The frames of a connection that wait to be read."""

from __future__ import annotations

from collections import deque


class Outbox:
    """A queue that says when its reader is too slow.

    A replay is not slow reading: a client that resumes all its Responses asks for more than may wait. What was asked
    for so is allowed on top, until the queue has been empty once.
    """

    __slots__ = ("_allowed", "_bytes", "_frames", "_max_bytes", "_max_frames")

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._allowed: dict[object, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: str) -> None:
        self._frames.append(frame)
        self._bytes += frame.__sizeof__()

    def next(self) -> str | None:
        """Take the next frame out; None if there is none now."""
        if not self._frames:
            self._allowed.clear()
            return None
        frame = self._frames.popleft()
        self._bytes -= frame.__sizeof__()
        return frame

    def clear(self) -> None:
        self._frames.clear()
        self._bytes = 0

    def allow(self, who: object, frames: list[str]) -> None:
        """These were asked for. The same one asking again is allowed its largest replay, not the sum of them."""
        count, size = self._allowed.get(who, (0, 0))
        self._allowed[who] = (max(count, len(frames)), max(size, sum(frame.__sizeof__() for frame in frames)))

    @property
    def is_full(self) -> bool:
        """Too much waits."""
        if len(self._frames) < self._max_frames and self._bytes < self._max_bytes:
            return False
        count = sum(count for count, _ in self._allowed.values())
        size = sum(size for _, size in self._allowed.values())
        return len(self._frames) >= self._max_frames + count or self._bytes >= self._max_bytes + size
