"""Noise: what is noted, and when it is called too much."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from caesura.client.bench.noise import MAX_LOAD, MAX_SPREAD, MAX_STEAL, Probe, judge
from caesura.client.bench.records import Noise
from hypothesis import given
from hypothesis import strategies as st


def _stat(path: Path, *ticks: int) -> Path:
    path.write_text("cpu  " + " ".join(map(str, ticks)) + "\ncpu0 1 2\n")
    return path


def test_a_probe_notes_what_it_saw(tmp_path: Path) -> None:
    path = _stat(tmp_path / "stat", 100, 0, 50, 800, 0, 0, 0, 10, 77, 0)
    times = itertools.accumulate([0, 5, 100, 7])
    probe = Probe(path, clock=lambda: next(times))
    probe()
    probe()
    _stat(path, 150, 0, 60, 830, 0, 0, 0, 20, 99, 0)
    noise = probe.noise()
    assert noise.probes == [5, 7]
    assert noise.steal == pytest.approx(0.1)
    assert noise.load >= 0


@pytest.mark.parametrize("content", ["", "cpu\n", "cpu 1 2 3 4\n", "cpu a b\n"])
def test_where_the_kernel_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "stat").write_text(content)
    assert Probe(tmp_path / "stat").noise().steal == 0
    assert Probe(tmp_path / "none").noise().steal == 0


def test_the_work_takes_some_time() -> None:
    probe = Probe()
    probe()
    assert probe.noise().probes[0] > 0


@given(st.integers(10**6, 10**8), st.integers(0, 100))
def test_a_quiet_machine(length: int, count: int) -> None:
    assert judge(Noise([length] * count, MAX_STEAL, MAX_LOAD * 4), cores=4) == []


def test_each_reason_is_given() -> None:
    spread = [1_000_000] * 8 + [round(1_000_000 * (1 + 2 * MAX_SPREAD))] * 2
    for noise, part in [
        (Noise(probes=spread), "the same piece of work took from 1.00 to 1.30 ms"),
        (Noise(steal=0.05), "5.0% of the machine's time went to other machines"),
        (Noise(load=1.0), "the load average before was 1.00"),
    ]:
        (warning,) = judge(noise, cores=2)
        assert part in warning
    assert len(judge(Noise(spread, 0.05, 1.0), cores=2)) == 3


def test_a_few_probes_are_not_judged() -> None:
    assert judge(Noise([1, 100, 1, 100]), cores=64) == []


def test_one_probe_that_is_off_is_no_noise() -> None:
    assert judge(Noise([100] * 19 + [500]), cores=64) == []
