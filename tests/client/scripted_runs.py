"""What the tests of whole runs share: a tool, scripts of the fake server, and a loop with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

BOUND = 10.0
HANDLED, RECEIVED, SENT = "handled", "received", "sent"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def adding(rollout: Any) -> None:
    await rollout.adding()


async def losing(rollout: Any) -> None:
    """Say something, lose every connection, and go on as if nothing were."""
    await rollout.say("So far")
    await asyncio.sleep(0)  # it is written before the connection is cut
    rollout.server.lose_connections()
    await rollout.adding()


async def read(stream: Any, into: list[Any]) -> None:
    async for event in stream:
        into.append(event)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND):
            await main()

    asyncio.run(bounded())
