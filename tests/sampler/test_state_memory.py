"""States in slabs: each comes back as it was, and nothing of it stays when it is gone."""

from __future__ import annotations

import numpy as np
import pytest
from caesura.sampler.errors import EngineStartFailed
from caesura.sampler.state_memory import SLAB, StateMemory, StoredState, new_buffer
from hypothesis import given, settings
from hypothesis import strategies as st

SLABS = 6
operations = st.lists(
    st.tuples(st.sampled_from(["store", "drop"]), st.integers(1, 3 * SLAB), st.integers(0, 255)), max_size=20
)


@settings(max_examples=60)
@given(operations)
def test_states_are_kept_apart(operations: list[tuple[str, int, int]]) -> None:
    memory = StateMemory(SLABS * SLAB)
    kept: list[tuple[StoredState, bytes]] = []
    for operation, length, value in operations:
        if operation == "drop" and kept:
            del kept[value % len(kept)]
            continue
        state = np.resize(np.arange(value, value + 251).astype(np.uint8), length)
        buffer = new_buffer(length)
        buffer[:length] = state
        used = sum(-(-len(content) // SLAB) for _, content in kept)
        stored = memory.store(buffer, length)
        if -(-length // SLAB) > SLABS - used:
            assert stored is None
        else:
            assert stored is not None
            kept.append((stored, state.tobytes()))
        stored = None
        assert [each.array().tobytes() for each, _ in kept] == [content for _, content in kept]
        pieces = [(each.in_one_piece(), content) for each, content in kept]
        assert all(piece is None or piece.tobytes() == content for piece, content in pieces)
        assert [len(each) for each, _ in kept] == [len(content) for _, content in kept]
        assert memory.num_free == SLABS - sum(-(-len(content) // SLAB) for _, content in kept)
        assert len(set(memory.free)) == len(memory.free)


def test_slabs_are_free_again_when_the_state_is_gone() -> None:
    memory = StateMemory(2 * SLAB)
    stored = memory.store(new_buffer(2 * SLAB), 2 * SLAB)
    assert stored is not None
    assert stored.in_one_piece() is not None
    assert memory.store(new_buffer(1), 1) is None
    del stored
    assert memory.store(new_buffer(1), 1) is not None


def test_a_state_of_nothing() -> None:
    """llama.cpp says 0 bytes where it could not save a state."""
    stored = StateMemory(SLAB).store(new_buffer(1), 0)
    assert stored is not None
    assert stored.in_one_piece() is not None
    assert len(stored) == len(stored.array()) == 0


def test_more_than_any_machine_has() -> None:
    for size in (2**62, 2**70):
        with pytest.raises(EngineStartFailed, match="--swap-memory"):
            StateMemory(size)
