"""The states that are in no slot: in memory, on their way to disk or from it, and on disk.

Two budgets. Who moves on where one is used up is for the policy to say. Writes and reads take their time: at most
`MAX_TRANSFERS` of each are under way, and their states are in memory whatever its budget.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .eviction import EvictionPolicy
from .state import Blob, Counters, Level, State, Storage

MAX_TRANSFERS = 2
"""Reads, and writes, under way at a time. Their states are in memory beyond its budget, so there are few."""


@dataclass(slots=True)
class SwapSpace:
    """memory, disk: bytes that states may take there; 0 is none."""

    memory: int
    disk: int
    policy: EvictionPolicy
    storage: Storage
    counters: Counters
    memory_used: int = 0
    disk_used: int = 0
    _in_memory: dict[int, State] = field(default_factory=dict)
    _copies: dict[int, State] = field(default_factory=dict)  # of states that are still in their slots
    _on_disk: dict[int, State] = field(default_factory=dict)
    _writing: dict[int, State] = field(default_factory=dict)
    _num_writes: int = 0
    _num_reads: int = 0
    _files: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def leaving(self, state: State) -> Iterator[None]:
        """A state in memory is about to leave for a slot: whoever leaves that slot for memory finds its room."""
        size = state.size if state.level is Level.MEMORY and state.file < 0 else 0
        self.memory_used -= size
        try:
            yield
        finally:
            self.memory_used += size

    def copy_ahead(self, state: State) -> None:
        """Copy a state that may leave its slot soon, if there is room to spare: then it can leave at once."""
        if state.blob is None and self.memory_used + state.size <= self.memory:
            self._copies[state.key] = state
            self._keep(state)

    def discard_copy(self, state: State) -> None:
        """It goes on in its slot, so its copy is out of date."""
        if self._copies.pop(state.key, None) is not None:
            state.blob = None
            self.memory_used -= state.size

    def _keep(self, state: State) -> None:
        state.blob = self.storage.save(state.slot)
        state.size = len(state.blob)
        self.memory_used += state.size
        self.counters.bytes_moved += state.size

    def take(self, state: State) -> Blob:
        """Out of memory, for a slot."""
        self.counters.swapped_in += 1
        self.counters.bytes_moved += state.size
        return self._leave_memory(state)

    def forget(self, state: State) -> None:
        """It is not wanted any more."""
        if state.level is Level.SLOT:
            self.discard_copy(state)
        elif state.level is Level.MEMORY:
            self._leave_memory(state)
        elif state.level is Level.DISK:
            self._leave_disk(state)

    def written(self, file: int, ok: bool) -> None:
        """A write has ended."""
        self._num_writes -= 1
        state = self._writing.pop(file, None)
        if state is None:
            self.storage.delete(file)  # it was wanted back, or closed, before it was written
            return
        del self._in_memory[state.key]
        state.blob = None
        if ok:
            state.level = Level.DISK
            self._on_disk[file] = state
            self.counters.written += 1
        else:
            self.disk_used -= state.size
            state.file = -1
            self.storage.delete(file)
            self._drop(state)

    def loaded(self, file: int, blob: Blob | None) -> None:
        """A read has ended; None if the file can't be used."""
        self._num_reads -= 1
        state = self._on_disk.get(file)
        if state is None:
            return
        self._leave_disk(state)
        if blob is None:
            self._drop(state)
            return
        state.level, state.blob, state.in_transit = Level.MEMORY, blob, state.held
        self._in_memory[state.key] = state
        self.memory_used += state.size
        self.counters.read += 1

    def settle(self, now: float) -> None:
        """States that were read for nothing leave memory again, as far as they can be written at once."""
        for state in list(self._copies.values()):
            self.discard_copy(state)
        while self.memory_used > self.memory and self._num_writes < MAX_TRANSFERS:
            others = [state for state in self._in_memory.values() if state.file < 0 and not state.held]
            if not others:
                break
            victim = victim_of(self.policy, others, now)
            if self._make_room_on_disk(victim, now):
                self._begin_write(victim)
            else:
                self._leave_memory(victim)
                self._drop(victim)

    def put(self, state: State, now: float) -> bool:
        """Move a state out of its slot, at worst to nowhere; False if a write has to end first."""
        if self._copies.pop(state.key, None) is not None:
            self._enter_memory(state)
            return True
        fits = self._make_room_in_memory(state, now)
        if fits is None:
            return False
        to_disk = not fits and self._make_room_on_disk(state, now)
        if to_disk and self._num_writes >= MAX_TRANSFERS:
            return False
        if not fits and not to_disk:
            self._drop(state)
            return True
        self._keep(state)
        self._enter_memory(state)
        if to_disk:
            self._begin_write(state)
        return True

    def _enter_memory(self, state: State) -> None:
        state.level = Level.MEMORY
        self._in_memory[state.key] = state
        self.counters.swapped_out += 1

    def _make_room_in_memory(self, incoming: State, now: float) -> bool | None:
        """Whether the budget has room for it, after others moved out; None if a write has to end first."""
        if incoming.size > self.memory:
            return False
        while self.memory_used + incoming.size > self.memory:
            if self._copies:
                self.discard_copy(next(iter(self._copies.values())))
                continue
            others = [state for state in self._in_memory.values() if state.file < 0 and not state.held]
            victim = victim_of(self.policy, [*others, incoming], now)
            if victim is incoming:
                return False
            if not self._make_room_on_disk(victim, now):
                self._leave_memory(victim)
                self._drop(victim)
            elif self._num_writes >= MAX_TRANSFERS:
                return None
            else:
                self._begin_write(victim)
        return True

    def _make_room_on_disk(self, incoming: State, now: float) -> bool:
        """Whether the disk's budget has room for it, after others were dropped."""
        if incoming.size > self.disk:
            return False
        while self.disk_used + incoming.size > self.disk:
            others = [state for state in self._on_disk.values() if not state.held]
            victim = victim_of(self.policy, [*others, incoming], now)
            if victim is incoming:
                return False
            self._leave_disk(victim)
            self._drop(victim)
        return True

    def _begin_write(self, state: State) -> None:
        # It counts for the disk from now on. If it is wanted back before it is written, it is still in memory.
        state.file = next(self._files)
        self._writing[state.file] = state
        self._num_writes += 1
        self.memory_used -= state.size
        self.disk_used += state.size
        assert state.blob is not None
        self.storage.write(state.file, state.blob)

    def fetch(self, state: State) -> None:
        """Begin to read a state from disk, unless others are read or were read and wait for a slot: then later."""
        waiting = sum(state.in_transit for state in self._in_memory.values())
        if not state.reading and self._num_reads + waiting < MAX_TRANSFERS:
            state.reading = True
            self._num_reads += 1
            self.storage.read(state.file)

    def _leave_memory(self, state: State) -> Blob:
        del self._in_memory[state.key]
        if state.file >= 0:
            del self._writing[state.file]
            state.file = -1
            self.disk_used -= state.size
        else:
            self.memory_used -= state.size
        blob, state.blob = state.blob, None
        assert blob is not None
        return blob

    def _leave_disk(self, state: State) -> None:
        del self._on_disk[state.file]
        self.disk_used -= state.size
        self.storage.delete(state.file)
        state.file, state.reading = -1, False

    def _drop(self, state: State) -> None:
        """Its state is gone; the ledger remains."""
        state.lose()
        state.level, state.size = Level.NOWHERE, 0
        self.counters.dropped += 1


def victim_of(policy: EvictionPolicy, states: Sequence[State], now: float) -> State:
    """Which of these gives way."""
    by_key = {state.key: state for state in states}
    return by_key[policy.victim([state.parked for state in states], now).key]
