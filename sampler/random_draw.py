"""Drawing a token: a random number that depends on the seed and the position alone, and the inverse of the CDF.

A generator with a state would have to be saved with each pause, copied with each fork and wound forward for each
rebuild. A counter needs none of that: whatever happened before, position 17 of seed 5 draws the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd
_BLOCK = 256


def _mix(value: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014)."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits.

    The seed is mixed before the position is added: neighbouring seeds would else share their numbers, shifted by one.
    """
    start = _mix((seed + _GAMMA) & _MASK)
    return (_mix((start + position * _GAMMA) & _MASK) >> 11) * 2.0**-53


def draw(weights: npt.NDArray[Any], fraction: float) -> int:
    """The index where the running sum of the weights passes `fraction` of their total. Never one of weight 0.

    weights:  finite, not negative, not all 0.
    fraction: in [0, 1).
    """
    if weights.size <= 2 * _BLOCK:
        return _draw_few(weights, fraction)
    # Two levels: a running sum over everything would take longer than the softmax.
    whole = weights.size // _BLOCK * _BLOCK
    sums = weights[:whole].reshape(-1, _BLOCK).sum(axis=1, dtype=np.float64)
    if whole < weights.size:
        sums = np.append(sums, weights[whole:].sum(dtype=np.float64))
    running = sums.cumsum()
    target = fraction * running[-1]
    block = min(int(running.searchsorted(target, side="right")), _last(sums))
    rest = (target - (running[block] - sums[block])) / sums[block]
    return block * _BLOCK + _draw_few(weights[block * _BLOCK : (block + 1) * _BLOCK], float(rest))


def _draw_few(weights: npt.NDArray[Any], fraction: float) -> int:
    running = weights.cumsum(dtype=np.float64)
    index = int(running.searchsorted(fraction * running[-1], side="right"))
    # Rounding may carry the target to the total.
    return index if index < weights.size else _last(weights)


def _last(weights: npt.NDArray[Any]) -> int:
    return int(weights.nonzero()[0][-1])
