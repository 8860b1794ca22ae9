"""Attempts to connect again: they wait longer each time, and end."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Sequence

from .client_case import ClientCase, check
from .client_contract import MAX_RECONNECTS
from .outcome import NotTestable, Violation

ATTEMPTS = 7
"""How often the client is asked to try."""

MOST_ATTEMPTS = 24
"""So many within the time that is watched are no backoff, however they are spaced."""

FEWEST_ATTEMPTS = 4
WATCHED_SECONDS = 14.0

GROWTH = 1.2
"""Exponential backoff with full jitter that starts to double at 0.1 s is below it in one of 2,000 runs (7 attempts)."""


@check("client-backoff")
async def a_server_that_is_gone(case: ClientCase) -> None:
    """No handshake succeeds any more: the waits between attempts grow, and the client gives up with an error."""
    rollout = await case.begin(environment={MAX_RECONNECTS: str(ATTEMPTS)})
    await rollout.send(*rollout.message("One two three.")[:4])
    case.listener.turn_away(math.inf)
    num_before = len(case.listener.attempts)
    await rollout.lose()
    lost_at = time.monotonic()
    status = await _watch(case, num_before + MOST_ATTEMPTS, lost_at + WATCHED_SECONDS)
    times = [lost_at, *case.listener.attempts[num_before:]]
    if status is None:
        times.append(time.monotonic())  # a wait that goes on is at least so long
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    if status is not None and not case.has_failed(status):
        raise Violation("client-backoff", "the client gave up, and ended as if the Response had completed")
    judge_waits(waits, has_ended=status is not None)


def judge_waits(waits: Sequence[float], *, has_ended: bool) -> None:
    """Seconds before each attempt; if the client has not ended, the last one is the wait that goes on.

    :raises Violation: they don't grow.
    :raises NotTestable: they may, and what is missing to know was not seen.
    """
    if not waits:
        raise NotTestable("the client does not try to connect again")
    shown = ", ".join(f"{wait:.2f}" for wait in waits[: ATTEMPTS + 1])
    half = len(waits) // 2
    if len(waits) >= FEWEST_ATTEMPTS and sum(waits[-half:]) < GROWTH * sum(waits[:half]):
        raise Violation("client-backoff", f"the waits between attempts don't grow: {shown} s")
    if not has_ended and len(waits) >= MOST_ATTEMPTS:
        text = f"the client has tried {len(waits)} times within {sum(waits):.1f} s, and goes on"
        raise Violation("client-backoff", text)
    if not has_ended:
        raise NotTestable(
            f"the client still tries after {WATCHED_SECONDS:g} s, with waits that grow ({shown} s): to see whether it "
            f"ends, let it stop after ${MAX_RECONNECTS} attempts"
        )
    if len(waits) < FEWEST_ATTEMPTS:
        raise NotTestable(f"the client gives up after {len(waits)} attempts: too few to tell whether its waits grow")


async def _watch(case: ClientCase, most_attempts: int, until: float) -> int | None:
    """The exit status of the client; None if it goes on to the time, or to that many attempts."""
    end = asyncio.ensure_future(case.run.wait())
    try:
        while (left := until - time.monotonic()) > 0 and len(case.listener.attempts) < most_attempts:
            case.listener.attempted.clear()
            attempted = asyncio.ensure_future(case.listener.attempted.wait())
            await asyncio.wait({end, attempted}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            attempted.cancel()
            if end.done():
                return end.result()
        return None
    finally:
        end.cancel()
