"""The memory that holds the states of paused sequences outside of the KV cache.

A state of 1,000 tokens may take megabytes, and memory fresh from the system costs more than the state: the kernel
clears it page by page (4 MiB: 2.3 ms, where the copy itself takes 0.16 ms). So all states share one region, in slabs
that are used again, last freed first. A state lies in any slabs. Huge pages were tried: now and then the kernel takes
10 ms to make one.

What was used once stays with the process. `--swap-memory` bounds it.
"""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

from .errors import EngineStartFailed

Bytes = npt.NDArray[np.uint8]

SLAB = 32 * 1024
"""Bytes. The last slab of a state is half empty on average."""


class StoredState:
    """A state's bytes in slabs, which are free again when this object is gone."""

    __slots__ = ("_length", "_memory", "_slabs")

    def __init__(self, memory: StateMemory, slabs: list[int], length: int) -> None:
        self._memory = memory
        self._slabs = slabs
        self._length = length

    def __len__(self) -> int:
        return self._length

    def copy_to(self, buffer: Bytes) -> Bytes:
        """The bytes, in the beginning of a buffer of whole slabs."""
        slabs = buffer[: len(self._slabs) * SLAB].reshape(-1, SLAB)
        # Without a mode numpy would check the indices into another copy first.
        np.take(self._memory.slabs, self._slabs, axis=0, out=slabs, mode="clip")
        return buffer[: self._length]

    def in_one_piece(self) -> Bytes | None:
        """The bytes where they are, if the slabs follow one another; they are valid as long as this object."""
        first = self._slabs[0] if self._slabs else 0
        if self._slabs != list(range(first, first + len(self._slabs))):
            return None
        return self._memory.slabs.reshape(-1)[first * SLAB : first * SLAB + self._length]

    def array(self) -> Bytes:
        """The bytes, in an array of their own."""
        return self.copy_to(new_buffer(self._length))

    def __del__(self) -> None:
        self._memory.free.extend(self._slabs)


class StateMemory:
    """size: bytes, rounded up to slabs. Only what is used is taken from the system.

    Raises EngineStartFailed where the system doesn't even promise them.
    """

    def __init__(self, size: int) -> None:
        count = max(1, -(-size // SLAB))
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        try:
            self._region = mmap.mmap(-1, count * SLAB, flags=flags)
        except (OSError, OverflowError, ValueError) as error:
            raise EngineStartFailed(
                f"can't reserve {size} bytes for paused sequences ({error}): give a smaller --swap-memory"
            ) from error
        self.slabs = np.frombuffer(self._region, np.uint8).reshape(count, SLAB)
        self.free: list[int] = []  # those that were used before
        self._count = count
        self._used = 0  # slabs from here on never were

    @property
    def num_free(self) -> int:
        return len(self.free) + self._count - self._used

    def store(self, buffer: Bytes, length: int) -> StoredState | None:
        """Keep the first `length` bytes of a buffer of whole slabs; None if there is no room."""
        needed = -(-length // SLAB)
        if needed > self.num_free:
            return None
        kept = max(0, len(self.free) - needed)
        slabs = self.free[kept:]
        del self.free[kept:]
        fresh = needed - len(slabs)
        slabs.extend(range(self._used, self._used + fresh))
        self._used += fresh
        self.slabs[slabs] = buffer[: needed * SLAB].reshape(-1, SLAB)
        return StoredState(self, slabs, length)


def new_buffer(length: int) -> Bytes:
    """Of at least that many bytes, in whole slabs."""
    return np.empty(-(-length // SLAB) * SLAB, np.uint8)
