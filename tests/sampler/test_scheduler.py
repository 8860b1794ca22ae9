"""The scheduler, without a model: what goes into a batch, and that nobody waits for ever."""

from __future__ import annotations

from collections import Counter

import pytest
from caesura.sampler.scheduler import Scheduler, Work
from hypothesis import given
from hypothesis import strategies as st


def step(scheduler: Scheduler) -> list[Work]:
    batch = scheduler.schedule()
    for work in batch:
        scheduler.postprocess(work)
    return batch


def test_nothing_to_do_is_an_empty_batch() -> None:
    assert Scheduler(batch_size=4).schedule() == []


def test_prefill_alone_takes_the_large_chunk() -> None:
    scheduler = Scheduler(batch_size=512, prefill_chunk=64, idle_prefill_chunk=512)
    scheduler.add(0, arrival=0, pending=600)
    assert step(scheduler) == [Work(0, 512, False)]
    assert step(scheduler) == [Work(0, 88, True)]
    assert step(scheduler) == [Work(0, 1, True)]


def test_prefill_beside_decoding_takes_the_small_chunk() -> None:
    scheduler = Scheduler(batch_size=512, prefill_chunk=64)
    scheduler.add(3, arrival=0, pending=1)
    scheduler.add(1, arrival=1, pending=100)
    assert step(scheduler) == [Work(1, 64, False), Work(3, 1, True)]
    assert step(scheduler) == [Work(1, 36, True), Work(3, 1, True)]
    assert step(scheduler) == [Work(1, 1, True), Work(3, 1, True)]


def test_prefill_goes_by_first_arrival() -> None:
    scheduler = Scheduler(batch_size=100, prefill_chunk=10, idle_prefill_chunk=100)
    scheduler.add(0, arrival=7, pending=80)
    scheduler.add(1, arrival=2, pending=80)
    assert step(scheduler) == [Work(0, 20, False), Work(1, 80, True)]


def test_a_prefills_last_token_is_not_left_alone() -> None:
    scheduler = Scheduler(batch_size=100, prefill_chunk=10, idle_prefill_chunk=50)
    scheduler.add(0, arrival=0, pending=51)
    assert step(scheduler) == [Work(0, 49, False)]
    assert step(scheduler) == [Work(0, 2, True)]


def test_a_removed_sequence_is_out_at_once() -> None:
    scheduler = Scheduler(batch_size=4)
    scheduler.add(0, arrival=0, pending=1)
    scheduler.remove(0)
    scheduler.remove(0)
    assert 0 not in scheduler
    assert scheduler.schedule() == []


@pytest.mark.parametrize("pending", [0, -1])
def test_a_sequence_without_pending_tokens_is_refused(pending: int) -> None:
    with pytest.raises(ValueError, match="pending"):
        Scheduler(batch_size=4).add(0, arrival=0, pending=pending)


def test_a_slot_is_scheduled_once() -> None:
    scheduler = Scheduler(batch_size=4)
    scheduler.add(0, arrival=0, pending=1)
    with pytest.raises(ValueError, match="already"):
        scheduler.add(0, arrival=1, pending=1)


jobs = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300)), min_size=1, max_size=12)


@given(jobs, st.integers(1, 40), st.integers(1, 200))
def test_budgets_hold_and_everybody_is_served(jobs: list[tuple[int, int]], chunk: int, idle_chunk: int) -> None:
    batch_size = len(jobs) + max(chunk, idle_chunk)
    scheduler = Scheduler(batch_size=batch_size, prefill_chunk=chunk, idle_prefill_chunk=idle_chunk)
    left = {slot: pending for slot, (_, pending) in enumerate(jobs)}
    for slot, (arrival, pending) in enumerate(jobs):
        scheduler.add(slot, arrival=arrival, pending=pending)
    decoded: Counter[int] = Counter()
    # Prefill one chunk a step: nobody may need more steps than that takes for all.
    for _ in range(sum(pending for _, pending in jobs) // max(1, min(chunk, idle_chunk) - 1) + len(jobs) + 1):
        decoding = {slot for slot, pending in left.items() if pending == 1}
        batch = step(scheduler)
        assert [work.slot for work in batch] == sorted({work.slot for work in batch})
        assert sum(work.count for work in batch) <= batch_size
        served = {work.slot for work in batch}
        assert decoding <= served, "a decoding sequence was left out of a step"
        prefill = [work for work in batch if work.slot not in decoding]
        assert sum(work.count for work in prefill) <= (chunk if decoding else idle_chunk)
        waiting = [slot for slot, pending in left.items() if pending > 1 and slot not in served]
        if prefill and waiting:
            assert max(jobs[work.slot][0] for work in prefill) <= min(jobs[slot][0] for slot in waiting)
        for work in batch:
            assert 1 <= work.count <= left[work.slot]
            assert work.complete == (work.count == left[work.slot])
            left[work.slot] = 1 if work.complete else left[work.slot] - work.count
            decoded[work.slot] += work.complete
    assert set(decoded) == set(left), "a sequence was never sampled from"
