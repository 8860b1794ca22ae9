"""What the suite is told of the peer: addresses, keys, and how it is configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .registry import Check

LONGEST_WAIT = 5.0
"""Seconds. What a server does only after a longer time is not waited for."""

PROTOCOL_DEFAULTS: Mapping[str, float] = MappingProxyType(
    {
        "max_message_bytes": 16 << 20,
        "max_depth": 64,
        "max_append_items": 1024,
        "max_named_lanes": 32,
        "max_sampling": 16,
        "max_unsent_events": 16_384,
    }
)
"""Bounds that are tested at these values unless others are declared."""

LARGEST_TESTED: Mapping[str, float] = MappingProxyType(
    {
        "pause_timeout": LONGEST_WAIT,
        "grace": LONGEST_WAIT,
        "lifetime": LONGEST_WAIT,
        "ping_interval": LONGEST_WAIT,
        "max_message_bytes": 64 << 20,
        "max_depth": 10_000,
        "max_append_items": 100_000,
        "max_named_lanes": 256,
        "max_sampling": 32,
        "max_open_per_connection": 32,
        "max_open_per_credential": 32,
        "max_unsent_events": 16_384,
        "max_replay_events": 120,
    }
)
"""Everything that can be declared, seconds or counts. Reaching a larger bound takes too long, or can't be done."""

OTHER_KEY = "other_api_key"
"""A need of checks that takes a second credential."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``declared`` holds what the user said of the server's configuration; ``timeout`` bounds each wait, in seconds."""

    url: str
    model: str = ""
    api_key: str | None = None
    other_api_key: str | None = None
    timeout: float = 10.0
    declared: Mapping[str, float] = field(default_factory=dict)

    def bound(self, name: str) -> float:
        """What is declared, or else the protocol's default.

        :raises KeyError: neither is there.
        """
        return self.declared[name] if name in self.declared else PROTOCOL_DEFAULTS[name]

    def count(self, name: str) -> int:
        return int(self.bound(name))

    def why_not(self, check: Check) -> str | None:
        """Why the check can't be run with what is known; None if it can."""
        for need in check.needs:
            if need == OTHER_KEY:
                if self.other_api_key is None:
                    return "give --other-api-key, a second credential"
                continue
            largest = LARGEST_TESTED[need]
            if need not in self.declared and need not in PROTOCOL_DEFAULTS:
                return f"configure the server so and give --declare {need}=N, with N up to {largest:g}"
            if self.bound(need) > largest:
                return f"{need}={self.bound(need):g} is more than is tested; configure it to {largest:g} or less"
        return None


def parse_declaration(text: str) -> tuple[str, float]:
    """``NAME=VALUE``.

    :raises ValueError: it is no such text, or no name that can be declared.
    """
    name, equals, number = text.partition("=")
    if not equals or name not in LARGEST_TESTED:
        raise ValueError(f"{text!r} is not NAME=NUMBER with NAME one of {', '.join(LARGEST_TESTED)}")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a number above 0, not {number!r}")
    return name, value
