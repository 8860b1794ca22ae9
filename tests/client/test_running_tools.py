"""The tools of a run that are at work: giving them up, and the time that they take."""

from __future__ import annotations

import asyncio

import pytest
from caesura.client.local_tools import ToolBox, ToolCall
from caesura.client.running_tools import RunningTools
from caesura.protocol.items import FunctionCall

BOUND = 10.0


def test_giving_up_cancels_the_tools_that_run() -> None:
    async def main() -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        ended: asyncio.Queue[asyncio.Task[ToolCall]] = asyncio.Queue()
        running = RunningTools(ToolBox([hang]), ended.put_nowait)
        running.start(FunctionCall(call_id="0", name="hang", arguments="{}"))
        await asyncio.wait_for(started.wait(), BOUND)
        running.cancel()
        await asyncio.wait_for(cancelled.wait(), BOUND)
        assert running.take(await asyncio.wait_for(ended.get(), BOUND)) is None

    asyncio.run(main())


def test_time_in_which_several_run_counts_once() -> None:
    async def main() -> None:
        both = asyncio.Barrier(2)

        async def meet() -> None:
            await both.wait()

        ended: asyncio.Queue[asyncio.Task[ToolCall]] = asyncio.Queue()
        running = RunningTools(ToolBox([meet]), ended.put_nowait)
        answers = []
        for _ in range(3):  # three times two at once, with a gap between
            for call_id in "ab":
                running.start(FunctionCall(call_id=call_id, name="meet", arguments="{}"))
            for _ in "ab":
                answers.append(running.take(await asyncio.wait_for(ended.get(), BOUND)))
        spans = [(each.started_at, each.started_at + each.seconds) for each in answers if each is not None]
        expected = 0.0
        for pair in (spans[:2], spans[2:4], spans[4:]):
            expected += max(end for _, end in pair) - min(start for start, _ in pair)
        assert running.seconds == pytest.approx(expected)

    asyncio.run(main())
