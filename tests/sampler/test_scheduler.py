"""The scheduler, without a model: what goes into a batch, and that nobody waits for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from caesura.sampler.scheduler import OLDEST_SHARE, Scheduler, Work
from hypothesis import example, given
from hypothesis import strategies as st


def step(scheduler: Scheduler) -> list[Work]:
    batch = scheduler.schedule()
    for work in batch:
        scheduler.postprocess(work)
    return list(batch)


def test_nothing_to_do_is_an_empty_batch() -> None:
    assert not Scheduler(batch_size=4).schedule()


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


def test_new_sequences_are_prefilled_by_first_arrival() -> None:
    scheduler = Scheduler(batch_size=100, prefill_chunk=10, idle_prefill_chunk=100)
    scheduler.add(0, arrival=7, pending=80)
    scheduler.add(1, arrival=2, pending=80)
    assert step(scheduler) == [Work(0, 20, False), Work(1, 80, True)]


def test_resumed_sequences_go_before_new_ones_and_short_ones_before_long_ones() -> None:
    scheduler = Scheduler(batch_size=100, prefill_chunk=10, idle_prefill_chunk=64)
    scheduler.add(0, arrival=0, pending=500)
    scheduler.add(1, arrival=1, pending=50, resumed=True)
    scheduler.add(2, arrival=2, pending=20, resumed=True)
    assert step(scheduler) == [Work(0, 8, False), Work(1, 36, False), Work(2, 20, True)]


def test_the_oldest_gets_its_share_whoever_else_is_there() -> None:
    scheduler = Scheduler(batch_size=100, prefill_chunk=10, idle_prefill_chunk=64)
    scheduler.add(0, arrival=0, pending=500)
    for late in range(1, 20):
        scheduler.add(late, arrival=late, pending=64, resumed=True)
        assert Work(0, 64 // OLDEST_SHARE, False) in step(scheduler)
        scheduler.remove(late)


def test_steps_of_the_same_sequences_are_the_same_object() -> None:
    scheduler = Scheduler(batch_size=10)
    scheduler.add(0, arrival=0, pending=2)
    scheduler.add(1, arrival=1, pending=1)
    step(scheduler)
    batch = scheduler.schedule()
    step(scheduler)
    assert scheduler.schedule() is batch
    scheduler.remove(1)
    scheduler.add(1, arrival=2, pending=1)
    assert scheduler.schedule() == batch
    assert scheduler.schedule() is not batch, "another sequence took the slot"


def test_a_removed_sequence_is_out_at_once() -> None:
    scheduler = Scheduler(batch_size=4)
    for pending in (1, 5):
        scheduler.add(0, arrival=0, pending=pending)
        scheduler.schedule()
        scheduler.remove(0)
        scheduler.remove(0)
        assert 0 not in scheduler
        assert not scheduler.schedule()


@pytest.mark.parametrize("pending", [0, -1])
def test_a_sequence_without_pending_tokens_is_refused(pending: int) -> None:
    with pytest.raises(ValueError, match="pending"):
        Scheduler(batch_size=4).add(0, arrival=0, pending=pending)


def test_a_slot_is_scheduled_once() -> None:
    scheduler = Scheduler(batch_size=4)
    scheduler.add(0, arrival=0, pending=1)
    with pytest.raises(ValueError, match="already"):
        scheduler.add(0, arrival=1, pending=1)


jobs = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300), st.booleans()), min_size=1, max_size=12)


@given(jobs, st.integers(1, 40), st.integers(1, 200))
def test_budgets_hold_and_everybody_is_served(jobs: list[tuple[int, int, bool]], chunk: int, idle_chunk: int) -> None:
    batch_size = len(jobs) + max(chunk, idle_chunk)
    scheduler = Scheduler(batch_size=batch_size, prefill_chunk=chunk, idle_prefill_chunk=idle_chunk)
    left = {slot: pending for slot, (_, pending, _) in enumerate(jobs)}
    for slot, (arrival, pending, resumed) in enumerate(jobs):
        scheduler.add(slot, arrival=arrival, pending=pending, resumed=resumed)
    decoded: Counter[int] = Counter()
    # A chunk is used up as long as anybody has so much pending: nobody may need more steps than that takes for all.
    for _ in range(sum(pending for _, pending, _ in jobs) // min(chunk, idle_chunk) + len(jobs) + 1):
        decoding = {slot for slot, pending in left.items() if pending == 1}
        wanted = sum(pending for pending in left.values() if pending > 1)
        batch = step(scheduler)
        assert [work.slot for work in batch] == sorted({work.slot for work in batch})
        assert sum(work.num_tokens for work in batch) <= batch_size
        assert decoding <= {work.slot for work in batch}, "a decoding sequence was left out of a step"
        prefill = [work for work in batch if work.slot not in decoding]
        assert sum(work.num_tokens for work in prefill) == min(wanted, chunk if decoding else idle_chunk)
        for work in batch:
            assert 1 <= work.num_tokens <= left[work.slot]
            assert work.complete == (work.num_tokens == left[work.slot])
            left[work.slot] = 1 if work.complete else left[work.slot] - work.num_tokens
            decoded[work.slot] += work.complete
    assert set(decoded) == set(left), "a sequence was never sampled from"


@given(st.lists(st.integers(2, 200), min_size=1, max_size=60), st.integers(2, 3000))
def test_nobody_starves_under_a_stream_of_short_results(lengths: Sequence[int], pending: int) -> None:
    scheduler = Scheduler(batch_size=200)
    scheduler.add(0, arrival=0, pending=pending)
    scheduler.add(1, arrival=10**6, pending=1)
    steps, late = 0, 2
    while True:
        if late not in scheduler:
            late += 1
            scheduler.add(late, arrival=late, pending=lengths[steps % len(lengths)], resumed=True)
        batch = step(scheduler)
        steps += 1
        if any(work.slot == 0 and work.complete for work in batch):
            break
        if any(work.slot == late and work.complete for work in batch):
            scheduler.remove(late)
        assert steps <= -(-pending // (64 // OLDEST_SHARE)), "the oldest sequence did not get its share"


def steps_to_first_token(appended: int, others: Sequence[tuple[int, bool, int]], *, decoding: bool) -> int:
    scheduler = Scheduler(batch_size=1000)
    if decoding:
        scheduler.add(999, arrival=10**6, pending=1)
    for slot, (pending, resumed, arrival) in enumerate(others):
        scheduler.add(slot, arrival=arrival, pending=pending, resumed=resumed)
    scheduler.add(500, arrival=50, pending=appended, resumed=True)
    for steps in range(1, 1000):
        if any(work.slot == 500 and work.complete for work in step(scheduler)):
            return steps
    raise AssertionError("never")


others = st.lists(st.tuples(st.integers(2, 20_000), st.booleans(), st.integers(0, 100)), max_size=30)


@given(st.integers(1, 890), others, st.booleans())
@example(890, [(5000, False, 0)], True)
def test_a_resumed_sequence_is_late_by_two_steps_at_most(
    appended: int, others: list[tuple[int, bool, int]], decoding: bool
) -> None:
    """By any number of prefills, new or resumed, that are longer than its own."""
    longer = [(max(pending, appended + 1), resumed, arrival) for pending, resumed, arrival in others]
    alone = steps_to_first_token(appended, [], decoding=decoding)
    # Whoever has one token pending decodes; beside it the chunk is the small one.
    assert steps_to_first_token(appended, longer, decoding=decoding) <= alone + 2
