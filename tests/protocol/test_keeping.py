"""What the core keeps: the events of a Response, the frames of a connection, and what is due when."""

from __future__ import annotations

import pytest
from caesura.protocol.deadlines import Deadlines
from caesura.protocol.event_log import Budget, EventLog
from caesura.protocol.outbox import Outbox
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

SIZE = "".__sizeof__()


@pytest.mark.requirement("resume-replay", "resume-gap")
@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 6), st.integers(1, 300))
def test_an_event_log_keeps_the_last_ones_that_fit(sizes: list[int], most: int, most_bytes: int) -> None:
    budget = Budget(10_000)
    log = EventLog(most, most_bytes, budget)
    sent: list[str] = []
    kept: list[str] = []
    assert log.last == -1
    for size in sizes:
        sent.append("x" * size)
        log.add(sent[-1])
        kept.append(sent[-1])
        while len(kept) > 1 and (len(kept) > most or sum(SIZE + len(each) for each in kept) > most_bytes):
            del kept[0]
        assert log.last == len(sent) - 1
        assert budget.used == sum(SIZE + len(each) for each in kept)
        for after in range(-1, len(sent)):
            missing = sent[after + 1 :]
            assert log.after(after) == (missing if len(missing) <= len(kept) else None)
    log.clear()
    assert budget.used == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=40), st.integers(100, 400))
def test_logs_share_a_budget_and_each_keeps_its_last(adds: list[tuple[int, int]], limit: int) -> None:
    budget = Budget(limit)
    logs = [EventLog(100, 10_000, budget) for _ in range(3)]
    for number, size in adds:
        log = logs[number]
        log.add("x" * size)
        assert log.after(log.last - 1) == ["x" * size]
        kept = next(count for count in range(log.last + 1, 0, -1) if log.after(log.last - count) is not None)
        assert budget.used <= limit or kept == 1
    for log in logs:
        log.clear()
    assert budget.used == 0


class DeadlineMachine(RuleBasedStateMachine):
    """Against a dict and ``min``."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: Deadlines[int] = Deadlines()
        self.model: dict[int, float] = {}
        self.now = 0.0

    @rule(key=st.integers(0, 5), when=st.integers(0, 50))
    def set(self, key: int, when: int) -> None:
        self.deadlines.set(key, float(when))
        self.model[key] = float(when)

    @rule(key=st.integers(0, 5), times=st.integers(60, 80))
    def set_often(self, key: int, times: int) -> None:
        """So often that the stale entries are swept out."""
        for number in range(times):
            self.set(key, number % 50)

    @rule(key=st.integers(0, 5))
    def cancel(self, key: int) -> None:
        self.deadlines.cancel(key)
        self.model.pop(key, None)

    @rule(seconds=st.integers(0, 20))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        due = sorted(when for when in self.model.values() if when <= self.now)
        times = []
        for key in self.deadlines.due(self.now):
            times.append(self.model.pop(key))
        assert times == due

    @invariant()
    def agrees(self) -> None:
        assert self.deadlines.next() == min(self.model.values(), default=None)
        assert len(self.deadlines._heap) <= max(65, 4 * len(self.model) + 1)


DeadlineMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDeadlines = DeadlineMachine.TestCase


def test_what_becomes_due_may_set_and_cancel_others() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for name, when in (("first", 1.0), ("second", 2.0), ("third", 3.0)):
        deadlines.set(name, when)
    seen = []
    for name in deadlines.due(10.0):
        seen.append(name)
        if name == "first":
            deadlines.cancel("second")
            deadlines.set("fourth", 4.0)
            deadlines.set("late", 11.0)
    assert seen == ["first", "third", "fourth"]
    assert deadlines.next() == 11.0


@pytest.mark.requirement("limit-slow-reader")
@given(st.lists(st.sampled_from(["add", "next", "allow", "clear"]), max_size=60), st.integers(1, 5))
def test_an_outbox_against_a_list(steps: list[str], most: int) -> None:
    outbox = Outbox(most, 10_000)
    model: list[str] = []
    allowed = 0
    for number, step in enumerate(steps):
        if step == "add":
            outbox.add(str(number))
            model.append(str(number))
        elif step == "next":
            expected = model.pop(0) if model else None
            allowed = allowed if expected is not None else 0
            assert outbox.next() == expected
        elif step == "allow":
            outbox.allow("one", ["x"] * 3)
            allowed = 3
        else:
            outbox.clear()
            model = []
        assert len(outbox) == len(model)
        assert outbox.is_full == (len(model) >= most + allowed)


def test_an_outbox_is_bounded_in_memory() -> None:
    outbox = Outbox(100, 3 * (SIZE + 10))
    for full in (False, False, True):
        outbox.add("x" * 10)
        assert outbox.is_full == full
    outbox.next()
    assert not outbox.is_full
