"""How often a client tries to connect again, and how long it waits before each time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: the n-th attempt in a row waits for a random part of
    ``first * factor ** (n - 1)`` seconds, at most of ``cap``.

    The whole wait is random, not only a part of it, so that the clients of a server that comes back spread evenly
    (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    :ivar max_reconnects: attempts in a row without progress; 0 for none.
    :raises ValueError: a number that makes no sense.
    """

    max_reconnects: int = 8
    first: float = 0.1
    factor: float = 2.0
    cap: float = 10.0

    def __post_init__(self) -> None:
        if self.max_reconnects < 0:
            raise ValueError(f"max_reconnects must not be negative, and is {self.max_reconnects}")
        if not (0 <= self.first < math.inf and 1 <= self.factor < math.inf and 0 <= self.cap < math.inf):
            raise ValueError("first and cap are seconds from 0 on, and factor is at least 1")

    def delays(self, jitter: Callable[[], float] = random.random) -> Iterator[float]:
        """The seconds to wait before each attempt. ``jitter`` gives the random part, from 0 to 1."""
        bound = min(self.first, self.cap)
        for _ in range(self.max_reconnects):
            yield jitter() * bound
            bound = min(bound * self.factor, self.cap)
