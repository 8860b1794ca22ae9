"""How the engine's process begins and how it ends, in order or not."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from caesura.sampler import engine_child
from caesura.sampler.engine import SamplingParams, TokenSequence
from caesura.sampler.errors import (
    EngineStartFailed,
    EngineStopped,
)
from caesura.sampler.model import Model
from caesura.sampler.process_engine import ProcessEngine
from process_support import GREEDY, SECONDS, SETTINGS, ids, opened, prompt, run, sample


@pytest.fixture(scope="module")
def engine(vocab_model: Model) -> Iterator[ProcessEngine]:
    """Shared: a test that kills its child leaves it as good as new. Whoever opens a sequence closes it."""
    engine = ProcessEngine(vocab_model, **SETTINGS)
    yield engine
    asyncio.run(engine.close())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threads": 100_000}, "threads must be between"),
        ({"context_length": 2**40}, "out of range"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_settings_that_cant_be(vocab_model: Model, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineStartFailed, match=message):
        ProcessEngine(vocab_model, **settings)


def test_a_child_that_dies_at_the_start(vocab_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_child, "COMMAND", [sys.executable, "-c", "import os; os.abort()"])
    with pytest.raises(EngineStartFailed, match="SIGABRT"):
        ProcessEngine(vocab_model)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_close(vocab_model: Model) -> None:
    files = len(os.listdir("/proc/self/fd"))

    async def test() -> int:
        engine = ProcessEngine(vocab_model, **SETTINGS)
        assert os.getsid(engine.pid) == engine.pid, "Ctrl-C in the terminal is not for it"
        sequence, idle = await engine.open(prompt()), await engine.open(prompt())
        stream = sequence.sample(SamplingParams(temperature=0))
        await anext(stream)
        os.kill(engine.pid, signal.SIGKILL)
        await anext(stream)
        await asyncio.gather(engine.close(), engine.close())
        with pytest.raises(EngineStopped):
            async for _ in stream:
                pass
        with pytest.raises(EngineStopped):
            idle.sample(GREEDY)
        with pytest.raises(EngineStopped):
            await engine.open([1])
        await sequence.close()
        await idle.close()
        await engine.close()
        return engine.pid

    pid = run(test)
    assert not exists(pid), "reaped"
    assert len(os.listdir("/proc/self/fd")) <= files


def test_close_while_the_child_hangs(faulty: ProcessEngine) -> None:
    async def test() -> None:
        sequence = await faulty.open(prompt())
        stream = sequence.sample(SamplingParams(temperature=0))
        await anext(stream)
        os.kill(faulty.pid, signal.SIGSTOP)
        await faulty.close()
        assert not exists(faulty.pid)
        await sequence.close()

    run(test)


def test_close_while_a_child_starts(faulty: ProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        sequence = await faulty.open(prompt())
        stream = sequence.sample(SamplingParams(temperature=0))
        await anext(stream)
        killed = faulty.pid
        monkeypatch.setattr(engine_child, "COMMAND", [sys.executable, "-c", "import signal; signal.pause()"])
        os.kill(killed, signal.SIGKILL)
        while faulty.pid == killed:  # noqa: ASYNC110 (nothing else tells that it has just begun)
            await asyncio.sleep(0)
        await faulty.close()
        assert not exists(faulty.pid)
        with pytest.raises(EngineStopped):
            async for _ in stream:
                pass

    run(test)


def test_one_event_loop_after_another(vocab_model: Model) -> None:
    engine = ProcessEngine(vocab_model, **SETTINGS)

    async def rollout() -> list[int]:
        async with opened(engine, prompt()) as sequence:
            return ids(await sample(sequence))

    async def keep() -> TokenSequence:
        return await engine.open(prompt())

    try:
        first = run(rollout)
        os.kill(engine.pid, signal.SIGKILL)  # while no loop runs
        assert run(rollout) == first
        kept = run(keep)
        with pytest.raises(RuntimeError, match="one event loop"):
            run(rollout)
        run(kept.close)
        assert run(rollout) == first
    finally:
        asyncio.run(engine.close())


ORPHAN = """
import asyncio, sys
from caesura.sampler.engine import SamplingParams
from caesura.sampler.model import load_model
from caesura.sampler.process_engine import ProcessEngine

async def main():
    engine = ProcessEngine(load_model(sys.argv[1], vocab_only=True), context_length=100_000, sequences=1)
    sequence, told = await engine.open([1]), False
    async for _ in sequence.sample(SamplingParams(temperature=0)):
        if sequence.ledger.sampled >= 5 and not told:
            told = True
            print(engine.pid, flush=True)

asyncio.run(main())
"""


def test_the_child_goes_when_the_parent_does(demo_model_path: Path) -> None:
    """In the middle of decoding, and however the parent went."""
    with subprocess.Popen([sys.executable, "-c", ORPHAN, demo_model_path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            ended, _, _ = select.select([child], [], [], SECONDS)
            assert ended, "it outlived its parent"
        finally:
            os.close(child)
