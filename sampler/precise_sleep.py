"""Sleeping for less than a millisecond, again and again, and on average about exactly so long."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

TRIALS = 101
TRIAL_NS = 200_000


class PreciseSleep:
    """A thread's way to wait. To be made, and used, in that thread; making one takes some 25 ms.

    Linux lets timers be late by 50 us, so that it can handle several at once; for this thread that is switched off.
    Measured, it then wakes up 22 us late (72 without), and always about so late: how late is found out first, and every
    sleep is shortened by as much.

    Carrying over to the next what one sleep was late was rejected. What a sleep takes has the wait for the GIL after
    it, which is a cost of whoever computes beside it, and would be hidden.

    late_ns: how late it wakes up, nanoseconds.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        with contextlib.suppress(OSError):  # not Linux, or forbidden
            Path(f"/proc/{threading.get_native_id()}/timerslack_ns").write_text("1", encoding="ascii")
        self.late_ns = int(statistics.median(self._trial() for _ in range(TRIALS)))

    def now(self) -> int:
        """When a wait begins, by its clock."""
        return self._clock()

    def wait(self, began: int, duration_ns: int) -> None:
        """Sleep, with the GIL released, until so long after `began`."""
        left = began + duration_ns - self.late_ns - self._clock()
        # A sleep of nothing takes as long as one that is as short as can be.
        if left > 0:
            self._sleep(left * 1e-9)

    def _trial(self) -> int:
        began = self._clock()
        self._sleep(TRIAL_NS * 1e-9)
        return max(0, self._clock() - began - TRIAL_NS)
