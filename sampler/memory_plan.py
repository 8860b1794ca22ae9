"""How much memory paused sequences may take at each level, and what that gives."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .errors import EngineStartFailed
from .llama import MAX_SEQUENCES, LlamaModel, available_memory

DEFAULT_SEQUENCES = 8
KV_SHARE = 2
"""The KV cache takes at most one part in so many of the free memory, unless it is told how much."""
SWAP_SHARE = 4
FALLBACK_BYTES = 2**30
"""Where the system doesn't tell what is free."""

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """swap_memory: bytes for the states of paused sequences outside of the KV cache. swap_disk: the same in files under
    swap_dir; None for no files. Beyond both, a sequence is computed again from its ledger."""

    swap_memory: int
    swap_dir: Path | None = None
    swap_disk: int = 0

    @classmethod
    def default(
        cls, *, swap_memory: int | None = None, swap_dir: Path | None = None, swap_disk: int | None = None
    ) -> MemoryPlan:
        """What isn't given: a quarter of the free memory, and half of the free disk.

        Raises EngineStartFailed if `swap_dir` can't be used.
        """
        if swap_memory is None:
            swap_memory = (available_memory() or FALLBACK_BYTES) // SWAP_SHARE
        if swap_dir is None:
            return cls(swap_memory)
        if swap_disk is None:
            try:
                swap_dir.mkdir(parents=True, exist_ok=True)
                swap_disk = shutil.disk_usage(swap_dir).free // 2
            except OSError as error:
                raise EngineStartFailed(f"can't swap to {swap_dir}: {error.strerror or error}") from error
        return cls(swap_memory, swap_dir, swap_disk)


def sequences_for(model: LlamaModel, context_length: int, kv_memory: int | None, wanted: int | None) -> int:
    """How many sequences can be sampled at once: `wanted` (8 if None), or as many as `kv_memory` bytes hold.

    With neither given, the KV cache takes at most half of the free memory. At least 1: a model that doesn't fit at
    all is refused when its context is made.
    """
    each = model.kv_bytes_per_token() * context_length
    if kv_memory is not None and each and kv_memory < each:
        raise EngineStartFailed(
            f"--kv-memory {format_size(kv_memory)} holds no sequence of {context_length} tokens, which takes "
            f"{format_size(each)}: give more, or a smaller --ctx"
        )
    if kv_memory is None:
        kv_memory = (available_memory() or FALLBACK_BYTES) // KV_SHARE
        wanted = wanted or DEFAULT_SEQUENCES
    fitting = max(1, kv_memory // each) if each else wanted or DEFAULT_SEQUENCES
    return min(MAX_SEQUENCES, fitting, wanted or fitting)


def describe(model: LlamaModel, context_length: int, sequences: int, plan: MemoryPlan) -> list[str]:
    """What a plan gives, in lines for the operator."""
    each = model.kv_bytes_per_token() * context_length
    lines = [f"{sequences} sequences of {context_length} tokens sample at once"]
    if each:
        lines[0] += f", in a KV cache of {format_size(each * sequences)}"
    levels = [(plan.swap_memory, "of memory")]
    if plan.swap_dir is not None:
        levels.append((plan.swap_disk, f"in {plan.swap_dir}"))
    for size, where in levels:
        room = f", room for {size // each} of full length" if each else ""
        lines.append(f"paused ones move to {format_size(size)} {where}{room}")
    lines.append("beyond that they are computed again from their tokens when they go on")
    return lines


def parse_size(text: str) -> int:
    """Bytes from `512M`, `2G`, `1.5GiB` or a plain number; powers of 1024. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write bytes, or a number with K, M, G or T")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def format_size(size: float) -> str:
    """Bytes for people, like `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
