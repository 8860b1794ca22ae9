"""The engine's thread on a context made of plain lists: what it feeds, counts and reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import numpy as np
import pytest
from caesura.sampler.engine import FinishReason, SamplingParams
from caesura.sampler.engine_thread import EngineThread, Progress, Release, Run, Shutdown, Start, Stop
from caesura.sampler.errors import EngineStopped
from caesura.sampler.llama_context import Logits, Row, SamplerChain
from caesura.sampler.llama_engine import _seed
from caesura.sampler.scheduler import Scheduler

SECONDS = 20
GREEDY = SamplingParams(temperature=0, max_tokens=3)


class ListContext:
    """Greedy sampling counts up: the next token is one more than the last."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, list[int], bool]] = []
        self.cleared: list[int] = []
        self.closed = False
        self._last: list[int] = []

    def decode(self, rows: Sequence[Row]) -> list[int]:
        self.rows += [(slot, position, list(tokens), wanted) for slot, position, tokens, wanted in rows]
        self._last = [tokens[-1] for _, _, tokens, _ in rows]
        return list(range(len(rows)))

    def logits(self, index: int) -> Logits:
        logits = np.zeros(100, np.float32)
        logits[(self._last[index] + 1) % 100] = 9.0
        return logits

    def sample(self, chain: SamplerChain, index: int) -> int:
        raise NotImplementedError

    def clear(self, slot: int) -> None:
        self.cleared.append(slot)

    def close(self) -> None:
        self.closed = True


class Listener:
    """Adds up a run's progress."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.decoded = self.recomputed = 0
        self.last: Progress | None = None
        self.ended = asyncio.Event()

    def __call__(self, progress: Progress) -> None:
        assert not self.ended.is_set(), "progress after the end"
        self.tokens += [sampled.token for sampled in progress.tokens]
        self.decoded += progress.decoded
        self.recomputed += progress.recomputed
        self.last = progress
        if progress.ended:
            self.ended.set()


@pytest.fixture
def context() -> ListContext:
    return ListContext()


@pytest.fixture
def thread(context: ListContext) -> Iterator[EngineThread]:
    thread = EngineThread(lambda: context, Scheduler(batch_size=16, prefill_chunk=4, idle_prefill_chunk=8))
    yield thread
    thread.send(Shutdown())
    thread.join()
    assert context.closed


def make_run(listener: Listener, pending: list[int], *, slot: int = 0, position: int = 0, room: int = 50) -> Run:
    return Run(slot, 0, position, pending, GREEDY, 0, room, None, listener)


def run(thread: EngineThread, test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        thread.bind(asyncio.get_running_loop())
        async with asyncio.timeout(SECONDS):
            await test()

    asyncio.run(bounded())


def test_what_is_fed(thread: EngineThread, context: ListContext) -> None:
    async def test() -> None:
        listener = Listener()
        thread.send(Start(make_run(listener, list(range(10)))))
        await listener.ended.wait()
        assert listener.tokens == [10, 11, 12]
        assert context.rows == [
            (0, 0, [0, 1, 2, 3, 4, 5, 6, 7], False),
            (0, 8, [8, 9], True),
            (0, 10, [10], True),
            (0, 11, [11], True),
        ]
        assert listener.decoded == 12
        assert listener.recomputed == 0
        assert listener.last is not None
        assert listener.last.finish_reason is FinishReason.LENGTH

    run(thread, test)


def test_positions_fed_again_are_counted(thread: EngineThread, context: ListContext) -> None:
    async def test() -> None:
        first, second, third = Listener(), Listener(), Listener()
        thread.send(Start(make_run(first, [1, 2, 3, 4])))
        await first.ended.wait()
        assert (first.decoded, first.recomputed) == (6, 0)
        thread.send(Start(make_run(second, [3, 4, 5, 6, 7, 8], position=2)))
        await second.ended.wait()
        assert (second.decoded, second.recomputed) == (8, 4)
        thread.send(Release(0))
        thread.send(Start(make_run(third, [1])))
        await third.ended.wait()
        assert third.recomputed == 0, "a slot that was released starts afresh"
        assert context.cleared == [0]

    run(thread, test)


def test_a_late_stop_doesnt_hit_the_next_run(thread: EngineThread) -> None:
    async def test() -> None:
        first, second = Listener(), Listener()
        stale = make_run(first, [1])
        thread.send(Start(stale))
        await first.ended.wait()
        thread.send(Start(make_run(second, [4], position=4)))
        thread.send(Stop(stale))
        await second.ended.wait()
        assert second.tokens == [5, 6, 7]

    run(thread, test)


def test_a_full_sequence_ends_before_its_limit(thread: EngineThread) -> None:
    async def test() -> None:
        listener = Listener()
        thread.send(Start(make_run(listener, [1], room=2)))
        await listener.ended.wait()
        assert listener.tokens == [2, 3]
        assert listener.last is not None
        assert listener.last.finish_reason is FinishReason.CONTEXT

    run(thread, test)


def test_after_a_failure_nobody_waits_in_vain(context: ListContext) -> None:
    def fail(slot: int) -> None:
        raise ZeroDivisionError("a bug")

    context.clear = fail  # type: ignore[method-assign]
    thread = EngineThread(lambda: context, Scheduler(batch_size=16))

    async def test() -> None:
        thread.send(Release(0))
        listeners = [Listener() for _ in range(3)]
        for slot, listener in enumerate(listeners):
            thread.send(Start(make_run(listener, [1], slot=slot)))
            await listener.ended.wait()
            assert listener.last is not None
            assert isinstance(listener.last.error, EngineStopped)
        assert thread.failure is not None
        thread.send(Shutdown())
        await asyncio.to_thread(thread.join)

    run(thread, test)
    assert context.closed


def test_seeds_differ_from_turn_to_turn() -> None:
    assert _seed(5, 10) == _seed(5, 10)
    assert len({_seed(seed, position) for seed in range(20) for position in range(20)}) == 400
    assert all(0 <= _seed(seed, 3) < 2**64 for seed in (0, 2**63 - 1))
    assert _seed(None, 3) != _seed(None, 3)
