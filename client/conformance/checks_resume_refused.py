"""Resumes, appends and cancels that are refused, because of where a Response is or whose it is."""

from __future__ import annotations

import uuid

from .drivers import DONE, LONG_TEXT_AND_CALL, calls
from .events import Event, is_count, mapping
from .outcome import CheckFailed, Violation
from .peer import Frame
from .rollout import Rollout
from .server_case import ServerCase, check, open_call
from .server_peer import ServerPeer
from .settings import OTHER_KEY


@check("resume-elsewhere")
async def append_and_cancel_elsewhere(case: ServerCase) -> None:
    """An append or cancel from where it was lost, and from a connection that never had it, while another carries it and
    while none does."""
    first = await case.connect()
    lost = await case.paused(first, calls("a"), DONE)
    other = await case.connect()
    await _refused_elsewhere(other, lost)
    second = await case.connect()
    _, rollout = await case.resume(second, lost.id, lost.log.last)
    await _refused_elsewhere(first, lost)
    await second.abort()
    # The server may learn of it a little later; the answer is the same in both cases.
    await _refused_elsewhere(other, lost)
    last = await case.connect()
    _, rollout = await case.resume(last, lost.id, lost.log.last)
    await rollout.answer(open_call(rollout))
    await rollout.finish(requirement="resume-elsewhere")


async def _refused_elsewhere(peer: ServerPeer, lost: Rollout) -> None:
    output = {"type": "function_call_output", "call_id": open_call(lost)["call_id"], "output": "from elsewhere"}
    for message in ({"type": "response.append", "input": [output]}, {"type": "response.cancel"}):
        await peer.send({**message, "response_id": lost.id})
        await peer.refusal("response_detached", "resume-elsewhere")


@check("resume-order")
async def resume_on_an_older_connection(case: ServerCase) -> None:
    """A resume that comes late, on a connection that its client has given up for another one: it takes nothing."""
    older, newer = await case.connect(), await case.connect()
    carried = await case.paused(newer, calls("a"), DONE)
    await case.ask_for_resume(older, carried.id, carried.log.last)
    await older.refusal("response_detached", "resume-order")
    await carried.answer(open_call(carried))
    await carried.finish(requirement="resume-order")


@check("resume-unknown")
async def resume_of_nothing(case: ServerCase) -> None:
    """An id that does not exist."""
    peer = await case.connect()
    for position in (None, -1, 5):
        await case.ask_for_resume(peer, "resp_unknown", position)
        await peer.refusal("response_not_found", "resume-unknown")


@check("resume-position")
async def resume_beyond_the_end(case: ServerCase) -> None:
    """One event beyond the last, and far beyond; the Response stays with the connection that has it."""
    first = await case.connect()
    lost = await case.paused(first, calls("a"), DONE)
    peer = await case.connect()
    for position in (lost.log.last + 1, 1_000_000):
        await case.ask_for_resume(peer, lost.id, position)
        await peer.refusal("invalid_value", "resume-position")
    await lost.answer(open_call(lost))
    await lost.finish(requirement="resume-position")


@check("resume-busy")
async def resume_onto_a_busy_lane(case: ServerCase) -> None:
    """The lane of the Response carries another open one here: refused, and nothing changes for either."""
    first, second = await case.connect(), await case.connect()
    lost = await case.paused(first, calls("a"), DONE, stream_id="one")
    own = await case.paused(second, calls("a"), DONE, stream_id="one")
    await case.ask_for_resume(second, lost.id, lost.log.last)
    await second.refusal("stream_busy", "resume-busy")
    for rollout in (lost, own):
        await rollout.answer(open_call(rollout))
        await rollout.finish(requirement="resume-busy")
    if any(frame.type == "response.detached" for frame in first.frames):
        raise Violation("resume-busy", "the other connection was told that it lost the Response")


