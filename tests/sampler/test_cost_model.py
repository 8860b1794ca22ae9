"""The simulated engine's cost model, and the sleep that keeps to it."""

from __future__ import annotations

import contextlib

import pytest
from caesura.sampler.cost_model import CostModel
from caesura.sampler.errors import InvalidCostModel
from caesura.sampler.precise_sleep import PreciseSleep
from hypothesis import given
from hypothesis import strategies as st

rates = st.floats(0.001, 1e9)
models = st.builds(
    lambda low, high, attention, batch: CostModel(min(low, high), max(low, high), attention, batch),
    rates,
    rates,
    st.floats(0, 1e6),
    st.floats(0, 1),
)
steps = st.tuples(st.integers(1, 256), st.integers(0, 1000), st.integers(0, 10**6)).map(
    lambda step: (step[0], step[0] + step[1], step[2])
)


@given(models)
def test_what_is_written_is_what_is_read(model: CostModel) -> None:
    assert CostModel.parse(str(model)) == model


@given(models, steps, st.integers(0, 10))
def test_more_work_never_takes_less_time(model: CostModel, step: tuple[int, int, int], more: int) -> None:
    rows, tokens, context = step
    least = model.step_ns(rows, tokens, context)
    assert least >= 0
    assert model.step_ns(rows + more, tokens + more, context) >= least
    assert model.step_ns(rows, tokens + more, context) >= least
    assert model.step_ns(rows, tokens, context + more) >= least


@given(models)
def test_a_sequence_alone_is_decoded_at_its_rate(model: CostModel) -> None:
    assert model.step_ns(1, 1) == pytest.approx(1e9 / model.decode, abs=1)


@given(models, st.integers(1, 1000), st.integers(1, 256))
def test_no_step_computes_faster_than_a_prefill(model: CostModel, tokens: int, rows: int) -> None:
    assert model.step_ns(rows, rows + tokens) >= round(1e9 * (rows + tokens) / model.prefill)


def test_figures_worked_out_by_hand() -> None:
    model = CostModel.parse("decode=1000,prefill=10000,attention=5,batch=0.1")
    assert model.step_ns(1, 1) == 1_000_000
    assert model.step_ns(4, 4) == 1_300_000, "three more sequences, a tenth of a step each"
    assert model.step_ns(1, 128) == 12_800_000, "bound by what is computed"
    assert model.step_ns(1, 1, 32_000) == 1_160_000, "5 us for every 1,000 tokens"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", CostModel(1000, 10_000)),
        ("decode=65", CostModel(65, 10_000)),
        (" decode = 4000 , batch = 0.5 ", CostModel(4000, 40_000, 0, 0.5)),
        ("prefill=5e3,decode=1e2", CostModel(100, 5000)),
    ],
)
def test_what_is_not_given(text: str, expected: CostModel) -> None:
    assert CostModel.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "decode"),
        ("prefill=1000", "decode=TOKENS_PER_SECOND is missing"),
        ("decode=0", "decode"),
        ("decode=-5", "decode"),
        ("decode=nan", "decode"),
        ("decode=inf", "decode"),
        ("decode=fast", "'fast'"),
        ("decode=1000,prefill=999", "prefill"),
        ("decode=1000,attention=-1", "attention"),
        ("decode=1000,batch=1.5", "batch"),
        ("decode=1000,decode=1000", "twice"),
        ("decode=1000,speed=3", "'speed'"),
        ("decode=1000,", "decode"),
    ],
)
def test_nonsense(text: str, named: str) -> None:
    with pytest.raises(InvalidCostModel) as raised:
        CostModel.parse(text)
    assert named in str(raised.value)


@given(st.text())
def test_any_text_is_a_model_or_an_error(text: str) -> None:
    with contextlib.suppress(InvalidCostModel):
        assert CostModel.parse(text).decode > 0


class LateClock:
    """A clock that only sleeping moves, and by more than it was asked for."""

    def __init__(self, late: int) -> None:
        self.now = 0
        self.late = late

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9) + self.late


@given(late=st.integers(0, 200_000), durations=st.lists(st.integers(200_001, 2_000_000), max_size=20))
def test_a_sleep_is_shortened_by_what_it_is_late(late: int, durations: list[int]) -> None:
    clock = LateClock(late)
    sleep = PreciseSleep(lambda: clock.now, clock.sleep)
    assert sleep.late_ns == late
    began = clock.now
    for duration in durations:
        sleep.wait(clock.now, duration)
    assert clock.now - began == sum(durations)


def test_what_takes_longer_than_ever_is_not_made_up_for() -> None:
    """A wait for the GIL, say."""
    clock = LateClock(20_000)
    sleep = PreciseSleep(lambda: clock.now, clock.sleep)
    began = clock.now
    clock.late = 3_000_000
    sleep.wait(clock.now, 1_000_000)
    clock.late = 20_000
    sleep.wait(clock.now, 1_000_000)
    assert clock.now - began == 2_000_000 + 3_000_000 - 20_000


def test_time_that_is_over_is_not_slept() -> None:
    clock = LateClock(20_000)
    sleep = PreciseSleep(lambda: clock.now, clock.sleep)
    began = clock.now
    clock.now += 5_000
    sleep.wait(began, 4_000)
    assert clock.now == began + 5_000


def test_it_sleeps_for_real() -> None:
    sleep = PreciseSleep()
    began = sleep.now()
    sleep.wait(began, 20_000_000)
    assert sleep.now() - began >= 20_000_000 - sleep.late_ns
