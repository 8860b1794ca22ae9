"""What goes into the next batch: plain data and loops, no model, no clock, no thread.

Each step takes one token of every sequence that decodes, plus a bounded chunk of prefill. The bound keeps a long tool
result from stalling the others: with 8 sequences decoding, 64 tokens of prefill about double a step (measured
on a 3 M model), and 32 cost no less. When nobody decodes there is nobody to stall, and the chunk is larger.

Prefill is served in order of arrival. A sequence keeps its first arrival through all its pauses, so a resumed one
goes before those that came after it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Feed the next `count` pending tokens of the sequence in `slot`; sample from it afterwards if `complete`."""

    slot: int
    count: int
    complete: bool


@dataclass(slots=True)
class _Job:
    slot: int
    arrival: int
    pending: int


class Scheduler:
    """The sequences being sampled and how many tokens each has pending.

    batch_size:         most tokens in one step; at least the number of sequences.
    prefill_chunk:      most prefill tokens in a step in which a sequence decodes.
    idle_prefill_chunk: most prefill tokens in any other step.
    """

    def __init__(self, *, batch_size: int, prefill_chunk: int = 64, idle_prefill_chunk: int = 512) -> None:
        if batch_size < 1 or prefill_chunk < 1 or idle_prefill_chunk < 1:
            raise ValueError("batch size and prefill chunks must be at least 1")
        self._batch_size = batch_size
        self._prefill_chunk = prefill_chunk
        self._idle_prefill_chunk = idle_prefill_chunk
        self._jobs: dict[int, _Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, slot: int) -> bool:
        return slot in self._jobs

    def add(self, slot: int, *, arrival: int, pending: int) -> None:
        """Take up a sequence with at least one pending token. `arrival` is smaller for those that came earlier."""
        if slot in self._jobs:
            raise ValueError(f"slot {slot} is already scheduled")
        if pending < 1:
            raise ValueError("a sequence needs a pending token to be sampled from")
        if len(self._jobs) >= self._batch_size:
            raise ValueError("more sequences than a batch holds")
        self._jobs[slot] = _Job(slot, arrival, pending)

    def remove(self, slot: int) -> None:
        self._jobs.pop(slot, None)

    def schedule(self) -> list[Work]:
        """The next batch, in order of slots; empty if there is nothing to do.

        A sequence with one pending token decodes; one with more is being prefilled.
        """
        decoding = [job for job in self._jobs.values() if job.pending == 1]
        batch = [Work(job.slot, 1, True) for job in decoding]
        if len(decoding) < len(self._jobs):
            chunk = self._prefill_chunk if decoding else self._idle_prefill_chunk
            budget = min(chunk, self._batch_size - len(decoding))
            prefilling = [job for job in self._jobs.values() if job.pending > 1]
            for job in sorted(prefilling, key=_arrival):
                if budget <= 0:
                    break
                count = min(job.pending, budget)
                # ggml computes a lone token with another kernel than two or more, with other last bits. Never left
                # alone, a prefill's last token has the same logits however the rest was cut.
                if job.pending - count == 1 and count > 2:
                    count -= 1
                budget -= count
                batch.append(Work(job.slot, count, count == job.pending))
        # llama.cpp puts neighbouring sequence ids into one pass over the weights; a gap starts another pass.
        batch.sort(key=_slot)
        return batch

    def postprocess(self, work: Work) -> None:
        """Account for work that was done. A sampled token is the one that is pending next."""
        job = self._jobs[work.slot]
        job.pending = 1 if work.complete else job.pending - work.count


def _arrival(job: _Job) -> int:
    return job.arrival


def _slot(work: Work) -> int:
    return work.slot
