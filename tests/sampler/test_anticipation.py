"""What the engine's thread feeds in a pause, and what becomes of it: on a context made of plain lists."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence

import pytest
from caesura.sampler.anticipation import PIECE
from caesura.sampler.engine_run import Anticipate, Close, Shutdown, Start
from caesura.sampler.engine_thread import LONG_STEP_NS, EngineThread
from caesura.sampler.errors import DecodeFailed
from caesura.sampler.llama_context import Row
from plain_storage import PlainState
from thread_support import SECONDS, ListContext, Listener, make_run, make_thread, run

FIRST = [1, 2, 3, 4]
ROW = [1, 2, 3, 4, 5, 6, 7]
"""After a run of three tokens. The 7 is not fed yet."""

Fed = tuple[int, int, list[int], bool]


class WatchedContext(ListContext):
    """Says when something is fed without sampling from it, and can be made to wait there, or to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.entered: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def decode(self, rows: Sequence[Row]) -> None:
        if not any(wanted for *_, wanted in rows):
            self.entered.put(None)
            assert self.gate.wait(SECONDS)
            if self.fails:
                raise DecodeFailed("made to fail")
        super().decode(rows)


class Pause:
    """Sequence 0 has sampled its first turn; `fed` is what was fed since."""

    def __init__(self, thread: EngineThread, context: WatchedContext) -> None:
        self.thread = thread
        self.context = context
        self._from = 0

    async def begin(self) -> None:
        await self.run(FIRST)
        self._from = len(self.context.rows)

    @property
    def fed(self) -> list[Fed]:
        return self.context.rows[self._from :]

    async def run(self, row: list[int], key: int = 0, sources: Sequence[tuple[int, int]] = ()) -> Listener:
        listener = Listener()
        started = make_run(listener, row, key=key)
        started.sources = sources
        self.thread.send(Start(started))
        await listener.ended.wait()
        return listener

    async def hint(self, *tokens: int, pieces: int = 1) -> None:
        """And wait until it was carried out."""
        self.send_hint(*tokens)
        for _ in range(pieces):
            await asyncio.to_thread(self.context.entered.get, timeout=SECONDS)
        await self.until_idle()

    def send_hint(self, *tokens: int, key: int = 0) -> None:
        self.thread.send(Anticipate(key, len(ROW) - 1, array("i", tokens)))

    async def until_idle(self) -> None:
        """A hint that was sent at this very moment may be missed."""
        async with asyncio.timeout(SECONDS):
            while len(self.thread._ahead) or not self.thread._commands.empty():  # noqa: ASYNC110
                await asyncio.sleep(0)


Test = Callable[[Pause], Awaitable[None]]


def play(test: Test, **settings: int) -> None:
    context = WatchedContext()
    thread = make_thread(context, **settings)

    async def main() -> None:
        pause = Pause(thread, context)
        await pause.begin()
        await test(pause)

    try:
        run(thread, main)
    finally:
        context.gate.set()
        thread.send(Shutdown())
        thread.join()
    assert thread.failure is None


def test_what_comes_as_expected_is_fed_once() -> None:
    async def test(pause: Pause) -> None:
        await pause.hint(7, 20, 21)
        resumed = await pause.run([*ROW, 20, 21, 30])
        assert pause.fed[:2] == [(0, 6, [7, 20, 21], False), (0, 9, [30], True)]
        assert resumed.tokens == [31, 32, 33]
        assert (resumed.decoded, resumed.anticipated, resumed.wasted, resumed.recomputed) == (6, 3, 0, 0)

    play(test)


@pytest.mark.parametrize(
    ("row", "used"), [([*ROW, 20, 99], 2), ([*ROW, 99], 1), ([*ROW, 20, 21], 2), ([*ROW, 20], 1), (ROW, 0)]
)
def test_what_comes_otherwise_is_fed_again_from_there(row: list[int], used: int) -> None:
    """The last token of a row is fed in any case, for its logits."""

    async def test(pause: Pause) -> None:
        await pause.hint(7, 20, 21)
        resumed = await pause.run(row)
        assert pause.fed[1] == (0, 6 + used, row[6 + used :], True)
        assert (resumed.anticipated, resumed.wasted, resumed.recomputed) == (used, 3 - used, 0)
        assert resumed.decoded == len(row) - 6 + 2

    play(test)


def test_a_later_hint_counts() -> None:
    async def test(pause: Pause) -> None:
        await pause.hint(7, 20)
        pause.send_hint(7, 20)
        await pause.until_idle()
        await pause.hint(7, 20, 21)
        await pause.hint(7, 30)
        pause.send_hint(7)
        await pause.until_idle()
        resumed = await pause.run([*ROW, 30, 40])
        assert [tokens for _, _, tokens, _ in pause.fed[:4]] == [[7, 20], [21], [30], [40]]
        assert (resumed.anticipated, resumed.wasted) == (2, 2)

    play(test)


def test_a_start_in_the_midst_ends_it() -> None:
    long = [20 + at % 50 for at in range(3 * PIECE)]

    async def test(pause: Pause) -> None:
        pause.context.gate.clear()
        pause.send_hint(7, *long)
        await asyncio.to_thread(pause.context.entered.get, timeout=SECONDS)
        listener = Listener()
        started = make_run(listener, [*ROW, *long, 99])
        pause.thread.send(Start(started))
        opened = time.perf_counter_ns()
        pause.context.gate.set()
        await listener.ended.wait()
        assert pause.fed[0] == (0, 6, [7, *long[: PIECE - 1]], False)
        assert pause.fed[1][1] == 6 + PIECE
        assert (listener.anticipated, listener.decoded) == (PIECE, 1 + len(long) + 1 + 2)
        assert listener.inference_ns > opened - started.asked_at, "it waited for the rest of the piece"

    play(test)


