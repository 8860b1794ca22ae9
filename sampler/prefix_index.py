"""Which known sequence begins like a new one, and for how long.

A sequence is cut into blocks, and each block is known by a hash of all tokens up to its end, so that equal hashes
mean equal beginnings. That is vLLM's automatic prefix caching, but only to find a candidate: what is then copied is a
whole sequence, cut to the exact common length.
"""

from __future__ import annotations

from array import array

BLOCK = 32
"""Tokens. Shorter common beginnings are not looked for: to compute them costs less than to copy."""

MAX_CANDIDATES = 4


class PrefixIndex:
    """Sequences by key. Rows are append-only."""

    def __init__(self) -> None:
        self._rows: dict[int, array[int]] = {}
        self._hashes: dict[int, list[int]] = {}
        self._keys: dict[int, dict[int, None]] = {}  # in the order of insertion, the latest last

    def add(self, key: int, row: array[int]) -> None:
        """Add a sequence, or what it has grown by."""
        self._rows[key] = row
        hashes = self._hashes.setdefault(key, [])
        for value in _hashes(row, hashes):
            hashes.append(value)
            self._keys.setdefault(value, {})[key] = None

    def discard(self, key: int) -> None:
        self._rows.pop(key, None)
        for value in self._hashes.pop(key, ()):
            keys = self._keys[value]
            del keys[key]
            if not keys:
                del self._keys[value]

    def longest(self, row: array[int]) -> list[tuple[int, int]]:
        """Sequences that have the longest beginning in common with `row`, in blocks, and its exact length in tokens;
        the latest first."""
        found: dict[int, None] = {}
        for value in _hashes(row, []):
            keys = self._keys.get(value)
            if keys is None:
                break
            found = keys
        latest = [key for key, _ in zip(reversed(found), range(MAX_CANDIDATES), strict=False)]
        candidates = [(key, common_length(self._rows[key], row)) for key in latest]
        return sorted(candidates, key=lambda candidate: -candidate[1])


def common_length(one: array[int], other: array[int]) -> int:
    """How many tokens two rows begin with in common."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    low, high = 0, length  # one[:low] is common, one[:high] isn't
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _hashes(row: array[int], known: list[int]) -> list[int]:
    """The hashes of the row's full blocks after the `known` ones."""
    value = known[-1] if known else 0
    result = []
    for begin in range(len(known) * BLOCK, len(row) - BLOCK + 1, BLOCK):
        value = hash((value, row[begin : begin + BLOCK].tobytes()))
        result.append(value)
    return result
