"""Sizes, and what budgets give."""

from __future__ import annotations

from pathlib import Path

import pytest
from caesura.sampler.errors import EngineStartFailed
from caesura.sampler.llama import available_memory
from caesura.sampler.memory_plan import MemoryPlan, describe, format_size, parse_size, sequences_for
from caesura.sampler.model import Model
from hypothesis import given
from hypothesis import strategies as st

KV = 4096
"""Bytes a token of the demo model."""


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("512M", 512 * 2**20),
        ("1.5g", 3 * 2**29),
        ("2 GiB", 2**31),
        ("7kb", 7168),
        ("1T", 2**40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_clear_error(text: str) -> None:
    try:
        size = parse_size(text)
    except ValueError:
        return
    assert size >= 0


@given(st.integers(0, 2**50))
def test_sizes_for_people_are_about_right(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.06, abs=1)


@pytest.mark.parametrize(
    ("kv_memory", "wanted", "expected"),
    [
        (None, None, 8),
        (None, 3, 3),
        (5 * KV * 100, None, 5),
        (5 * KV * 100, 2, 2),
        (5 * KV * 100, 9, 5),
        (2**40, None, 256),
    ],
)
def test_how_many_sequences(model: Model, kv_memory: int | None, wanted: int | None, expected: int) -> None:
    assert sequences_for(model.llama, 100, kv_memory, wanted) == expected


def test_a_kv_budget_that_holds_no_sequence(model: Model) -> None:
    with pytest.raises(EngineStartFailed, match=r"--kv-memory 100 KiB holds no sequence of 100 tokens.*400 KiB"):
        sequences_for(model.llama, 100, 100 * 1024, None)


def test_free_memory_is_the_systems_or_the_containers(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert available_memory(meminfo, tmp_path) is None
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    assert available_memory(meminfo, tmp_path) == 5000 * 1024
    (tmp_path / "memory.current").write_text("1000\n")
    for limit, expected in (("max", 5000 * 1024), ("3000", 2000), ("500", 0)):
        (tmp_path / "memory.max").write_text(limit + "\n")
        assert available_memory(meminfo, tmp_path) == expected


def test_what_is_not_given_depends_on_the_machine(tmp_path: Path) -> None:
    plan = MemoryPlan.default()
    assert plan.swap_memory > 0
    assert plan.swap_dir is None
    plan = MemoryPlan.default(swap_memory=5, swap_dir=tmp_path / "new")
    assert plan.swap_memory == 5
    assert plan.swap_disk > 0
    assert MemoryPlan.default(swap_dir=tmp_path, swap_disk=7).swap_disk == 7


def test_the_description(model: Model, tmp_path: Path) -> None:
    lines = describe(model.llama, 1024, 8, MemoryPlan(2**30, tmp_path, 2**33))
    assert lines == [
        "8 sequences of 1024 tokens sample at once, in a KV cache of 32 MiB",
        "paused ones move to 1.0 GiB of memory, room for 256 of full length",
        f"paused ones move to 8.0 GiB in {tmp_path}, room for 2048 of full length",
        "beyond that they are computed again from their tokens when they go on",
    ]
