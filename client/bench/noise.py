"""How quiet the machine was: the same piece of work again and again, and what the kernel says of others."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from .records import Noise

MAX_SPREAD = 0.15
"""Of the probes: from the 10th to the 90th percentile, as a part of the median."""
MAX_STEAL = 0.01
MAX_LOAD = 0.3
"""Load average before the experiment, by core: what others were at."""

_ROUNDS = 40_000
_MIN_PROBES = 5
_STEAL_FIELD = 7


class Probe:
    """Watches the machine from its making on. Call it between runs: it takes some milliseconds."""

    def __init__(self, proc_stat: Path = Path("/proc/stat"), clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._proc_stat = proc_stat
        self._clock = clock
        self._probes: list[int] = []
        self._load = os.getloadavg()[0]
        self._ticks = self._read_ticks()

    def __call__(self) -> None:
        """Do the work once, and note how long it took."""
        began = self._clock()
        _work()
        self._probes.append(self._clock() - began)

    def noise(self) -> Noise:
        """What was seen until now."""
        (stolen_before, all_before), (stolen, everything) = self._ticks, self._read_ticks()
        elapsed = everything - all_before
        return Noise(list(self._probes), (stolen - stolen_before) / elapsed if elapsed > 0 else 0.0, self._load)

    def _read_ticks(self) -> tuple[int, int]:
        """Stolen ones, all of them: of all processors since the machine began; zeros where that can't be told."""
        try:
            fields = [int(field) for field in self._proc_stat.read_text().splitlines()[0].split()[1:]]
        except (OSError, ValueError, IndexError):
            return 0, 0
        # What guests had is in user and nice already.
        return (fields[_STEAL_FIELD], sum(fields[: _STEAL_FIELD + 1])) if len(fields) > _STEAL_FIELD else (0, 0)


def judge(noise: Noise, cores: int | None = None) -> list[str]:
    """Why its figures deserve less trust, a line each; none if the machine was quiet.

    :param cores: of the machine; None for those of this one.
    """
    warnings = []
    if len(noise.probes) >= _MIN_PROBES:
        deciles = statistics.quantiles(noise.probes, n=10, method="inclusive")
        middle = statistics.median(noise.probes)
        spread = (deciles[-1] - deciles[0]) / middle if middle else 0.0
        if spread > MAX_SPREAD:
            warnings.append(
                f"the same piece of work took from {deciles[0] / 1e6:.2f} to {deciles[-1] / 1e6:.2f} ms (10th to 90th "
                f"percentile, {spread:.0%} of the median): the machine was busy, or its clock changed"
            )
    if noise.steal > MAX_STEAL:
        warnings.append(f"{noise.steal:.1%} of the machine's time went to other machines on the same host")
    allowed = MAX_LOAD * (cores or os.cpu_count() or 1)
    if noise.load > allowed:
        warnings.append(f"the load average before was {noise.load:.2f}: other programs were running")
    return warnings


def _work() -> int:
    value = 1
    for number in range(_ROUNDS):
        value = (value * 31 + number) & 0xFFFFFFFF
    return value
