"""Losing the connection, and resuming."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from .drivers import DONE, LONG_TEXT, LONG_TEXT_AND_CALL, Turn, calls
from .events import TERMINAL, Event, is_count
from .outcome import CheckFailed, Violation
from .peer import Frame
from .rollout import Rollout
from .server_case import ServerCase, check, open_call
from .server_peer import ServerPeer

ROUND_SECONDS = 0.2


async def _sampled_on(case: ServerCase, turns: tuple[Turn, ...], requirement: str, *types: str) -> Rollout:
    """A Response whose connection broke, and that came to an event of these types while nobody was attached.

    :param requirement: what is broken if it can't be resumed.
    :raises Violation: it gets no further while nobody is attached, or ends in another way.
    """
    for _ in range(case.driver.attempts):
        lost = await case.lost_while_sampling(*turns)
        if await _was_unseen(case, lost, requirement, types):
            return lost
    raise CheckFailed(f"{' or '.join(types)} came each time while the suite had a look")


async def _was_unseen(case: ServerCase, lost: Rollout, requirement: str, types: tuple[str, ...]) -> bool:
    """Have a look now and then, until such an event is there: whether it was before the look."""
    idle = 0
    while idle < case.settings.timeout / ROUND_SECONDS:
        await asyncio.sleep(ROUND_SECONDS)  # there is nobody who could be told when it gets further
        before = lost.log.last
        peer = await case.connect()
        resumed, _ = await case.resume(peer, lost.id, before, requirement=requirement)
        position = resumed.get("last_sequence_number")
        replayed: list[Frame] = []
        if isinstance(position, int) and position > before:
            replayed = await peer.wait(_replayed_to(peer, position), f"event {position}")
        idle = 0 if replayed else idle + 1
        await peer.abort()
        if any(frame.type in types for frame in replayed):
            return True
        if any(event.get("type") in types for event in lost.log.events):
            return False
        if lost.log.terminal is not None:
            raise Violation("detached-lives", f"{lost.log.terminal['type']} came, with nobody attached")
    raise Violation("detached-lives", f"it is at {lost.log.last}, and gets no further while nobody is attached")


def _replayed_to(peer: ServerPeer, position: int) -> Callable[[Frame], list[Frame] | None]:
    def test(frame: Frame) -> list[Frame] | None:
        return peer.frames[: frame.index + 1] if frame.event.get("sequence_number") == position else None

    return test


@check("detached-lives")
async def sampled_on_to_its_pause(case: ServerCase) -> None:
    """A Response whose connection breaks while it is sampled comes to its pause without one, and goes on after it."""
    lost = await _sampled_on(case, (LONG_TEXT_AND_CALL, DONE), "detached-lives", "response.done")
    peer = await case.connect()
    _, rollout = await case.resume(peer, lost.id, lost.log.last)
    await rollout.answer(*rollout.log.open_calls)
    await rollout.finish(requirement="detached-lives")


@check("detached-lives", "resume-ended")
async def sampled_on_to_its_end(case: ServerCase) -> None:
    """A Response that ends while nobody is attached is resumed with its end."""
    lost = await _sampled_on(case, (LONG_TEXT,), "resume-ended", "response.completed", "response.incomplete")
    peer = await case.connect()
    resumed, rollout = await case.resume(peer, lost.id, 1, requirement="resume-ended")
    event = await rollout.until(*TERMINAL, requirement="resume-ended")
    if resumed.get("status") != event["response"].get("status"):
        raise Violation("resume-ended", f"it was resumed as {resumed.get('status')!r} and ended with {event['type']}")


@check("resume-first")
async def what_comes_first(case: ServerCase) -> None:
    """The first thing after a resume is ``response.resumed``, with where the Response stands: in a pause, and ended."""
    first = await case.connect()
    rollout = await case.paused(first, calls("a", "b"), DONE)
    open_ids = [call["call_id"] for call in rollout.log.open_calls]
    asked = [each for each in rollout.log.pauses[-1]["response"]["required_input"] if each["call_id"] in open_ids]
    for turn in ("paused", "ended"):
        peer = await case.connect()
        await case.ask_for_resume(peer, rollout.id, 0)
        frame = await peer.wait(lambda frame: frame, "response.resumed")
        expected = {
            "type": "response.resumed",
            "response_id": rollout.id,
            "starting_after": 0,
            "last_sequence_number": rollout.log.last,
            "status": rollout.log.status,
            "required_input": asked,
        }
        wrong = {name: frame.event.get(name) for name, value in expected.items() if frame.event.get(name) != value}
        if wrong:
            text = f"a resume of a Response that is {turn} begins with {frame.type}; {wrong} should be {expected}"
            raise Violation("resume-first", text)
        if turn == "paused":
            rollout = Rollout(peer, rollout.log, None)
            await rollout.answer(*rollout.log.open_calls)
            await rollout.finish()
            asked = []


@check("resume-continues")
async def goes_on_where_it_was_resumed(case: ServerCase) -> None:
    """After the replay an append is taken, by the lane and by the id, on the connection that resumed it."""
    for by_id in (True, False):
        first = await case.connect()
        lost = await case.paused(first, calls("a"), DONE, stream_id="one")
        await first.abort()
        peer = await case.connect()
        _, rollout = await case.resume(peer, lost.id, lost.log.last, requirement="resume-continues")
        await rollout.append(
            [{"type": "function_call_output", "call_id": open_call(lost)["call_id"], "output": "ok"}], by_id=by_id
        )
        await rollout.finish(requirement="resume-continues")


@check("resume-takeover", "resume-told")
async def taken_over(case: ServerCase) -> None:
    """Resumed on a second connection while the first is open: the first is told so, and sees no more of it."""
    first = await case.connect()
    lost = await case.paused(first, calls("a"), calls("b"), DONE)
    second = await case.connect()
    _, rollout = await case.resume(second, lost.id, lost.log.last, requirement="resume-takeover")
    told = await _detached(first, lost, "resume-told")
    if told.get("response_id") != lost.id or told.get("reason") != "taken_over":
        raise Violation("resume-told", f"it is told {told}")
    start = len(first.frames)
    await rollout.answer(open_call(rollout))
    await rollout.finish(requirement="resume-takeover")
    await case.fence(first)
    more = [frame.type for frame in first.frames[start:] if frame.type != "error"]
    if more:
        raise Violation("resume-takeover", f"{more[0]} came on the connection that had lost the Response")


@check("resume-takeover")
async def taken_over_while_sampling(case: ServerCase) -> None:
    """Taken over while the model samples: what follows comes on the second connection alone."""
    for _ in range(case.driver.attempts):
        first, second = await case.connect(), await case.connect()
        lost = await case.begin(first, LONG_TEXT)
        await lost.until("response.output_text.delta")
        resumed, rollout = await case.resume(second, lost.id, lost.log.last, requirement="resume-takeover")
        if resumed.get("status") == "in_progress":
            break
    else:
        raise CheckFailed("the model was done each time before the Response could be taken over")
    await _detached(first, lost, "resume-told")
    await rollout.finish(requirement="resume-takeover")
    await case.fence(first)
    if any(frame.type in TERMINAL for frame in first.frames):
        raise Violation("resume-takeover", "the end came on the connection that had lost the Response")


async def _detached(peer: ServerPeer, lost: Rollout, requirement: str) -> Event:
    try:
        return await peer.wait(
            lambda frame: frame.event if frame.type == "response.detached" else None, "response.detached"
        )
    except CheckFailed as failed:
        raise Violation(requirement, str(failed)) from None


@check("create-idempotent")
async def create_with_a_known_key(case: ServerCase) -> None:
    """A create with a known key begins nothing: it resumes that Response from its start, in a pause and ended."""
    key = f"conformance-{uuid.uuid4().hex}"
    first = await case.connect()
    lost = await case.paused(first, calls("a"), DONE, idempotency_key=key)
    for again in range(2):
        peer = await case.connect()
        await peer.send(case.create([calls("a"), DONE], idempotency_key=key))
        frame = await peer.wait(lambda frame: frame, "response.resumed")
        if frame.type != "response.resumed" or frame.event.get("response_id") != lost.id:
            raise Violation("create-idempotent", f"{frame.type} answered a create with a key that is known")
        if not is_count(frame.event.get("last_sequence_number")) or frame.event.get("starting_after") != -1:
            raise Violation("create-idempotent", f"it is not resumed from its start: {frame.event}")
        rollout = Rollout(peer, lost.log, None)
        if again:
            await rollout.until(*TERMINAL, requirement="create-idempotent")
        else:
            await rollout.pause(requirement="create-idempotent")
            await rollout.answer(open_call(rollout))
            await rollout.finish(requirement="create-idempotent")
