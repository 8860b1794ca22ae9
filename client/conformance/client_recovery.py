"""What a client does about a connection on which it can't go on."""

from __future__ import annotations

import asyncio

from .client_case import ClientCase, ClientEnded
from .client_peer import ClientPeer
from .client_rollout import ScriptedRollout
from .events import Event
from .outcome import CheckFailed, Violation


async def recovery(rollout: ScriptedRollout, requirement: str, *, must_close: bool) -> int | None:
    """Wait until the client resumes: after which event. ``rollout.peer`` is the connection that it did it on.

    None if it gives up, which is as good: it ends and tells its user that something is wrong, or it begins anew.

    :param must_close: resuming on the same connection is not enough.
    :raises Violation: it does nothing of this, but goes on, or hangs.
    """
    case, old = rollout.case, rollout.peer
    coming = asyncio.create_task(case.connection())
    asking = asyncio.create_task(_asks_on(old, requirement))
    try:
        await asyncio.wait({coming, asking}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done() or (asking.exception() is None and asking.result() is None):
            await asyncio.wait({coming})
        if not coming.done():
            resume = asking.result()  # raises what it did wrong
            assert resume is not None
            if must_close:
                raise Violation(requirement, "it resumes on the same connection, which it should have closed")
            return rollout.position(resume)
        return await _came(case, rollout, coming, requirement, old if must_close else None)
    finally:
        coming.cancel()
        asking.cancel()
        await asyncio.gather(coming, asking, return_exceptions=True)


async def _asks_on(peer: ClientPeer, requirement: str) -> Event | None:
    """The resume that comes on this connection; None if the connection is closed first, or nothing comes.

    :raises Violation: it goes on with something else. It may cancel: that is a way to give up.
    """
    while True:
        try:
            message = await peer.message("response.resume")
        except CheckFailed:
            return None
        if message["type"] == "response.resume":
            return message
        if message["type"] != "response.cancel":
            raise Violation(requirement, f"it goes on as if nothing were wrong, with {message['type']}")


async def _came(
    case: ClientCase,
    rollout: ScriptedRollout,
    coming: asyncio.Task[ClientPeer],
    requirement: str,
    to_be_closed: ClientPeer | None,
) -> int | None:
    try:
        peer = coming.result()
    except ClientEnded as ended:
        if not case.has_failed(ended.status):
            raise Violation(requirement, "it ended as if nothing had been wrong") from None
        return None
    except CheckFailed:
        text = "it neither ended nor connected again: it hangs, or has not noticed that something is wrong"
        raise Violation(requirement, text) from None
    if to_be_closed is not None:
        try:
            await to_be_closed.wait_closed()
        except CheckFailed:
            raise Violation(requirement, "it connected again, and did not close the former connection") from None
    message = await peer.message("response.resume")
    if message["type"] != "response.resume":
        return None
    rollout.peer = peer
    return rollout.position(message)
