from __future__ import annotations

import asyncio

import pytest
from caesura.runtime.stepping import begun


def test_what_never_waits_has_run_at_once() -> None:
    log: list[str] = []

    async def work() -> None:
        log.append("begun")
        event = asyncio.Event()
        event.set()
        await event.wait()
        log.append("done")

    async def main() -> None:
        assert begun(work()) is None
        assert log == ["begun", "done"]

    asyncio.run(main())


@pytest.mark.parametrize("waits", [1, 3])
def test_the_rest_is_run_by_a_task(waits: int) -> None:
    log: list[int] = []

    async def main() -> None:
        events = [asyncio.Event() for _ in range(waits)]

        async def work() -> str:
            for number, event in enumerate(events):
                log.append(number)
                await event.wait()
            return "result"

        rest = begun(work())
        assert rest is not None
        assert log == [0]
        task = asyncio.create_task(rest)
        for event in events:
            await asyncio.sleep(0)
            event.set()
        assert await asyncio.wait_for(task, 10) == "result"
        assert log == list(range(waits))

    asyncio.run(main())


def test_an_exception_before_the_first_wait_is_raised_at_once() -> None:
    async def work() -> None:
        raise ValueError("now")

    with pytest.raises(ValueError, match="now"):
        begun(work())


def test_a_task_that_is_cancelled_cancels_the_coroutine() -> None:
    log: list[str] = []

    async def main() -> None:
        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        rest = begun(work())
        assert rest is not None
        task = asyncio.create_task(rest)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["cancelled"]

    asyncio.run(main())


def test_an_exception_after_the_wait_is_the_tasks() -> None:
    async def main() -> None:
        event = asyncio.Event()

        async def work() -> None:
            await event.wait()
            raise ValueError("later")

        rest = begun(work())
        assert rest is not None
        task = asyncio.create_task(rest)
        event.set()
        with pytest.raises(ValueError, match="later"):
            await asyncio.wait_for(task, 10)

    asyncio.run(main())
