"""``response.cancel``."""

from __future__ import annotations

from .drivers import DONE, LONG_TEXT, Turn, calls
from .events import TERMINAL, Event, error_message, mapping, response_of
from .outcome import CheckFailed, Violation
from .peer import Frame
from .rollout import Rollout, output_for
from .server_case import ServerCase, check, open_call
from .server_peer import ServerPeer


def _cancelled(event: Event, requirement: str) -> None:
    if event["type"] != "response.cancelled":
        raise Violation(requirement, f"it ended with {event['type']}")


@check("cancel-sampling")
async def cancel_while_sampling(case: ServerCase) -> None:
    """By id and by lane, while the model samples a text; nothing comes afterwards, and the lane is free."""
    for by_id in (True, False):
        peer = await _cancelled_while_sampling(case, by_id)
        await case.fence(peer)
        end = max(frame.index for frame in peer.frames if frame.type == "response.cancelled")
        if any(frame.type != "error" for frame in peer.frames[end + 1 :]):
            raise Violation("cancel-sampling", "an event came after response.cancelled")
    await (await case.begin(peer, DONE)).finish(requirement="cancel-sampling")


async def _cancelled_while_sampling(case: ServerCase, by_id: bool) -> ServerPeer:
    """The connection of a Response that was cancelled. One that is about to end may end before the cancel is there, so
    one of several has to be."""
    for _ in range(case.driver.attempts):
        peer = await case.connect()
        rollout = await case.begin(peer, LONG_TEXT)
        await rollout.until("response.output_text.delta")
        await rollout.cancel(by_id=by_id)
        event = await rollout.end(requirement="cancel-sampling")
        if event["type"] == "response.cancelled":
            return peer
    raise Violation("cancel-sampling", f"it ended with {event['type']}")


@check("cancel-sampling")
async def cancel_at_once(case: ServerCase) -> None:
    """A cancel right behind its create ends it, whether it had begun or not."""
    peer = await case.connect()
    await peer.send(case.create([LONG_TEXT], stream_id="one"))
    await peer.send({"type": "response.cancel", "stream_id": "one"})

    def test(frame: Frame) -> Event | None:
        peer.raise_unexpected(frame, "response.cancelled")
        return frame.event if frame.type in TERMINAL else None

    _cancelled(await peer.wait(test, "response.cancelled"), "cancel-sampling")


@check("cancel-paused")
async def cancel_in_a_pause(case: ServerCase) -> None:
    """By id and by lane, in a pause."""
    peer = await case.connect()
    for by_id in (True, False):
        rollout = await case.paused(peer, calls("a"), DONE, stream_id="one")
        await rollout.cancel(by_id=by_id)
        _cancelled(await rollout.end(requirement="cancel-paused"), "cancel-paused")


@check("cancel-final")
async def what_a_cancelled_response_says(case: ServerCase) -> None:
    """Status, reason, and the items that were done, of a Response that paused once before."""
    for turns in ((calls("a", text="First."), calls("b", text="Second.")), (calls("a", text="First."), LONG_TEXT)):
        rollout, event = await _cancelled_after_a_pause(case, *turns)
        final = response_of(event)
        if final.get("status") != "cancelled":
            raise Violation("cancel-final", f"the status is {final.get('status')!r}")
        if not isinstance(mapping(final.get("incomplete_details")).get("reason"), str):
            raise Violation("cancel-final", f"incomplete_details is {final.get('incomplete_details')!r}")
        said = [item.get("id") for item in final.get("output") or []]
        missing = [item["id"] for item in rollout.log.done_items if item["id"] not in said]
        if missing:
            raise Violation("cancel-final", f"the output lacks {missing}, which were done")


async def _cancelled_after_a_pause(case: ServerCase, *turns: Turn) -> tuple[Rollout, Event]:
    """One that was cancelled in its second turn, or the pause after it, and its last event."""
    for _ in range(case.driver.attempts):
        rollout = await case.paused(await case.connect(), *turns, Turn("Done."))
        await rollout.answer(open_call(rollout))
        await rollout.until("response.done", "response.output_text.delta")
        await rollout.cancel()
        event = await rollout.end(requirement="cancel-final")
        if event["type"] != "response.completed":
            return rollout, event
    raise CheckFailed("the model was done each time before the cancel was there")


@check("cancel-append")
async def append_after_cancel(case: ServerCase) -> None:
    """The output of a tool that was still running comes late, and is told why it isn't taken."""
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), DONE)
    call = open_call(rollout)
    await rollout.cancel()
    await rollout.end(requirement="cancel-paused")
    await rollout.append([output_for(call)], by_id=True)
    error = await peer.refusal("response_already_completed", "cancel-append")
    if "cancel" not in error_message(error).lower():
        raise Violation("cancel-append", f"the message does not say that it was cancelled: {error_message(error)}")


@check("cancel-unknown")
async def cancel_of_nothing(case: ServerCase) -> None:
    """No Response on the lane, and an id that does not exist."""
    peer = await case.connect()
    for fields in ({}, {"stream_id": "one"}, {"response_id": "resp_unknown"}):
        await peer.send({"type": "response.cancel", **fields})
        await peer.refusal("response_not_found", "cancel-unknown")


@check("cancel-ended")
async def cancel_after_the_end(case: ServerCase) -> None:
    """A completed Response, and one that was cancelled before."""
    peer = await case.connect()
    completed = await case.begin(peer, DONE)
    await completed.finish()
    cancelled = await case.paused(peer, calls("a"), DONE)
    await cancelled.cancel()
    await cancelled.end()
    for rollout in (completed, cancelled):
        await _refused_cancel(rollout)


async def _refused_cancel(rollout: Rollout) -> None:
    await rollout.cancel()
    await rollout.peer.refusal("response_already_completed", "cancel-ended")
