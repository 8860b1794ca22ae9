"""What holds for the ``usage`` of a Response from one pause to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .events import is_count, mapping

Complain = Callable[[str, str], None]
"""Called with the id of a requirement that is broken, and what happened."""

COUNTS = ("input_tokens", "output_tokens", "total_tokens")


class UsageRule:
    """The counts add up, and never fall."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self._last: dict[str, int] = {}

    def take(self, response: Mapping[str, Any], requirement: str) -> None:
        """The Response object of a pause or an end.

        :param requirement: what is broken if it has no usage.
        """
        usage = mapping(response.get("usage"))
        if not all(is_count(usage.get(name)) for name in COUNTS):
            self._complain(requirement, f"usage is {dict(usage)}")
            return
        counts = {name: int(usage[name]) for name in COUNTS}
        if counts["input_tokens"] + counts["output_tokens"] != counts["total_tokens"]:
            self._complain("usage-cumulative", f"the total is not the sum: {counts}")
        if any(counts[name] < self._last.get(name, 0) for name in COUNTS):
            self._complain("usage-cumulative", f"it fell from {self._last} to {counts}")
        self._last = counts
