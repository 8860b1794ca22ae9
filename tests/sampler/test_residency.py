"""Where states are, against a plain model: no slot is used twice, no budget exceeded, no state mixed up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from caesura.sampler.eviction import POLICIES, LeastRecentlyUsed
from caesura.sampler.residency import Residency
from caesura.sampler.state import Level, Outcome
from caesura.sampler.swap_space import MAX_TRANSFERS
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from plain_storage import PlainState, PlainStorage


def residency_of(
    slots: int = 2, memory: int = 100, disk: int = 100, **settings: bool
) -> tuple[Residency, PlainStorage]:
    storage = PlainStorage()
    return Residency(slots, memory, disk, LeastRecentlyUsed(), storage, **settings), storage


def compute(residency: Residency, storage: PlainStorage, key: int, tokens: int, now: float = 0.0) -> None:
    """Seat it, compute so many tokens, and pause."""
    assert residency.seat(key, now) is Outcome.SEATED
    state = residency.states[key]
    storage.slots[state.slot] = PlainState(key, state.tokens + tokens)
    residency.advance(key, state.tokens + tokens)
    residency.park(key, now)


def levels(residency: Residency) -> list[str]:
    return [state.level.value for _, state in sorted(residency.states.items())]


def test_a_state_moves_down_and_comes_back() -> None:
    residency, storage = residency_of(slots=1, memory=50, disk=100)
    for key in range(4):
        compute(residency, storage, key, 5, now=key)
        while storage.queue:
            storage.transfer(residency)
    assert levels(residency) == ["disk", "disk", "memory", "slot"]
    assert (residency.swap.memory_used, residency.swap.disk_used) == (50, 100)
    assert residency.seat(0, 9) is Outcome.TRANSFER
    storage.transfer(residency)
    # It is in memory now and needs a slot, whose owner needs memory, from where another has to be written first.
    assert residency.seat(0, 9) is Outcome.SEATED
    assert storage.slots[0] == PlainState(0, 5)
    assert residency.counters.dropped == 0


@pytest.mark.parametrize("sources", [[], [(0, 5)]])
def test_a_copy_ahead_goes_with_its_sequence(sources: list[tuple[int, int]]) -> None:
    """Closed before or after the copy was made, whether its state serves another or makes room for it."""
    for close_first in (True, False):
        residency, storage = residency_of(slots=1)
        compute(residency, storage, 0, 5)
        if close_first:
            residency.close(0)
        residency.prepare(0)
        assert residency.swap.memory_used == (0 if close_first else 50)
        residency.close(0)
        assert residency.seat(1, 0, sources) is Outcome.SEATED
        assert residency.swap.memory_used == 0


def test_whoever_waits_keeps_what_it_has() -> None:
    residency, storage = residency_of(slots=2)
    compute(residency, storage, 0, 5, now=0)
    compute(residency, storage, 1, 5, now=1)
    residency.wake(0, 2)
    assert residency.seat(2, 3) is Outcome.SEATED
    assert levels(residency) == ["slot", "memory", "slot"], "the oldest was about to go on"

    residency, storage = residency_of(slots=1, memory=50, disk=0)
    compute(residency, storage, 0, 5, now=0)
    compute(residency, storage, 1, 5, now=1)
    assert residency.seat(1, 2) is Outcome.SEATED
    assert residency.seat(0, 2) is Outcome.FULL
    residency.park(1, 3)
    assert residency.seat(2, 4) is Outcome.SEATED
    assert levels(residency) == ["memory", "nowhere", "slot"]


def test_few_states_are_read_ahead_of_their_slots() -> None:
    """They are in memory beyond its budget."""
    residency, storage = residency_of(slots=1, memory=0, disk=1000)
    for key in range(7):
        compute(residency, storage, key, 5, now=key)
        while storage.queue:
            storage.transfer(residency)
    assert residency.seat(6, 9) is Outcome.SEATED
    for _ in range(3):
        for key in range(6):
            residency.wake(key, 9)
            assert residency.seat(key, 9) is not Outcome.SEATED
        while storage.queue:
            storage.transfer(residency)
    assert levels(residency).count("memory") == MAX_TRANSFERS
    residency.give_up(0, 9)
    residency.give_up(1, 9)
    assert residency.swap.memory_used == 0, "what was read for nothing leaves memory again"


def test_what_fits_nowhere_is_dropped() -> None:
    residency, storage = residency_of(slots=1, memory=40, disk=0)
    compute(residency, storage, 0, 5)
    compute(residency, storage, 1, 3)
    assert levels(residency) == ["nowhere", "slot"]
    state = residency.states[0]
    assert (state.tokens, state.high_water) == (0, 5)
    assert residency.seat(0, 1) is Outcome.SEATED
    assert 0 not in storage.slots


def test_running_sequences_keep_their_slots() -> None:
    residency, _ = residency_of(slots=2)
    assert residency.seat(0, 0) is Outcome.SEATED
    assert residency.seat(1, 0) is Outcome.SEATED
    assert residency.seat(2, 0) is Outcome.FULL
    residency.park(1, 1)
    assert residency.seat(2, 2) is Outcome.SEATED


def test_a_closed_sequence_leaves_its_state_until_the_slot_is_wanted() -> None:
    residency, storage = residency_of(slots=2)
    forgotten: list[int] = []
    residency.on_forgotten = forgotten.append
    compute(residency, storage, 0, 5)
    compute(residency, storage, 1, 5)
    residency.close(0)
    assert forgotten == []
    assert residency.seat(2, 1, [(0, 3)]) is Outcome.SEATED
    assert forgotten == [0], "it took the closed one's place"
    assert (residency.states[2].tokens, storage.slots[0]) == (3, PlainState(0, 3))
    residency.close(1)
    compute(residency, storage, 3, 1)
    assert forgotten == [0, 1]
    assert residency.swap.memory_used == 0, "a closed sequence's state is not swapped out"


def test_nothing_stays_of_a_closed_sequence_where_that_is_not_wanted() -> None:
    residency, storage = residency_of(slots=2, keep_closed=False)
    compute(residency, storage, 0, 5)
    residency.close(0)
    assert not storage.slots
    assert not residency.states
    assert residency.seat(1, 0) is Outcome.SEATED
    residency.close(1)
    assert residency.states, "it is still being sampled"
    residency.park(1, 0)
    assert not residency.states


def test_a_state_is_not_moved_out_for_its_own_copy() -> None:
    residency, storage = residency_of(slots=2)
    compute(residency, storage, 0, 5, now=0)
    compute(residency, storage, 1, 5, now=1)
    assert residency.seat(2, 2, [(0, 5)]) is Outcome.SEATED
    assert levels(residency) == ["slot", "memory", "slot"]


@pytest.mark.parametrize("level", ["slot", "memory", "disk", "nowhere"])
def test_a_copy_from_any_level(level: str) -> None:
    residency, storage = residency_of(
        slots=2, memory=0 if level in ("disk", "nowhere") else 100, disk=level == "disk" and 100
    )
    compute(residency, storage, 0, 6, now=0)
    if level != "slot":
        for key in (1, 2):
            compute(residency, storage, key, 1, now=key)
        while storage.queue:
            storage.transfer(residency)
    assert residency.states[0].level.value == level
    outcome = residency.seat(7, 9, [(0, 4)])
    if level == "disk":
        assert outcome is Outcome.TRANSFER
        storage.transfer(residency)
        while (outcome := residency.seat(7, 9, [(0, 4)])) is Outcome.TRANSFER:
            storage.transfer(residency)
    assert outcome is Outcome.SEATED
    copy = residency.states[7]
    if level == "nowhere":
        assert copy.tokens == 0
    else:
        assert (copy.tokens, storage.slots[copy.slot]) == (4, PlainState(0, 4))
        assert residency.states[0].tokens == 6


def test_a_recurrent_state_is_copied_only_whole() -> None:
    residency, storage = residency_of()
    storage.can_trim = False
    compute(residency, storage, 0, 6)
    assert residency.seat(1, 0, [(0, 4)]) is Outcome.SEATED
    assert residency.states[1].tokens == 0
    residency.close(1)
    residency.park(1, 0)
    assert residency.seat(2, 0, [(0, 6)]) is Outcome.SEATED
    assert residency.states[2].tokens == 6


def test_a_long_state_is_not_copied_for_a_short_beginning() -> None:
    residency, storage = residency_of()
    compute(residency, storage, 0, 6000)
    assert residency.seat(1, 0, [(0, 32)]) is Outcome.SEATED
    assert residency.states[1].tokens == 0


def test_a_state_that_cant_be_loaded_is_computed_again() -> None:
    residency, storage = residency_of(slots=1)
    compute(residency, storage, 0, 5)
    compute(residency, storage, 1, 5)
    storage.unusable.add(PlainState(0, 5))
    assert residency.seat(0, 1) is Outcome.SEATED
    assert residency.states[0].tokens == 0


class Moves(RuleBasedStateMachine):
    """Any order of runs, pauses, forks, closes, and transfers that may fail."""

    @initialize(
        slots=st.integers(1, 4),
        memory=st.integers(0, 300),
        disk=st.sampled_from([0, 60, 400]),
        policy=st.sampled_from(sorted(POLICIES)),
        keep=st.booleans(),
    )
    def begin(self, slots: int, memory: int, disk: int, policy: str, keep: bool) -> None:
        self.storage = PlainStorage()
        self.residency = Residency(slots, memory, disk, POLICIES[policy](), self.storage, keep_closed=keep)
        self.open: set[int] = set()
        self.running: set[int] = set()
        self.waiting: set[int] = set()
        self.lineage: dict[int, set[int]] = {}
        self.next_key = 0
        self.now = 0.0

    @rule(tools=st.sampled_from([(), ("read",), ("shell", "read")]), count=st.integers(1, 3))
    def open_some(self, tools: tuple[str, ...], count: int) -> None:
        for _ in range(count):
            self.open.add(self.next_key)
            self.lineage[self.next_key] = {self.next_key}
            self.next_key += 1

    @precondition(lambda self: self.open - self.running)
    @rule(data=st.data(), seconds=st.floats(0, 100))
    def run(self, data: st.DataObject, seconds: float) -> None:
        self.now += seconds
        key = data.draw(st.sampled_from(sorted(self.open - self.running)))
        known = sorted(self.residency.states)
        sources: Sequence[tuple[int, int]] = ()
        if known and data.draw(st.booleans()):
            source = data.draw(st.sampled_from(known))
            if source != key:
                sources = [(source, data.draw(st.integers(1, 12)))]
        self.residency.wake(key, self.now)
        state = self.residency.states.get(key)
        had = 0 if state is None or state.level is Level.NOWHERE else state.tokens
        outcome = self.residency.seat(key, self.now, sources if not had else ())
        if outcome is Outcome.SEATED:
            self.waiting.discard(key)
            self.running.add(key)
            state = self.residency.states[key]
            if state.tokens:
                self.lineage[key] |= self.lineage[self.storage.slots[state.slot].owner]
            used = data.draw(st.integers(0, len(state.ahead)))
            self.residency.cut_ahead(key, used)
            self.residency.advance(key, state.tokens + used)
            del state.ahead[:]
        else:
            self.waiting.add(key)
            if outcome is Outcome.TRANSFER:
                under_way = any(kind != "delete" for kind, _, _ in self.storage.queue)
                read = any(state.in_transit for state in self.residency.states.values())
                assert under_way or read, "nothing will ever end the waiting"
            else:
                assert len(self.running) == self.residency.slots or self.waiting

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        taken = {self.residency.states[other].slot for other in self.running}
        free = [slot for slot in range(self.residency.slots) if slot not in taken]
        if free and self.residency.states[key].tokens:
            slot = data.draw(st.sampled_from(free))
            assert self.residency.move(key, slot)
            assert self.residency.states[key].slot == slot

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tokens=st.integers(1, 8), tools=st.sampled_from([(), ("read",), ("shell", "read")]))
    def pause(self, data: st.DataObject, tokens: int, tools: tuple[str, ...]) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        state = self.residency.states[key]
        self.storage.slots[state.slot] = PlainState(key, state.tokens + tokens)
        self.residency.advance(key, state.tokens + tokens)
        self.running.discard(key)
        self.residency.park(key, self.now)
        self.residency.expect(key, tools)

    @rule(data=st.data(), tokens=st.integers(1, 4))
    def compute_ahead(self, data: st.DataObject, tokens: int) -> None:
        states = self.residency.states
        there = [key for key in self.open - self.running if key in states and states[key].level is Level.SLOT]
        if there and (state := states[data.draw(st.sampled_from(sorted(there)))]).tokens:
            self.residency.cut_ahead(state.key, data.draw(st.integers(0, len(state.ahead))))
            kept = self.storage.slots[state.slot]
            self.storage.slots[state.slot] = PlainState(kept.owner, kept.tokens + tokens)
            self.residency.advance_ahead(state.key, [1] * tokens)

    @rule()
    def prepare(self) -> None:
        self.residency.prepare(self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.open)))
        self.open.discard(key)
        self.waiting.discard(key)
        self.residency.close(key)
        if key in self.running:
            self.running.discard(key)
            state = self.residency.states[key]
            if state.tokens:
                self.storage.slots[state.slot] = PlainState(key, state.tokens)
            self.residency.park(key, self.now)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.waiting)))
        self.waiting.discard(key)
        self.residency.give_up(key, self.now)

    @precondition(lambda self: self.storage.queue)
    @rule(fail=st.booleans())
    def transfer(self, fail: bool) -> None:
        self.storage.transfer(self.residency, fail=fail)

    @invariant()
    def slots_are_used_once(self) -> None:
        if not hasattr(self, "residency"):
            return
        seated = [state for state in self.residency.states.values() if state.level is Level.SLOT]
        used = [state.slot for state in seated]
        assert len(set(used)) == len(used)
        assert all(0 <= slot < self.residency.slots for slot in used)
        assert sorted([*used, *self.residency._free]) == list(range(self.residency.slots))
        assert all(slot not in self.storage.slots for slot in self.residency._free), "a free slot isn't empty"

    @invariant()
    def states_are_not_mixed_up(self) -> None:
        if not hasattr(self, "residency"):
            return
        for key, state in self.residency.states.items():
            kept: object = None
            if state.level is Level.SLOT and state.tokens:
                kept = self.storage.slots[state.slot]
                if state.blob is not None:
                    assert state.blob == kept, "an old copy"
            elif state.level is Level.MEMORY:
                kept = state.blob
            elif state.level is Level.DISK:
                kept = self.storage.files[state.file]
            if kept is not None:
                assert isinstance(kept, PlainState)
                assert kept.tokens == state.length
                assert kept.owner in self.lineage[key]
            assert state.tokens <= state.high_water
            assert state.tokens or not state.ahead

    @invariant()
    def budgets_hold(self) -> None:
        if not hasattr(self, "residency"):
            return
        residency = self.residency
        in_memory = [state for state in residency.states.values() if state.level is Level.MEMORY]
        counted = [state for state in in_memory if state.file < 0]
        copies = [state for state in residency.states.values() if state.level is Level.SLOT and state.blob is not None]
        assert not any(state.running for state in copies), "the copy of a state that goes on"
        assert residency.swap.memory_used == sum(state.size for state in [*counted, *copies])
        if copies:
            assert residency.swap.memory_used <= residency.swap.memory + sum(
                state.size for state in counted if state.in_transit
            )
        # What somebody waits for was read although there may be no room: a few at most.
        assert residency.swap.memory_used <= residency.swap.memory + sum(
            sorted((s.size for s in counted), reverse=True)[: len(self.waiting) + MAX_TRANSFERS]
        )
        assert len(in_memory) - len(counted) <= MAX_TRANSFERS
        assert 0 <= residency.swap.disk_used <= residency.swap.disk
        if not residency.swap.disk:
            assert not self.storage.files


TestMoves = Moves.TestCase
TestMoves.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