@check("resume-credential", needs=[OTHER_KEY])
async def other_credential(case: ServerCase) -> None:
    """With another credential a Response is not found: by a resume, an append, a cancel, or a create with its key."""
    key = f"conformance-{uuid.uuid4().hex}"
    first = await case.connect()
    lost = await case.paused(first, calls("a"), DONE, idempotency_key=key)
    other = await case.connect(api_key=case.settings.other_api_key)
    output = {"type": "function_call_output", "call_id": open_call(lost)["call_id"], "output": "forged"}
    for message in (
        {"type": "response.resume", "response_id": lost.id},
        {"type": "response.append", "response_id": lost.id, "input": [output]},
        {"type": "response.cancel", "response_id": lost.id},
    ):
        await other.send(message)
        await other.refusal("response_not_found", "resume-credential")
    own = await case.paused(other, calls("a"), DONE, idempotency_key=key, requirement="resume-credential")
    if own.id == lost.id:
        raise Violation(
            "resume-credential", "a create with its idempotency_key gives the Response to another credential"
        )
    await own.cancel()
    await own.end()
    await lost.answer(open_call(lost))
    await lost.finish(requirement="resume-credential")
    if any(frame.type == "response.detached" for frame in first.frames):
        raise Violation("resume-credential", "another credential took the Response over")


@check("resume-gap", "resume-snapshot", needs=["max_replay_events"])
async def events_that_are_gone(case: ServerCase) -> None:
    """More events than are kept: a resume from the start is refused with a snapshot, takes nothing over, and a resume
    from the snapshot goes on, in a pause and ended."""
    first = await case.connect()
    lost = await case.paused(first, LONG_TEXT_AND_CALL, DONE)
    if lost.log.last < case.settings.count("max_replay_events") + 2:
        raise CheckFailed(f"{lost.log.last + 1} events came, too few for a gap")
    second = await case.connect()
    snapshot = await _snapshot(case, second, lost)
    if snapshot.get("paused") is not True:
        raise Violation("resume-snapshot", f"of a paused Response it says paused: {snapshot.get('paused')!r}")
    asked = [each.get("call_id") for each in snapshot.get("required_input") or []]
    if asked != [call["call_id"] for call in lost.log.open_calls]:
        raise Violation("resume-snapshot", f"its required_input has {asked}")
    if any(frame.type == "response.detached" for frame in first.frames):
        raise Violation("resume-gap", "a resume that was refused took the Response over")
    await first.abort()
    await _edge_of_what_is_kept(case, second, lost)
    _, rollout = await case.resume(second, lost.id, snapshot["sequence_number"], requirement="resume-snapshot")
    await rollout.answer(*rollout.log.open_calls)
    await rollout.finish(requirement="resume-snapshot")
    third = await case.connect()
    ended = await _snapshot(case, third, lost)
    if mapping(ended.get("response")).get("status") != "completed":
        raise Violation("resume-snapshot", "the snapshot of a completed Response is not its final one")


async def _edge_of_what_is_kept(case: ServerCase, peer: ServerPeer, lost: Rollout) -> None:
    """Resumes from where the buffer may just reach back to, or just not: all events come, or the gap is said."""
    edge = lost.log.last - case.settings.count("max_replay_events")
    for position in range(edge - 2, edge + 2):
        start = len(peer.frames)
        await case.ask_for_resume(peer, lost.id, position)
        answer = await peer.wait(_answer_to_resume, "response.resumed", after=start)
        if answer.type == "error":
            await peer.refusal("events_lost", "resume-gap")
            continue
        await case.fence(peer)
        came = [frame.event["sequence_number"] for frame in peer.events(lost.id, start)]
        if came != list(range(position + 1, lost.log.last + 1)):
            raise Violation("resume-gap", f"a resume after {position} replays {len(came)} events, from {came[:1]}")


def _answer_to_resume(frame: Frame) -> Frame | None:
    return frame if frame.type in ("response.resumed", "error") else None


async def _snapshot(case: ServerCase, peer: ServerPeer, lost: Rollout) -> Event:
    start = len(peer.frames)
    await case.ask_for_resume(peer, lost.id, -1)
    error = await peer.refusal("events_lost", "resume-gap")
    await case.fence(peer)
    if any(frame.type != "error" for frame in peer.frames[start:]):
        raise Violation("resume-gap", "events came after the refusal")
    snapshot = dict(mapping(error.get("snapshot")))
    response = mapping(snapshot.get("response"))
    if not is_count(snapshot.get("sequence_number")) or response.get("id") != lost.id:
        raise Violation("resume-snapshot", f"the snapshot is {str(snapshot)[:300]}")
    if response.get("output") != lost.log.done_items:
        raise Violation("resume-snapshot", "its output is not the items that were done")
    return snapshot
