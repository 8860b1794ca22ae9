"""Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008).

A design, or a stage, has the same one in every plot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"


@dataclass(frozen=True, slots=True)
class Look:
    """Of a design. Colour is never all that tells it from another one."""

    colour: str
    dashes: str
    marker: str


DESIGNS = {
    "a": Look(VERMILION, "-", "o"),
    "b": Look(ORANGE, "-", "s"),
    "c": Look(SKY, "-", "^"),
    "d": Look(PURPLE, "-", "D"),
    "e": Look(BLUE, "-", "v"),
    "f": Look(GREEN, "-", "P"),
}
_OTHERS = (Look(BLACK, "--", "x"), Look("#777777", "--", "+"), Look("#777777", ":", "*"), Look(BLACK, ":", "1"))

STAGES = {
    "client": PURPLE,
    "network": ORANGE,
    "api": VERMILION,
    "queue": YELLOW,
    "prefill": BLUE,
    "decode": SKY,
    "emit": GREEN,
    "post": BLACK,
    "tools": "#D9D9D9",
    "server, first token": BLUE,
    "server, streaming": SKY,
    "between turns": "#8C6D46",
}
HATCHES = {"server, first token": "///", "server, streaming": "///"}
"""What a peer does is seen from outside only: more than the engine's part is in it."""


def looks(keys: Iterable[str]) -> dict[str, Look]:
    """A look for each design; peers get theirs in the order in which they come."""
    found: dict[str, Look] = {}
    peers = 0
    for key in keys:
        if key in DESIGNS:
            found[key] = DESIGNS[key]
        else:
            found[key] = _OTHERS[peers % len(_OTHERS)]
            peers += 1
    return found
