"""How long pauses last, by what they wait for.

One histogram of durations a tool, in octaves from 1 ms to 37 h, because the times of agents' tools are heavy-tailed:
percentiles 50, 90 and 99 of 432 thousand tool calls are 0.3 s, 13.6 s and 3.6 min (TraceLab, arXiv 2606.30560). A tool
that was seen little borrows from what was seen of all tools, and that from a fixed guess with a heavy tail, so a
pause that outlives everything seen so far is expected to be a long one.

What is stored is bounded: so many tools, each of constant size, whatever names clients invent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

OCTAVES = 28
"""Bin 0 is below 1 ms; bin i ends at 2^i ms; the last ends at 37 h and takes everything longer too."""

MAX_TOOLS = 256
MAX_NAME = 64
"""Characters of a tool's name that count."""

MAX_PARALLEL = 8
"""Tools of one pause that are looked at."""

FULL = 1024
"""Pauses of one tool after which all its counts are halved, so that the newer ones count for more."""

PRIOR = 4
"""For how many pauses of one tool the histogram of all tools counts."""

_ENDS = [2.0**octave / 1e3 for octave in range(OCTAVES)]
_BEGINS = [0.0, *_ENDS[:-1]]
_WIDTHS = [end - begin for begin, end in zip(_BEGINS, _ENDS, strict=True)]

_GUESS = [1 / (1 + begin) - 1 / (1 + end) for begin, end in zip(_BEGINS, _ENDS, strict=True)]
"""A median of 1 s, and a tail that falls as 1/t: somewhat heavier than the measured one."""

_LONGEST = 1e9
_BEYOND = 1 / (1 + _ENDS[-1])


def price_of_keeping(counts: Sequence[float], prior: Sequence[float], beyond: float) -> list[float]:
    """Seconds of keeping a state for each time that it is used, at the begin of each bin and the end of the last.

    A pause that has lasted so long will go on for a while. Who keeps the state can give up at any later moment; with
    the best such moment, this is the expected time of keeping over the chance that the pause ends while it is kept
    (a Gittins index, inverted). If giving up never pays, it is the expected remaining pause; it is never more. The
    expectation alone was rejected: with heavy tails it tells of the few pauses that nobody would wait for.

    counts, prior: weights of the bins. beyond: weight of all that outlives the last one; above 0.
    Within a bin the weight is spread evenly. What outlives the last bin is taken to last twice as long.
    """
    alive = [beyond]
    area = [beyond * _ENDS[-1]]
    prices = [_ENDS[-1]]
    for count, guess, width in zip(reversed(counts), reversed(prior), reversed(_WIDTHS), strict=True):
        weight = count + guess
        area.append(area[-1] + (alive[-1] + weight / 2) * width)
        alive.append(alive[-1] + weight)
        price = area[-1] / alive[-1]
        for later_area, later_alive in zip(area, alive, strict=True):
            if alive[-1] > later_alive:
                price = min(price, (area[-1] - later_area) / (alive[-1] - later_alive))
        prices.append(price)
    prices.reverse()
    return prices


def at(prices: Sequence[float], elapsed: float) -> float:
    """Look up a row of `PauseHistory.prices` for a pause that has lasted so long. Never negative, infinite or NaN."""
    if not elapsed > 0:  # a clock that went back, or NaN
        return prices[0]
    if elapsed >= _ENDS[-1]:
        return min(elapsed, _LONGEST)
    fraction, octave = math.frexp(elapsed * 1e3)
    if octave < 1:
        return prices[0] + (prices[1] - prices[0]) * elapsed * 1e3
    low = prices[octave]
    return low + (prices[octave + 1] - low) * (2 * fraction - 1)


def octave_of(seconds: float) -> int:
    if not seconds > 0:
        return 0
    if not seconds < _ENDS[-1]:
        return OCTAVES - 1
    return max(math.frexp(seconds * 1e3)[1], 0)


class _Durations:
    """A histogram. `prices` is None once enough has changed that it should be made anew."""

    __slots__ = ("counts", "prices", "total", "unread")

    def __init__(self) -> None:
        self.counts = [0.0] * OCTAVES
        self.total = 0.0
        self.unread = 0
        self.prices: list[float] | None = None

    def add(self, octave: int) -> None:
        self.counts[octave] += 1
        self.total += 1
        self.unread += 1
        if self.total >= FULL:
            self.counts = [count / 2 for count in self.counts]
            self.total /= 2
        if self.unread * 16 >= self.total:
            self.prices = None


class PauseHistory:
    """What was learned from the pauses that ended."""

    def __init__(self) -> None:
        self._all = _Durations()
        self._tools: dict[str, _Durations] = {}  # the one that was learned from last comes last

    def __len__(self) -> int:
        """Tools of which something is known."""
        return len(self._tools)

    def learn(self, tools: Sequence[str], seconds: float) -> None:
        """A pause has ended. No tools: it is not known what it waited for, which is a kind of its own.

        A pause on several tools is as long as its longest call, so it is put down to the one tool that takes so long
        most often.
        """
        if math.isnan(seconds):
            return
        octave = octave_of(seconds)
        names = _names(tools)
        name = names[0] if len(names) == 1 else max(names, key=lambda name: self._likelihood(name, octave))
        durations = self._tools.pop(name, None)
        if durations is None:
            durations = _Durations()
            if len(self._tools) >= MAX_TOOLS:
                del self._tools[next(iter(self._tools))]
        self._tools[name] = durations
        durations.add(octave)
        self._all.add(octave)

    def prices(self, tools: Sequence[str]) -> Sequence[float]:
        """A row for `at`: what keeping the state of a pause on these tools costs. Do not change it."""
        names = _names(tools)
        if len(names) == 1:
            return self._row(names[0])
        return [max(column) for column in zip(*map(self._row, names), strict=True)]

    def _likelihood(self, name: str, octave: int) -> tuple[float, float]:
        durations = self._tools.get(name, self._all)
        return durations.counts[octave] / (durations.total + PRIOR), self._row(name)[0]

    def _row(self, name: str) -> list[float]:
        durations = self._tools.get(name, self._all)
        if durations.prices is None:
            seen = self._all
            if durations is seen:
                durations.prices = price_of_keeping(seen.counts, _GUESS, _BEYOND)
            else:
                share = PRIOR / (seen.total + 1)
                prior = [(count + guess) * share for count, guess in zip(seen.counts, _GUESS, strict=True)]
                durations.prices = price_of_keeping(durations.counts, prior, _BEYOND * share)
            durations.unread = 0
        return durations.prices


def _names(tools: Iterable[str]) -> list[str]:
    names = {name[:MAX_NAME]: None for name, _ in zip(tools, range(MAX_PARALLEL), strict=False)}
    return list(names) or [""]
