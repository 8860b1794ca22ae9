"""The engine's thread on a context made of plain lists: what it feeds, counts and reports."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import caesura.sampler.engine_thread as engine_thread
import pytest
from caesura.sampler.engine import FinishReason, SamplingParams
from caesura.sampler.engine_run import Close, Progress, Shutdown, Start, Stop
from caesura.sampler.engine_thread import EngineThread
from caesura.sampler.errors import EngineStopped
from caesura.sampler.llama_context import Logits
from plain_storage import PlainState
from thread_support import ListContext, Listener, make_run, make_thread, run


@pytest.fixture
def context() -> ListContext:
    return ListContext()


@pytest.fixture
def thread(context: ListContext) -> Iterator[EngineThread]:
    thread = make_thread(context)
    yield thread
    thread.send(Shutdown())
    thread.join()
    assert context.closed


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


def test_a_resumed_sequence_goes_on_where_it_was(thread: EngineThread, context: ListContext) -> None:
    async def test() -> None:
        first, second, third = Listener(), Listener(), Listener()
        thread.send(Start(make_run(first, [1, 2, 3, 4])))
        await first.ended.wait()
        assert (first.tokens, first.decoded, first.recomputed) == ([5, 6, 7], 6, 0)
        thread.send(Start(make_run(second, [1, 2, 3, 4, 5, 6, 7, 20])))
        await second.ended.wait()
        assert context.rows[3] == (0, 6, [7, 20], True)
        assert (second.tokens, second.decoded, second.recomputed) == ([21, 22, 23], 4, 0)
        thread.send(Close(0))
        thread.send(Start(make_run(third, [1])))
        await third.ended.wait()
        assert third.recomputed == 0, "another sequence starts afresh"

    run(thread, test)


def test_more_sequences_than_slots(context: ListContext) -> None:
    thread = make_thread(context, slots=2)

    async def test() -> None:
        rows = [[10 * key] for key in range(5)]
        for _ in range(3):
            listeners = [Listener() for _ in rows]
            for key, listener in enumerate(listeners):
                thread.send(Start(make_run(listener, rows[key], key=key)))
            for row, listener in zip(rows, listeners, strict=True):
                await listener.ended.wait()
                assert listener.tokens == [row[-1] + 1, row[-1] + 2, row[-1] + 3]
                assert listener.recomputed == 0
                row += [*listener.tokens, 50]
        thread.send(Shutdown())
        await asyncio.to_thread(thread.join)

    run(thread, test)


def test_what_was_lost_is_computed_again(context: ListContext) -> None:
    thread = make_thread(context, slots=1)

    async def test() -> None:
        first, second = Listener(), Listener()
        thread.send(Start(make_run(first, [1, 2, 3, 4])))
        await first.ended.wait()
        thread.send(Start(make_run(second, [5], key=1)))
        await second.ended.wait()
        context.unusable.add(PlainState(0, 6))
        again = Listener()
        thread.send(Start(make_run(again, [1, 2, 3, 4, 5, 6, 7, 20])))
        await again.ended.wait()
        assert again.tokens == [21, 22, 23]
        assert (again.decoded, again.recomputed, again.rebuilt_at) == (10, 6, 6)
        thread.send(Shutdown())
        await asyncio.to_thread(thread.join)

    run(thread, test)


def test_a_late_stop_doesnt_hit_the_next_run(thread: EngineThread) -> None:
    async def test() -> None:
        first, second = Listener(), Listener()
        stale = make_run(first, [1])
        thread.send(Start(stale))
        await first.ended.wait()
        thread.send(Start(make_run(second, [1, 2, 3, 4])))
        thread.send(Stop(stale))
        await second.ended.wait()
        assert second.tokens == [5, 6, 7]

    run(thread, test)


def test_a_run_that_waits_for_a_slot_can_be_stopped(context: ListContext) -> None:
    thread = make_thread(context, slots=1)

    async def test() -> None:
        endless, waiting, last = Listener(), Listener(), Listener()
        long = make_run(endless, [1], room=10**6, params=SamplingParams(temperature=0))
        thread.send(Start(long))
        stopped = make_run(waiting, [1], key=1)
        thread.send(Start(stopped))
        thread.send(Start(make_run(last, [1], key=2)))
        thread.send(Stop(stopped))
        await waiting.ended.wait()
        assert waiting.tokens == []
        thread.send(Stop(long))
        await last.ended.wait()
        assert last.tokens == [2, 3, 4]
        thread.send(Shutdown())
        await asyncio.to_thread(thread.join)

    run(thread, test)


def test_the_first_token_doesnt_wait_for_company(thread: EngineThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_thread, "WAKE_INTERVAL_NS", 10**18)

    async def test() -> None:
        first = asyncio.Event()
        listener = Listener()

        def hear(progress: Progress) -> None:
            listener(progress)
            first.set()

        endless = make_run(listener, [1], room=10**6, params=SamplingParams(temperature=0))
        endless.on_progress = hear
        thread.send(Start(endless))
        await first.wait()
        assert listener.tokens == [2]
        thread.send(Stop(endless))
        await listener.ended.wait()
        assert len(listener.tokens) == listener.decoded, "what was held back comes with the end"

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
    def fail(outputs: int) -> Logits:
        raise ZeroDivisionError("a bug")

    context.logits = fail  # type: ignore[method-assign]
    thread = make_thread(context, slots=1)

    async def test() -> None:
        listeners = [Listener() for _ in range(3)]
        for key, listener in enumerate(listeners):
            thread.send(Start(make_run(listener, [1], key=key)))
        for listener in listeners:
            await listener.ended.wait()
            assert listener.last is not None
            assert isinstance(listener.last.error, EngineStopped)
        assert thread.failure is not None
        late = Listener()
        thread.send(Start(make_run(late, [1], key=9)))
        await late.ended.wait()
        thread.send(Shutdown())
        await asyncio.to_thread(thread.join)

    run(thread, test)
    assert context.closed
