"""What moves states in the engine: `state.Storage` on a llama.cpp context, memory and files."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from .state import Blob
from .state_memory import StateMemory, StoredState, new_buffer
from .swap_files import SwapFiles

Bytes = npt.NDArray[np.uint8]


class StateContext(Protocol):
    """What it needs of `LlamaContext`."""

    can_trim: bool

    def state_size(self, slot: int, tokens: int) -> int: ...
    def saved_size(self, slot: int) -> int: ...
    def save(self, slot: int, buffer: Bytes) -> int: ...
    def load(self, slot: int, state: Bytes) -> bool: ...
    def trim(self, slot: int, tokens: int) -> None: ...
    def clear(self, slot: int) -> None: ...


class EngineStorage:
    """See `state.Storage`. Without `files` nothing is ever written, since the disk's budget is 0 then."""

    def __init__(self, context: StateContext, memory: StateMemory, files: SwapFiles | None) -> None:
        self._context = context
        self._memory = memory
        self._files = files
        self._buffer = new_buffer(1)
        self.can_trim = context.can_trim
        self.state_size = context.state_size
        self.trim = context.trim
        self.clear = context.clear

    def save(self, slot: int) -> Blob:
        size = self._context.saved_size(slot)
        if len(self._buffer) < size:
            self._buffer = new_buffer(size)
        length = self._context.save(slot, self._buffer)
        stored = self._memory.store(self._buffer, length)
        # On the way to disk a state is in memory beyond its budget, so there may be no slabs for it.
        return stored if stored is not None else self._buffer[:length].copy()

    def load(self, slot: int, blob: Blob) -> bool:
        if isinstance(blob, StoredState):
            if (piece := blob.in_one_piece()) is not None:
                return self._context.load(slot, piece)
            if len(self._buffer) < len(blob):
                self._buffer = new_buffer(len(blob))
            return self._context.load(slot, blob.copy_to(self._buffer))
        return self._context.load(slot, cast(Bytes, blob))

    def write(self, file: int, blob: Blob) -> None:
        assert self._files is not None
        self._files.write(file, blob.array if isinstance(blob, StoredState) else lambda: cast(Bytes, blob))

    def read(self, file: int) -> None:
        assert self._files is not None
        self._files.read(file)

    def delete(self, file: int) -> None:
        if self._files is not None:
            self._files.delete(file)
