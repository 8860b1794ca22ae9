"""Finding a sequence that begins like another, against a plain search."""

from __future__ import annotations

from array import array

from caesura.sampler.prefix_index import BLOCK, PrefixIndex, common_length
from hypothesis import given
from hypothesis import strategies as st

blocks = st.lists(st.integers(0, 2), max_size=4)
tails = st.lists(st.integers(0, 1), max_size=BLOCK - 1)
rows = st.builds(
    lambda heads, tail: array("i", [token for head in heads for token in [head] * BLOCK] + tail), blocks, tails
)


def plain_common(one: array[int], other: array[int]) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


@given(rows, rows)
def test_common_length(one: array[int], other: array[int]) -> None:
    assert common_length(one, other) == plain_common(one, other)


@given(st.lists(rows, max_size=8), st.sets(st.integers(0, 7)), rows)
def test_finds_the_longest_in_whole_blocks(known: list[array[int]], discarded: set[int], row: array[int]) -> None:
    index = PrefixIndex()
    for key, other in enumerate(known):
        index.add(key, other)
    for key in discarded:
        index.discard(key)
    alive = {key: plain_common(other, row) for key, other in enumerate(known) if key not in discarded}
    best = max((common // BLOCK for common in alive.values()), default=0)
    found = index.longest(row)
    if best == 0:
        assert found == []
    else:
        assert found
        assert all(alive[key] == common and common // BLOCK == best for key, common in found)
        assert found == sorted(found, key=lambda candidate: -candidate[1])


@given(rows, st.lists(st.integers(0, 1), max_size=100))
def test_a_sequence_is_found_as_it_grows(row: array[int], more: list[int]) -> None:
    index = PrefixIndex()
    row = array("i", row)
    index.add(1, row)
    row.extend(more)
    index.add(1, row)
    assert index.longest(row) == ([(1, len(row))] if len(row) >= BLOCK else [])
    index.discard(1)
    index.discard(1)
    assert index.longest(row) == []
    assert not index._keys
