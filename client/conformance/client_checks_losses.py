"""Connections that are lost: the client comes back, and its user is given each event once."""

from __future__ import annotations

from .client_case import ClientCase, check
from .client_rollout import ScriptedRollout
from .outcome import NotTestable, Violation

TEXT = "One two three four five six seven eight."
BEGUN = 5
"""Events of the message up to its third word."""

TOO_OLD = {
    "type": "error",
    "sequence_number": 0,
    "status": 400,
    "error": {
        "type": "invalid_request_error",
        "code": "websocket_connection_limit_reached",
        "message": "The connection has reached the end of its lifetime.",
        "param": None,
    },
}


async def _after_a_pause(case: ClientCase) -> tuple[ScriptedRollout, int]:
    """A Response whose first call is answered, and an event that the client has for certain."""
    rollout = await case.begin()
    await rollout.send(*rollout.echo("a"))
    has = rollout.last_sent
    await rollout.send(rollout.pause())
    await rollout.answered()
    return rollout, has


async def _comes_back(case: ClientCase, rollout: ScriptedRollout, has: int) -> int:
    """After which event it resumes, which is no earlier one than it has."""
    given = case.output.last_number
    after = await rollout.come_back("client-resume")
    if after < max(has, given):
        text = f"it resumes after event {after}, and has event {max(has, given)} already"
        raise Violation("client-resume", text)
    return after


async def _rest(case: ClientCase, rollout: ScriptedRollout, after: int) -> None:
    rollout.keep(rollout.end())
    await rollout.resume(after)
    await case.ends_well(TEXT)


@check("client-resume")
async def lost_in_a_text(case: ClientCase) -> None:
    """The connection breaks between two words; the server goes on to the end meanwhile."""
    rollout, has = await _after_a_pause(case)
    events = rollout.message(TEXT)
    await rollout.send(*events[:BEGUN])
    await rollout.lose()
    rollout.keep(*events[BEGUN:])
    await _rest(case, rollout, await _comes_back(case, rollout, has))


@check("client-resume")
async def lost_in_a_replay(case: ClientCase) -> None:
    """The second connection breaks too, in the middle of the replay."""
    rollout, has = await _after_a_pause(case)
    events = rollout.message(TEXT)
    await rollout.send(*events[:BEGUN])
    await rollout.lose()
    rollout.keep(*events[BEGUN:])
    after = await _comes_back(case, rollout, has)
    await rollout.resumed(after)
    await rollout.replay(after + 1, after + 3)
    await rollout.lose()
    await _rest(case, rollout, await _comes_back(case, rollout, has))


@check("client-resume")
async def closed_for_its_age(case: ClientCase) -> None:
    """The server closes the connection with websocket_connection_limit_reached: nothing is lost by that."""
    rollout, has = await _after_a_pause(case)
    events = rollout.message(TEXT)
    await rollout.send(*events[:BEGUN])
    await case.settle(rollout.peer, rollout.last_sent)
    await rollout.peer.send(TOO_OLD)
    await rollout.peer.hang_up(1001)
    rollout.keep(*events[BEGUN:])
    await _rest(case, rollout, await _comes_back(case, rollout, has))


@check("client-resume")
async def turned_away_once(case: ClientCase) -> None:
    """The first attempt to connect again fails."""
    rollout, has = await _after_a_pause(case)
    events = rollout.message(TEXT)
    await rollout.send(*events[:BEGUN])
    case.listener.turn_away(1)
    await rollout.lose()
    rollout.keep(*events[BEGUN:])
    await _rest(case, rollout, await _comes_back(case, rollout, has))


@check("client-resume")
async def lost_events(case: ClientCase) -> None:
    """The buffer no longer reaches back: the client goes on from the snapshot, and answers the call that it shows."""
    rollout, has = await _after_a_pause(case)
    events = rollout.message(TEXT)
    await rollout.send(*events[:BEGUN])
    await rollout.lose()
    rollout.keep(*events[BEGUN:], *rollout.echo("b"))
    rollout.keep(rollout.pause())
    await _comes_back(case, rollout, has)
    number = await rollout.events_lost(paused=True)
    after = await rollout.comes_again("client-resume")
    if after != number:
        raise Violation("client-resume", f"the snapshot is that of event {number}, and it resumes after {after}")
    await rollout.resume(after)
    await rollout.answered()
    await rollout.finish()


@check("client-events-once")
async def three_losses(case: ClientCase) -> None:
    """In a text, in a replay, and in a pause: the user is given every event once, in order."""
    rollout = await case.begin()
    events = rollout.message(TEXT)
    await rollout.send(*events[:BEGUN])
    await rollout.lose()
    rollout.keep(*events[BEGUN:])
    after = await rollout.come_back()
    await rollout.resumed(after)
    await rollout.replay(after + 1, after + 3)
    await rollout.lose()
    await rollout.resume(await rollout.come_back())
    await rollout.send(*rollout.echo("a"))
    await rollout.send(rollout.pause())
    await rollout.answered()
    await rollout.lose()
    rollout.keep(*rollout.message(TEXT))
    await _rest(case, rollout, await rollout.come_back())
    if not case.output.events:
        raise NotTestable("the client prints no events")
    lost = _lost(case, rollout)
    if lost is not None:
        raise Violation("client-gap", lost)


def _lost(case: ClientCase, rollout: ScriptedRollout) -> str | None:
    """What is missing among the events that were given, of a type of which others were."""
    given = set(case.output.numbers)
    kinds = {event.type for event in case.output.events}
    for number, event in enumerate(rollout.events):
        if event["type"] in kinds and number not in given:
            return f"event {number} ({event['type']}) was never given to the user"
    return None
