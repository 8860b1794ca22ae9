"""What the tests of the SQLite store share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from caesura.runtime.store import StoredItem, StoredResponse

SECONDS = 20


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, SECONDS))


def record(response_id: str, previous: str | None = None, response: bytes = b"x", items: int = 0) -> StoredResponse:
    own = tuple(StoredItem(f"{response_id} {n}", n % 2 == 1, b"y" * 10) for n in range(items))
    return StoredResponse(response_id, "me", 0.0, previous, response, own)
