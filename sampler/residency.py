"""Where the computed state of each sequence is: in a slot of the KV cache, in memory, on disk, or nowhere.

A sequence that is being sampled needs a slot. A paused one keeps its slot while nobody else needs it; then its state
moves to memory, from there to disk, and where it can't be kept it is dropped, to be computed again from the ledger.
Which one moves is for a policy to say (`eviction`). A closed sequence leaves its state in its slot until the slot is
wanted, for others that begin like it.

Plain data and loops: what really moves bytes is a `Storage`, time arrives as `now`, and slow reads and writes end by a
call of `written` or `loaded`. So the same code runs in the engine, in tests and in a simulation.

Source of the three ways out of the KV cache: InferCept (ICML 2024): preserve, swap, discard.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field

from .eviction import EvictionPolicy
from .state import Blob, Counters, Level, Outcome, State, Storage, WaitingT
from .swap_space import SwapSpace, victim_of

MAX_TRANSFER_LOOKAHEAD = 8
"""Waiting sequences that are looked at past one whose state has to be read or written first."""

MAX_COPY_AHEAD = 32 * 2**20
"""Bytes. Whoever goes on while a larger state is copied ahead would have to wait for more than a few milliseconds."""

COPY_ADVANTAGE = 100
"""Copying a state costs at most a hundredth of computing it (measured: 1/143 and less), so a sequence is worth copying
for a common beginning that is at least this part of it."""


@dataclass(slots=True)
class Residency:
    """slots: of the KV cache. memory, disk: bytes that states may take there; 0 is none.

    keep_closed: leave the state of a closed sequence in its slot, for others to begin with.
    """

    slots: int
    memory: InitVar[int]
    disk: InitVar[int]
    policy: EvictionPolicy
    storage: Storage
    keep_closed: bool = True
    on_forgotten: Callable[[int], None] = lambda key: None
    states: dict[int, State] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    swap: SwapSpace = field(init=False)
    _free: list[int] = field(default_factory=list)
    _seats: dict[int, State] = field(default_factory=dict)

    def __post_init__(self, memory: int, disk: int) -> None:
        self.swap = SwapSpace(memory, disk, self.policy, self.storage, self.counters)
        # Low slots first: llama.cpp computes neighbouring ones in one pass.
        self._free = list(range(self.slots))

    def seat(self, key: int, now: float, sources: Sequence[tuple[int, int]] = ()) -> Outcome:
        """Bring a sequence's state into a slot, where it stays until `park`.

        sources: other sequences that begin like this one, and for how many tokens. If this one has no state, it starts
                 from a copy of the first that still has one.
        """
        state = self.states.setdefault(key, State(key))
        if state.level is not Level.SLOT:
            state.held = True  # it is no victim while others make room for it
            copied = self._share(state, sources, now) if state.level is Level.NOWHERE else Outcome.FULL
            outcome = self._bring(state, now) if copied is Outcome.FULL else copied
            if outcome is not Outcome.SEATED:
                return outcome
        self.swap.discard_copy(state)
        state.running, state.held, state.in_transit = True, False, False
        return Outcome.SEATED

    def wake(self, key: int, now: float) -> None:
        """Its pause is over. From now until `seat` or `give_up` it is no victim."""
        state = self.states.get(key)
        if state is not None and not state.running and not state.held:
            self.policy.resumed(state.parked, now)
            state.held, state.tools = True, ()

    def give_up(self, key: int, now: float) -> None:
        """Nobody waits for a slot for it any more."""
        if (state := self.states.get(key)) is not None:
            state.held = state.in_transit = False
            self.swap.settle(now)

    def seat_in_turn(self, waiting: Sequence[WaitingT], now: float) -> list[WaitingT]:
        """Seat whoever can be: those that still have a slot, then the others in the order given. Returns them."""
        # Those with a slot are no victims, so they must not wait behind one that needs a slot of theirs.
        order = sorted(waiting, key=lambda each: not self.is_resident(each.key))
        seated, transfers = [], 0
        for each in order:
            outcome = self.seat(each.key, now, each.sources)
            if outcome is Outcome.SEATED:
                seated.append(each)
            elif outcome is Outcome.FULL:
                break
            else:
                transfers += 1
                if transfers == MAX_TRANSFER_LOOKAHEAD:
                    break
        return seated

    def is_resident(self, key: int) -> bool:
        state = self.states.get(key)
        return state is not None and state.level is Level.SLOT

    def advance(self, key: int, tokens: int) -> None:
        """So many tokens of a seated sequence are computed by now."""
        state = self.states[key]
        state.tokens = tokens
        state.high_water = max(state.high_water, tokens)

    def advance_ahead(self, key: int, tokens: Sequence[int]) -> None:
        """After what is computed of a paused sequence in its slot, these tokens are, in case that it goes on so."""
        state = self.states[key]
        self.swap.discard_copy(state)
        state.ahead.extend(tokens)
        state.size = self.storage.state_size(state.slot, state.length)
        self.counters.computed_ahead += len(tokens)

    def cut_ahead(self, key: int, length: int) -> None:
        """Forget all but the first `length` tokens computed ahead, of a sequence in a slot."""
        state = self.states[key]
        if length < len(state.ahead):
            self.swap.discard_copy(state)
            state.cut_ahead(length)
            self.storage.trim(state.slot, state.length)

    def prepare(self, now: float) -> None:
        """There is time: copy the state that would have to leave its slot next, so that the next sequence needn't wait
        for that."""
        if any(state.closed for state in self._seats.values()):
            return  # that one's slot would be taken
        idle = [state for state in self._seats.values() if not state.running and not state.held and state.tokens]
        if idle and (victim := victim_of(self.policy, idle, now)).size <= MAX_COPY_AHEAD:
            self.swap.copy_ahead(victim)

    @property
    def is_crowded(self) -> bool:
        """More sequences are open than have slots, and no slot is free."""
        return len(self.states) > self.slots and not self._free

    def park(self, key: int, now: float) -> None:
        """The sequence pauses: it may lose its slot."""
        state = self.states[key]
        state.running = False
        state.parked_at = now
        state.size = self.storage.state_size(state.slot, state.tokens)
        if state.closed:
            self._retire(state)

    def expect(self, key: int, tools: tuple[str, ...]) -> None:
        """What its pause waits for."""
        if (state := self.states.get(key)) is not None and not state.running:
            state.tools = tools

    def spoil(self, key: int) -> None:
        """The state of a sequence in a slot is not to be trusted any more: drop it, keep the slot."""
        state = self.states[key]
        self.swap.discard_copy(state)
        self.storage.clear(state.slot)
        state.lose()

    def close(self, key: int) -> None:
        """The sequence is done. Its state stays in its slot for others, until the slot is wanted."""
        state = self.states.get(key)
        if state is None:
            self.on_forgotten(key)
        elif not state.closed:
            state.closed = True
            if not state.running:
                self._retire(state)

    def written(self, file: int, ok: bool) -> None:
        """A write has ended."""
        self.swap.written(file, ok)

    def loaded(self, file: int, blob: Blob | None) -> None:
        """A read has ended; None if the file can't be used."""
        self.swap.loaded(file, blob)

    def move(self, key: int, slot: int) -> bool:
        """Put a running sequence's state into another slot; a paused one that is there takes its place. False if its
        state was lost on the way, which costs it all that was computed."""
        state, other = self.states[key], self._seats.get(slot)
        if other is not None and other.closed and not other.running:
            self.storage.clear(slot)
            self._forget(other)
            heapq.heappush(self._free, slot)
            other = None
        origin, blob = state.slot, self.storage.save(state.slot)
        self.storage.clear(origin)
        del self._seats[origin]
        if other is None:
            self._free.remove(slot)
            heapq.heapify(self._free)
            heapq.heappush(self._free, origin)
        elif other.tokens:
            others_blob = self.storage.save(slot)
            self.storage.clear(slot)
            if not self.storage.load(origin, others_blob):
                other.lose()
        if other is not None:
            self._sit(other, origin)
        self._sit(state, slot)
        if not self.storage.load(slot, blob):
            state.lose()
            return False
        return True

    # --- into a slot ------------------------------------------------------------------------------------------------

    def _bring(self, state: State, now: float) -> Outcome:
        if state.level is Level.DISK:
            self.swap.fetch(state)
            return Outcome.TRANSFER
        with self.swap.leaving(state):
            slot = self._take_slot(now)
        if isinstance(slot, Outcome):
            return slot
        if state.level is Level.MEMORY:
            blob = self.swap.take(state)
            if not self.storage.load(slot, blob):
                state.lose()
                self.counters.dropped += 1
        self._sit(state, slot)
        return Outcome.SEATED

    def _share(self, state: State, sources: Sequence[tuple[int, int]], now: float) -> Outcome:
        """Start from a copy of another state, if one is there; FULL if none is of use."""
        for key, common in sources:
            source = self.states.get(key)
            usable = min(common, source.tokens) if source is not None else 0
            if source is None or usable < 1 or usable * COPY_ADVANTAGE < source.tokens:
                continue
            if source.length > usable and not self.storage.can_trim:
                continue
            if source.level is Level.DISK:
                self.swap.fetch(source)
                return Outcome.TRANSFER
            length = source.length
            if not self._copy(source, state, now):
                continue
            if length > usable:
                self.storage.trim(state.slot, usable)
            state.tokens = usable
            state.high_water = max(state.high_water, usable)
            self.counters.shared += 1
            return Outcome.SEATED
        return Outcome.FULL

    def _copy(self, source: State, state: State, now: float) -> bool:
        if source.level is Level.SLOT and source.closed and not source.running:
            slot = source.slot
            state.tokens = source.tokens
            self._forget(source)
            self._sit(state, slot)
            return True
        was_held, source.held = source.held, True  # it must not give way to its own copy
        taken = self._take_slot(now)
        source.held = was_held
        if isinstance(taken, Outcome):
            return False
        blob = self.storage.save(source.slot) if source.level is Level.SLOT else source.blob
        if blob is None or not self.storage.load(taken, blob):
            heapq.heappush(self._free, taken)
            return False
        state.tokens = source.tokens
        self.counters.bytes_moved += len(blob)
        self._sit(state, taken)
        return True

    def _sit(self, state: State, slot: int) -> None:
        state.level, state.slot = Level.SLOT, slot
        self._seats[slot] = state

    def _take_slot(self, now: float) -> int | Outcome:
        """An empty slot, made empty if need be."""
        if self._free:
            return heapq.heappop(self._free)
        idle = [state for state in self._seats.values() if not state.running and not state.held]
        closed = [state for state in idle if state.closed]
        if closed:
            oldest = min(closed, key=lambda state: state.parked_at)
            self.storage.clear(oldest.slot)
            self._forget(oldest)
            return oldest.slot
        if not idle:
            return Outcome.FULL
        empty = [state for state in idle if not state.tokens]
        state = empty[0] if empty else victim_of(self.policy, idle, now)
        slot = state.slot
        if empty:
            state.level = Level.NOWHERE
        elif not self.swap.put(state, now):
            return Outcome.TRANSFER
        del self._seats[slot]
        state.slot = -1
        self.storage.clear(slot)
        return slot

    # --- the end ----------------------------------------------------------------------------------------------------

    def _retire(self, state: State) -> None:
        if state.level is Level.SLOT and state.tokens and self.keep_closed:
            return
        if state.level is Level.SLOT:
            self.storage.clear(state.slot)
            heapq.heappush(self._free, state.slot)
        else:
            self.swap.forget(state)
        self._forget(state)

    def _forget(self, state: State) -> None:
        self.swap.discard_copy(state)
        if state.slot >= 0:
            self._seats.pop(state.slot, None)
        del self.states[state.key]
        self.on_forgotten(state.key)
