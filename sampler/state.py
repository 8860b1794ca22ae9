"""The computed state of a sequence (its KV cache, or what a recurrent model has in its place), and what moves it."""

from __future__ import annotations

import enum
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from .eviction import Parked


class Level(enum.Enum):
    SLOT = "slot"
    MEMORY = "memory"
    DISK = "disk"
    NOWHERE = "nowhere"


class Blob(Protocol):
    """A state outside of the KV cache: bytes, or what a simulation has in their place."""

    def __len__(self) -> int: ...


class Storage(Protocol):
    """Moves states. Slots are numbered from 0; each file has a number that is never used again.

    can_trim: whether `trim` works; recurrent models keep one state and can't go back.
    """

    @property
    def can_trim(self) -> bool: ...

    def state_size(self, slot: int, tokens: int) -> int:
        """Bytes that `save` would give, about."""
        ...

    def save(self, slot: int) -> Blob: ...

    def load(self, slot: int, blob: Blob) -> bool:
        """Fill an empty slot; False if the state is unusable, and the slot is then empty."""
        ...

    def trim(self, slot: int, tokens: int) -> None:
        """Forget everything after the first `tokens`."""
        ...

    def clear(self, slot: int) -> None: ...

    def write(self, file: int, blob: Blob) -> None:
        """Begin to write a file; ends by `Residency.written`."""
        ...

    def read(self, file: int) -> None:
        """Begin to read a file that was written; ends by `Residency.loaded`."""
        ...

    def delete(self, file: int) -> None:
        """Delete the file, once any writing or reading of it is over. It may not exist."""
        ...


@dataclass(slots=True, eq=False)
class State:
    """The computed state of one sequence.

    tokens:     computed, from position 0 on. 0 means that there is no state.
    high_water: the most that `tokens` ever was.
    ahead:      what was computed after these, in case that the sequence goes on so. It is where the state is, and not a
                part of it: nobody else may use it.
    wasted:     how many tokens computed ahead were of no use since the sequence was last sampled.
    size:       bytes that it takes, as of the latest pause.
    file:       where it is on disk, or on its way to it; -1 if it isn't.
    held:       somebody waits for it, so it must not move away.
    in_transit: it was read from disk for a slot that it hasn't got yet, whatever the budget of the memory.
    """

    key: int
    tokens: int = 0
    high_water: int = 0
    ahead: array[int] = field(default_factory=lambda: array("i"))
    wasted: int = 0
    level: Level = Level.NOWHERE
    slot: int = -1
    size: int = 0
    blob: Blob | None = None
    file: int = -1
    running: bool = False
    held: bool = False
    in_transit: bool = False
    closed: bool = False
    reading: bool = False
    parked_at: float = 0.0
    tools: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Tokens that are computed where it is, those ahead included."""
        return self.tokens + len(self.ahead)

    def lose(self) -> None:
        """Nothing of it is computed any more."""
        self.tokens = 0
        self.cut_ahead(0)

    def cut_ahead(self, length: int) -> None:
        """Only the first `length` of those ahead are computed, or wanted, any more."""
        self.wasted += len(self.ahead) - length
        del self.ahead[length:]

    @property
    def parked(self) -> Parked:
        return Parked(self.key, self.size, self.parked_at, self.tools, self.tokens)


class Waiting(Protocol):
    """Whoever waits for a slot, see `Residency.seat`."""

    @property
    def key(self) -> int: ...

    @property
    def sources(self) -> Sequence[tuple[int, int]]: ...


WaitingT = TypeVar("WaitingT", bound=Waiting)


class Outcome(enum.Enum):
    """Of a wish for a slot."""

    SEATED = "seated"
    TRANSFER = "transfer"  # a read or write has to end first
    FULL = "full"  # every slot is being sampled


@dataclass(slots=True)
class Counters:
    """What happened since the start."""

    swapped_out: int = 0
    swapped_in: int = 0
    written: int = 0
    read: int = 0
    dropped: int = 0
    shared: int = 0
    bytes_moved: int = 0
    computed_ahead: int = 0
