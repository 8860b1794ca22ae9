"""What goes into the next batch: plain data and loops, no model, no clock, no thread.

Each step takes one token of every sequence that decodes, plus a bounded chunk of prefill. The bound keeps a long tool
result from stalling the others: with 8 sequences decoding, 64 tokens of prefill about double a step (measured
on a 3 M model), and 32 cost no less. When nobody decodes there is nobody to stall, and the chunk is larger.

The chunk is shared out like this:

1. The sequence that arrived first gets an eighth, so that nobody waits for ever. A sequence keeps its first arrival
   through all its pauses.
2. Then come sequences that are resumed, the one with the fewest pending tokens first: a short tool result overtakes
   long ones, and its first token is late by at most two steps (see `test_scheduler`).
3. Then come those that have just begun, in order of arrival.

Strict order of arrival was rejected: a one-line result would wait for all of an older 8k prompt, 128 steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

OLDEST_SHARE = 8
"""The oldest sequence gets one of so many parts of a chunk."""


class Work(NamedTuple):
    """Feed the next `num_tokens` pending tokens of the sequence in `slot`; sample from it afterwards if `complete`."""

    slot: int
    num_tokens: int
    complete: bool


@dataclass(slots=True)
class _Job:
    slot: int
    arrival: int
    pending: int
    resumed: bool

    @property
    def urgency(self) -> tuple[bool, int, int]:
        return (not self.resumed, self.pending if self.resumed else 0, self.arrival)


class Scheduler:
    """The sequences being sampled and how many tokens each has pending.

    batch_size:         most tokens in one step; at least the number of sequences.
    prefill_chunk:      most prefill tokens in a step in which a sequence decodes.
    idle_prefill_chunk: most prefill tokens in any other step.
    """

    def __init__(self, *, batch_size: int, prefill_chunk: int = 64, idle_prefill_chunk: int = 128) -> None:
        if batch_size < 1 or prefill_chunk < 1 or idle_prefill_chunk < 1:
            raise ValueError("batch size and prefill chunks must be at least 1")
        self.batch_size = batch_size
        self._prefill_chunk = prefill_chunk
        self._idle_prefill_chunk = idle_prefill_chunk
        self._jobs: dict[int, _Job] = {}
        self._prefilling: dict[int, _Job] = {}
        self._decoding: Sequence[Work] | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, slot: int) -> bool:
        return slot in self._jobs

    def add(self, slot: int, *, arrival: int, pending: int, resumed: bool = False) -> None:
        """Take up a sequence with at least one pending token. `arrival` is smaller for those that came earlier;
        `resumed` says that it has been sampled before."""
        if slot in self._jobs:
            raise ValueError(f"slot {slot} is already scheduled")
        if pending < 1:
            raise ValueError("a sequence needs a pending token to be sampled from")
        if len(self._jobs) >= self.batch_size:
            raise ValueError("more sequences than a batch holds")
        job = self._jobs[slot] = _Job(slot, arrival, pending, resumed)
        if pending > 1:
            self._prefilling[slot] = job
        self._decoding = None

    def remove(self, slot: int) -> None:
        self._jobs.pop(slot, None)
        self._prefilling.pop(slot, None)
        self._decoding = None

    def move(self, slot: int, to: int) -> None:
        """The sequence in `slot` is in slot `to` from now on, where no other is scheduled."""
        if to in self._jobs:
            raise ValueError(f"slot {to} is already scheduled")
        job = self._jobs[to] = self._jobs.pop(slot)
        job.slot = to
        if self._prefilling.pop(slot, None) is not None:
            self._prefilling[to] = job
        self._decoding = None

    def schedule(self) -> Sequence[Work]:
        """The next batch, in order of slots; empty if there is nothing to do.

        A sequence with one pending token decodes; one with more is being prefilled. While the same sequences decode and
        nothing else happens, this is the same object each time.
        """
        if self._decoding is None:
            # llama.cpp puts neighbouring sequence ids into one pass over the weights; a gap starts another pass.
            slots = sorted(self._jobs.keys() - self._prefilling.keys())
            self._decoding = tuple(Work(slot, 1, True) for slot in slots)
        if not self._prefilling:
            return self._decoding
        chunk = self._prefill_chunk if self._decoding else self._idle_prefill_chunk
        counts = self._share_out(min(chunk, self.batch_size - len(self._decoding)))
        prefill = [Work(slot, count, count == self._prefilling[slot].pending) for slot, count in counts.items()]
        return sorted([*self._decoding, *prefill])

    def _share_out(self, budget: int) -> dict[int, int]:
        """Tokens of the chunk for each slot that gets any."""
        order = sorted(self._prefilling.values(), key=lambda job: job.urgency)
        oldest = min(order, key=lambda job: job.arrival)
        counts: dict[int, int] = {}
        if oldest is not order[0]:
            share = min(oldest.pending, -(-budget // OLDEST_SHARE))
            if share:
                counts[oldest.slot] = share
                budget -= share
        for job in order:
            if budget <= 0:
                break
            given = counts.get(job.slot, 0)
            more = min(job.pending - given, budget)
            if more:
                counts[job.slot] = given + more
                budget -= more
        return counts

    def postprocess(self, work: Work) -> None:
        """Account for work that was done. A sampled token is the one that is pending next."""
        job = self._prefilling.get(work.slot)
        if job is None:
            return
        job.pending -= work.num_tokens
        if work.complete or job.pending == 1:
            job.pending = 1
            del self._prefilling[work.slot]
            self._decoding = None