def test_it_comes_after_whoever_is_sampled() -> None:
    async def test(pause: Pause) -> None:
        other = Listener()
        pause.thread.send(Start(make_run(other, [50, 51], key=1)))
        pause.send_hint(7, 20)
        await asyncio.to_thread(pause.context.entered.get, timeout=SECONDS)
        await other.ended.wait()
        await pause.until_idle()
        assert [slot for slot, *_ in pause.fed] == [1, 1, 1, 0]

    play(test)


def test_nobody_waits_for_the_whole_of_a_long_one() -> None:
    async def test(pause: Pause) -> None:
        pause.context.gate.clear()
        pause.send_hint(7, *[20] * 3 * PIECE)
        await asyncio.to_thread(pause.context.entered.get, timeout=SECONDS)
        other = Listener()
        pause.thread.send(Start(make_run(other, [50, 51], key=1)))
        pause.context.gate.set()
        await other.ended.wait()
        await pause.until_idle()
        assert [slot for slot, *_ in pause.fed] == [0, 1, 1, 1, 0, 0, 0]

    play(test)


def test_where_steps_are_long_an_answer_that_comes_at_once_finds_the_engine_idle() -> None:
    async def test(pause: Pause) -> None:
        pause.thread._step_ns = 10**15
        pause.send_hint(7, 20)
        resumed = await pause.run([*ROW, 20, 30])
        assert pause.fed[0] == (0, 6, [7, 20, 30], True)
        assert resumed.anticipated == 0
        pause.thread._step_ns = LONG_STEP_NS + 1
        pause.thread.send(Anticipate(0, 11, array("i", [33])))
        await asyncio.to_thread(pause.context.entered.get, timeout=SECONDS)

    play(test)


def test_it_moves_with_its_state() -> None:
    async def test(pause: Pause) -> None:
        await pause.hint(7, 20, 21)
        other = await pause.run([50, 51], key=1)
        assert other.decoded == 4
        resumed = await pause.run([*ROW, 20, 21, 30])
        assert pause.fed[-3] == (0, 9, [30], True)
        assert (resumed.anticipated, resumed.recomputed) == (3, 0)

    play(test, slots=1)


def test_it_is_lost_with_its_state() -> None:
    async def test(pause: Pause) -> None:
        await pause.hint(7, 20, 21)
        await pause.run([50, 51], key=1)
        resumed = await pause.run([*ROW, 20, 21, 30])
        assert (resumed.anticipated, resumed.wasted, resumed.recomputed, resumed.rebuilt_at) == (0, 3, 6, 6)
        assert resumed.decoded == 12

    play(test, slots=1, memory=0)


def test_it_takes_nobodys_slot() -> None:
    async def test(pause: Pause) -> None:
        await pause.run([50, 51], key=1)
        pause.send_hint(7, 20, 21)
        await pause.until_idle()
        assert [slot for slot, *_ in pause.fed] == [0] * 3

    play(test, slots=1)


@pytest.mark.parametrize("closed", [False, True])
def test_who_begins_alike_gets_none_of_it(closed: bool) -> None:
    async def test(pause: Pause) -> None:
        await pause.hint(7, 20, 21)
        if closed:
            pause.thread.send(Close(0))
        other = await pause.run([*ROW[:6], 50], key=1, sources=[(0, 6)])
        assert pause.fed[1][1:] == (6, [50], True)
        assert other.anticipated == 0
        if not closed:
            resumed = await pause.run([*ROW, 20, 21, 30])
            assert resumed.anticipated == 3

    play(test)


def test_a_copy_made_ahead_is_not_of_an_older_state() -> None:
    async def test(pause: Pause) -> None:
        residency = pause.thread._residency
        await pause.hint(7, 20)
        residency.prepare(0)  # nothing else runs: the thread waits for commands
        await pause.hint(7, 30)
        await pause.run([50, 51], key=1)
        resumed = await pause.run([*ROW, 30, 40])
        assert (resumed.anticipated, resumed.wasted, resumed.recomputed) == (2, 1, 0)

    play(test, slots=1)


@pytest.mark.parametrize("before", [0, 1])
def test_a_failure_costs_the_state_and_nothing_else(before: int) -> None:
    async def test(pause: Pause) -> None:
        if before:
            await pause.hint(7)
            pause.thread._residency.prepare(0)
        pause.context.fails = True
        await pause.hint(7, 20, 21)
        pause.context.fails = False
        assert pause.thread._residency.swap.memory_used == 0
        resumed = await pause.run([*ROW, 20, 21, 30])
        assert resumed.tokens == [31, 32, 33]
        assert (resumed.anticipated, resumed.wasted, resumed.recomputed) == (0, before, 6)

    play(test)


def test_hints_for_nobody() -> None:
    async def test(pause: Pause) -> None:
        pause.send_hint(7, 20, key=9)
        pause.thread.send(Anticipate(0, 5, array("i", [6, 7])))
        pause.thread.send(Anticipate(0, 0, array("i", [6, 7])))
        await pause.until_idle()
        pause.thread.send(Close(0))
        pause.send_hint(7, 20)
        await pause.until_idle()
        assert pause.fed == []
        assert PlainState(0, 6) in pause.context.slots.values()

    play(test)
