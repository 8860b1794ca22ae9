"""A storage of plain data: a state is the key that it belongs to and a count of tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from caesura.sampler.residency import Residency


@dataclass(frozen=True)
class PlainState:
    """Takes ten bytes a token."""

    owner: int
    tokens: int

    def __len__(self) -> int:
        return 10 * self.tokens


@dataclass
class PlainStorage:
    """Reads and writes are carried out by `transfer`, one at a time, and can be made to fail."""

    can_trim: bool = True
    slots: dict[int, PlainState] = field(default_factory=dict)
    files: dict[int, PlainState] = field(default_factory=dict)
    queue: list[tuple[str, int, Any]] = field(default_factory=list)
    unusable: set[PlainState] = field(default_factory=set)

    def state_size(self, slot: int, tokens: int) -> int:
        return 10 * tokens

    def save(self, slot: int) -> PlainState:
        return self.slots[slot]

    def load(self, slot: int, blob: Any) -> bool:
        assert slot not in self.slots, "a slot that is in use was filled"
        if blob in self.unusable:
            return False
        self.slots[slot] = blob
        return True

    def trim(self, slot: int, tokens: int) -> None:
        state = self.slots[slot]
        assert self.can_trim
        assert 0 < tokens <= state.tokens
        self.slots[slot] = PlainState(state.owner, tokens)

    def clear(self, slot: int) -> None:
        self.slots.pop(slot, None)

    def write(self, file: int, blob: Any) -> None:
        self.queue.append(("write", file, blob))

    def read(self, file: int) -> None:
        self.queue.append(("read", file, None))

    def delete(self, file: int) -> None:
        self.queue.append(("delete", file, None))

    def transfer(self, residency: Residency, *, fail: bool = False) -> None:
        """Carry out the first request."""
        kind, file, blob = self.queue.pop(0)
        if kind == "write":
            if not fail:
                assert file not in self.files
                self.files[file] = blob
            residency.written(file, not fail)
        elif kind == "read":
            residency.loaded(file, None if fail else self.files[file])
        else:
            self.files.pop(file, None)
