"""What a resume sends again."""

from __future__ import annotations

from .drivers import DONE, LONG_TEXT, LONG_TEXT_AND_CALL, calls
from .outcome import NotTestable, Violation
from .peer import Frame
from .rollout import Rollout
from .server_case import ServerCase, check, open_call, two_calls
from .server_peer import ServerPeer


async def _replayed(case: ServerCase, peer: ServerPeer, lost: Rollout, after: int | None) -> list[Frame]:
    """What a resume from there replays."""
    start = len(peer.frames)
    await case.resume(peer, lost.id, after, requirement="resume-replay")
    await case.silence(peer)
    return peer.events(lost.id, start)


@check("resume-replay")
async def replay_of_a_paused_response(case: ServerCase) -> None:
    """Resumed from its start, its middle and its last event: exactly what is missing comes, as it came first."""
    first = await case.connect()
    lost = await case.paused(first, calls("a", "b", text="Some text."), calls("a"), DONE)
    await lost.answer(open_call(lost))
    await lost.until("response.appended", requirement="append-ack")
    await lost.answer(open_call(lost))
    await lost.pause()
    await first.abort()
    sent = [frame.text for frame in first.events(lost.id)]
    last = len(sent) - 1
    for after in (None, -1, 0, last // 2, last - 1, last):
        peer = await case.connect()
        came = [frame.text for frame in await _replayed(case, peer, lost, after)]
        expected = sent[(-1 if after is None else after) + 1 :]
        if came != expected:
            num = next((at for at, pair in enumerate(zip(came, expected, strict=False)) if pair[0] != pair[1]), None)
            text = (
                f"after {after}, {len(came)} events came and {len(expected)} were missing; the first wrong one is {num}"
            )
            raise Violation("resume-replay", text)
        await peer.abort()


@check("resume-replay")
async def resumed_where_it_is(case: ServerCase) -> None:
    """Resumed on the connection that carries it, in a pause and while the model samples: a replay, and nothing else."""
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), LONG_TEXT)
    came = [frame.text for frame in await _replayed(case, peer, rollout, 0)]
    if came != [rollout.log.frames[at] for at in range(1, rollout.log.last + 1)]:
        raise Violation("resume-replay", f"{len(came)} events came, and {rollout.log.last} were missing")
    await rollout.answer(open_call(rollout))
    await rollout.until("response.output_text.delta", after_last=rollout.log.pauses[-1]["sequence_number"])
    _, again = await case.resume(peer, rollout.id, 0, requirement="resume-replay")
    await again.end(requirement="resume-replay")
    if any(frame.type == "response.detached" for frame in peer.frames):
        raise Violation("resume-replay", "the connection was told that it lost the Response to itself")


@check("resume-decided")
async def append_before_a_resume(case: ServerCase) -> None:
    """An append and right behind it a resume, on the same connection and on another one: what is resumed has it."""
    for is_same in (True, False):
        first = await case.connect()
        rollout = await case.paused(first, *two_calls(DONE))
        second = first if is_same else await case.connect()
        a, b = rollout.log.open_calls[:2]
        last = rollout.log.last
        await rollout.answer(a)
        if not is_same:
            await first.ping(b"the server has what was sent before")
        resumed, again = await case.resume(second, rollout.id, last, requirement="resume-decided")
        required = [each.get("call_id") for each in resumed.get("required_input") or []]
        if required != [b["call_id"]] or resumed.get("last_sequence_number") != last + 1:
            text = f"after an append for {a['call_id']} and a resume from {last}, {resumed} came"
            raise Violation("resume-decided", text)
        await again.until("response.appended", requirement="resume-decided")
        await again.answer(b)
        await again.finish(requirement="resume-decided")


@check("resume-replay", "resume-continues")
async def replay_while_sampling(case: ServerCase) -> None:
    """Resumed while the model samples, several times: no event is missing and none comes twice, up to the end."""
    for _ in range(case.driver.attempts):
        lost = await case.lost_while_sampling(LONG_TEXT_AND_CALL, DONE)
        was_sampled = await _resumed_while_sampling(case, lost)
        peer = await case.connect()
        _, rollout = await case.resume(peer, lost.id, lost.log.last, requirement="resume-replay")
        await case.fence(peer)
        if not rollout.log.is_paused:
            await rollout.pause(requirement="resume-continues")
        await rollout.answer(*rollout.log.open_calls)
        await rollout.finish(requirement="resume-continues")
        numbers = [event["sequence_number"] for event in rollout.log.events]
        if numbers != list(range(len(numbers))):
            raise Violation("resume-replay", "over all connections the numbers are not 0, 1, 2, ...")
        if was_sampled:
            return
    raise NotTestable("the model was done each time before the Response was resumed; a slower one would show it")


async def _resumed_while_sampling(case: ServerCase, lost: Rollout) -> bool:
    """Resume it up to three times, each after the last event that came, while it is sampled; whether it was once."""
    for times in range(3):
        peer = await case.connect()
        _, rollout = await case.resume(peer, lost.id, lost.log.last, requirement="resume-replay")
        await case.fence(peer)
        if rollout.log.is_paused:
            return times > 0
        kinds = ("response.output_text.delta", "response.done")
        await rollout.until(*kinds, requirement="resume-continues", after_last=rollout.log.last)
        await peer.abort()
    return True
