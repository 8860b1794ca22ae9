"""Numbers as people read them, in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..records import Results
from ..statistics import CONFIDENCE, Estimate

NONE = "-"


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of figure is written. ``pick`` chooses by the figure: what it is multiplied by, the digits after the
    point, and the unit. A figure's interval is written with the same choice."""

    pick: Callable[[float], tuple[float, int, str]]
    sign: str = ""

    def __call__(self, value: float) -> str:
        scale, digits, unit = self.pick(value)
        return f"{self._number(value * scale, digits)}{unit}"

    def of(self, estimate: Estimate | None) -> str:
        return NONE if estimate is None else self(estimate.value)

    def margin(self, estimate: Estimate | None) -> str:
        """The farther end of the interval, as a distance without a unit: ``±0.4``; empty without an interval."""
        if estimate is None or estimate.low is None or estimate.high is None:
            return ""
        scale, digits, _ = self.pick(estimate.value)
        distance = max(estimate.high - estimate.value, estimate.value - estimate.low) * scale
        return f"±{distance:,.{digits}f}"

    def interval(self, estimate: Estimate | None) -> str:
        """Both ends, without a unit: ``11.9 to 12.8``; empty without an interval."""
        if estimate is None or estimate.low is None or estimate.high is None:
            return ""
        scale, digits, _ = self.pick(estimate.value)
        low, high = (self._number(end * scale, digits) for end in (estimate.low, estimate.high))
        return f"{low} to {high}"

    def _number(self, value: float, digits: int) -> str:
        # + 0.0: what rounds to nothing has no sign.
        return f"{round(value, digits) + 0.0:{self.sign},.{digits}f}"


def _digits(value: float) -> int:
    """After the point, for three in all."""
    value = abs(value)
    return 0 if value >= 99.95 else 1 if value >= 9.995 else 2


def _pick_duration(ms: float) -> tuple[float, int, str]:
    if abs(ms) >= 1000:
        return 1e-3, _digits(ms / 1000), " s"
    return (1.0, _digits(ms), " ms") if abs(ms) >= 0.1 or ms == 0 else (1e3, 0, " us")


def _pick_count(value: float) -> tuple[float, int, str]:
    if abs(value) >= 1e7:
        return 1e-6, _digits(value / 1e6), " M"
    return (1e-3, 0, " k") if abs(value) >= 1e5 else (1.0, 0, "")


def _pick_size(value: float) -> tuple[float, int, str]:
    for unit, step in ((" GB", 1e9), (" MB", 1e6), (" kB", 1e3)):
        if abs(value) >= step:
            return 1 / step, _digits(value / step), unit
    return 1.0, 0, " B"


duration = Form(_pick_duration)
"""Of milliseconds: three digits, in the unit that suits."""
count = Form(_pick_count)
size = Form(_pick_size)
"""Of bytes, in steps of 1,000."""
share = Form(lambda value: (100.0, 1, "%"))
change = Form(lambda value: (100.0, 1, "%"), sign="+")
factor = Form(lambda value: (1.0, 3, ""))
rate = Form(lambda value: (1.0, 0 if abs(value) >= 100 else 1, "/s"))


def changed(saved: Estimate | None) -> Estimate | None:
    """What is saved, as the change that it is: -40% where 40% is saved."""
    if saved is None or saved.low is None or saved.high is None:
        return saved and Estimate(-saved.value, None, None, saved.repeats)
    return Estimate(-saved.value, -saved.high, -saved.low, saved.repeats, saved.coverage)


def printable(text: str) -> str:
    """Names of peers and their errors come from outside: no control characters for a terminal or a page."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def settings(fields: dict[str, Any]) -> str:
    """``repeats 5, seed 0``."""
    return ", ".join(f"{name} {plain(value)}" for name, value in fields.items())


def plain(value: Any) -> str:
    if isinstance(value, dict):
        return settings(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def banner(results: Results) -> str | None:
    """What stands above all figures that no model was part of."""
    if not results.simulated:
        return None
    return f"SIMULATED ENGINE: no model computed anything. Its parameters: {settings(results.engine) or 'unknown'}."


def simulated_note(simulated: Iterable[bool]) -> str:
    """For a title or a corner of what shows several experiments, or one; empty if all were real."""
    each = list(simulated)
    return "" if not any(each) else "simulated" if all(each) else "partly simulated"


def interval_name(estimates: Iterable[Estimate | None]) -> str:
    """What intervals of medians may be called: by the least that one of them covers."""
    covered = [each.coverage for each in estimates if each is not None and each.coverage is not None]
    if not covered or min(covered) >= CONFIDENCE:
        return f"{CONFIDENCE:.0%} interval"
    return f"{min(covered) * 100:.3g}% interval"


def verdict(reached: bool | None) -> str:
    return {True: "yes", False: "NO", None: "can't tell"}[reached]


def objective(meets: bool | None) -> str:
    return {True: "met", False: "missed", None: NONE}[meets]
