"""Moves that bring slots together."""

from __future__ import annotations

from itertools import combinations

from caesura.sampler.slot_order import moves
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.integers(1, 9).flatmap(lambda slots: st.tuples(st.sets(st.integers(0, slots - 1), min_size=1), st.just(slots)))
)
def test_as_few_moves_as_can_be(case: tuple[set[int], int]) -> None:
    running, slots = case
    found = moves(running, slots)
    after = (running - {origin for origin, _ in found}) | {to for _, to in found}
    assert len(after) == len(running)
    assert max(after) - min(after) == len(running) - 1
    assert all(0 <= slot < slots for slot in after)
    side_by_side = [set(range(begin, begin + len(running))) for begin in range(slots - len(running) + 1)]
    assert len(found) == min(len(running - window) for window in side_by_side)


def test_neighbours_stay() -> None:
    for begin, end in combinations(range(6), 2):
        assert moves(set(range(begin, end)), 6) == []
    assert moves({3}, 6) == []
    assert moves(set(), 6) == []
