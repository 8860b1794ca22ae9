"""Which sequences change slots so that those that decode sit side by side.

llama.cpp computes neighbouring sequence ids in one pass over the weights and starts another pass at every gap (135 M
model: one step of two neighbours 28 ms, of two sequences with a gap 45 ms). Pauses tear gaps.
"""

from __future__ import annotations

from collections.abc import Collection


def moves(running: Collection[int], slots: int) -> list[tuple[int, int]]:
    """(from, to) for the running sequences that have to move, as few as can be; none if they are side by side."""
    taken = sorted(running)
    width = len(taken)
    if width < 2 or taken[-1] - taken[0] == width - 1:
        return []
    begin = max(range(slots - width + 1), key=lambda at: (sum(at <= slot < at + width for slot in taken), -at))
    window = range(begin, begin + width)
    outside = [slot for slot in taken if slot not in window]
    holes = [slot for slot in window if slot not in running]
    return list(zip(outside, holes, strict=True))
