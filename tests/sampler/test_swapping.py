"""Swapping to disk through the engine: what goes wrong there costs a prefill, never a sequence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from caesura.sampler.engine import SamplingParams, TokenSequence
from caesura.sampler.errors import EngineStartFailed
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.memory_plan import MemoryPlan
from caesura.sampler.model import Model
from caesura.sampler.state import Level

SECONDS = 30
GREEDY = SamplingParams(temperature=0, max_tokens=5, logprobs=True)
PROMPTS = [[100 + key, *range(200, 240)] for key in range(4)]


async def sample(sequence: TokenSequence) -> list[int]:
    return [token.token async for tokens in sequence.sample(GREEDY) for token in tokens]


def bits(sequence: TokenSequence) -> list[tuple[int, float | None]]:
    return [(entry.token, entry.logprob) for entry in sequence.ledger]


def swap_folder(parent: Path) -> Path:
    (folder,) = parent.iterdir()
    return folder


def levels(engine: LlamaEngine) -> set[Level]:
    return {state.level for state in engine._residency.states.values()}


def play(model: Model, plan: MemoryPlan, between: Callable[[LlamaEngine], Awaitable[None]]) -> list[TokenSequence]:
    """Four sequences and one slot: a turn each, what happens `between`, and another turn each."""

    async def run() -> list[TokenSequence]:
        async with asyncio.timeout(SECONDS):
            engine = LlamaEngine(model, context_length=256, sequences=1, plan=plan, share_prefixes=False)
            sequences = [await engine.open(prompt) for prompt in PROMPTS]
            for sequence in sequences:
                await sample(sequence)
            await between(engine)
            for sequence in sequences:
                sequence.extend([7, 8])
                await sample(sequence)
            await engine.close()
            return list(sequences)

    return asyncio.run(run())


async def nothing(engine: LlamaEngine) -> None:
    pass


async def until_written(engine: LlamaEngine, count: int) -> None:
    """Bounded by the test's own limit."""
    while engine._residency.counters.written < count:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def undisturbed(model: Model) -> list[list[tuple[int, float | None]]]:
    return [bits(sequence) for sequence in play(model, MemoryPlan(10**8), nothing)]


def test_from_disk_nothing_is_computed_again(
    model: Model, undisturbed: list[list[tuple[int, float | None]]], tmp_path: Path
) -> None:
    async def between(engine: LlamaEngine) -> None:
        await until_written(engine, 3)
        assert levels(engine) == {Level.DISK, Level.SLOT}
        assert len(list(swap_folder(tmp_path).glob("*.state"))) == 3

    sequences = play(model, MemoryPlan(0, tmp_path, 10**8), between)
    assert [bits(sequence) for sequence in sequences] == undisturbed
    assert [sequence.ledger.recomputed for sequence in sequences] == [0] * 4
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_missing_files_are_rebuilt_from_the_ledger(
    model: Model,
    undisturbed: list[list[tuple[int, float | None]]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def between(engine: LlamaEngine) -> None:
        await until_written(engine, 3)
        first, second, third = sorted(swap_folder(tmp_path).glob("*.state"))
        damaged = bytearray(first.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        first.write_bytes(damaged)
        second.write_bytes(second.read_bytes()[:-1])
        third.unlink()

    with caplog.at_level(logging.WARNING, "caesura"):
        sequences = play(model, MemoryPlan(0, tmp_path, 10**8), between)
    assert [bits(sequence) for sequence in sequences] == undisturbed
    rebuilt = [sequence for sequence in sequences if sequence.ledger.rebuilds]
    assert len(rebuilt) == 3
    assert all(sequence.ledger.recomputed == 45 for sequence in rebuilt)
    assert "checksum" in caplog.text


def test_a_full_disk_costs_a_prefill_and_one_warning(
    model: Model,
    undisturbed: list[list[tuple[int, float | None]]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every file of the folder is a link to /dev/full, which is a disk that is full."""
    import caesura.sampler.swap_files as swap_files

    make_path = swap_files.SwapFiles.path

    def path(files: swap_files.SwapFiles, file: int) -> Path:
        made = make_path(files, file)
        made.unlink(missing_ok=True)
        made.symlink_to("/dev/full")
        return made

    monkeypatch.setattr(swap_files.SwapFiles, "path", path)
    with caplog.at_level(logging.WARNING, "caesura"):
        sequences = play(model, MemoryPlan(0, tmp_path, 10**8), nothing)
    assert [bits(sequence) for sequence in sequences] == undisturbed
    assert any(sequence.ledger.rebuilds for sequence in sequences)
    (warning,) = caplog.records
    assert "No space left" in warning.getMessage()


def test_a_swap_folder_that_cant_be_made(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineStartFailed, match="can't swap"):
        MemoryPlan.default(swap_dir=tmp_path / "file" / "swap")
    with pytest.raises(EngineStartFailed, match="can't swap"):
        LlamaEngine(model, context_length=256, sequences=1, plan=MemoryPlan(0, tmp_path / "file" / "swap", 10))


def test_many_more_sequences_than_llama_cpp_has_ids(model: Model) -> None:
    """300 open, 3 slots: llama.cpp would abort at id 256."""

    async def run() -> None:
        async with asyncio.timeout(SECONDS):
            engine = LlamaEngine(model, context_length=64, sequences=3, plan=MemoryPlan(10**8), share_prefixes=False)
            sequences = [await engine.open([100 + key % 700, 5]) for key in range(300)]
            for _ in range(2):
                await asyncio.gather(*(sample(sequence) for sequence in sequences))
            assert all(sequence.ledger.recomputed == 0 for sequence in sequences)
            assert all(len(sequence.ledger) == 12 for sequence in sequences)
            await engine.close()

    asyncio.run(run())
