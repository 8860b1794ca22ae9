"""Sequence numbers that are missing: what follows is not given to the user as if it were all there."""

from __future__ import annotations

from contextlib import suppress

from .client_case import ClientCase, check
from .client_recovery import recovery
from .client_rollout import ScriptedRollout
from .outcome import CheckFailed, Violation

TEXT = "One two three four five six seven eight."
BEGUN = 5
"""Events of the message up to its third word."""


@check("client-gap")
async def a_gap_in_a_text(case: ClientCase) -> None:
    """A delta is missing; all else comes, to the end."""
    rollout = await case.begin()
    events = rollout.message(TEXT)
    await rollout.send(*events[:BEGUN])
    rollout.keep(events[BEGUN])
    missing = len(rollout.events) - 1
    await rollout.send_while_open(*events[BEGUN + 1 :])
    await rollout.send_while_open(rollout.end())
    await _recovers(case, rollout, missing)


@check("client-gap")
async def a_gap_before_a_pause(case: ClientCase) -> None:
    """The end of the call is missing; the pause asks for its output."""
    rollout = await case.begin()
    *events, done = rollout.echo("a")
    await rollout.send(*events)
    await case.hold(rollout.peer)
    for message in rollout.peer.take_waiting():
        rollout.hear(message)  # too early, whatever is missing
    rollout.keep(done)
    missing = len(rollout.events) - 1
    await rollout.send_while_open(rollout.pause())
    after = await recovery(rollout, "client-gap", must_close=False)
    if after is None:
        return
    _check_position(after, missing)
    await rollout.resume(after)
    await rollout.answered()
    await rollout.finish()
    _check_given(case, rollout, missing)


@check("client-gap")
async def a_gap_in_a_replay(case: ClientCase) -> None:
    """The connection is lost, and the first event of the replay that is new is missing."""
    rollout = await case.begin()
    events = rollout.message(TEXT)
    await rollout.send(*events[:BEGUN])
    await rollout.lose()
    rollout.keep(*events[BEGUN:])
    rollout.keep(rollout.end())
    after = await rollout.come_back()
    missing = rollout.last_sent + 1
    with suppress(CheckFailed):  # it may close the connection at any of these
        await rollout.resumed(after)
        await rollout.replay(after + 1, missing)
        await rollout.replay(missing + 1)
    await _recovers(case, rollout, missing)


async def _recovers(case: ClientCase, rollout: ScriptedRollout, missing: int) -> None:
    """It ends with an error, or comes back for what is missing and ends well; its user is given nothing else."""
    after = await recovery(rollout, "client-gap", must_close=False)
    if after is None:
        if case.output.last_number > missing:
            raise _given_in_spite(case.output.last_number, missing)
        return
    _check_position(after, missing)
    await rollout.resume(after)
    await case.ends_well(TEXT)
    _check_given(case, rollout, missing)


def _check_position(after: int, missing: int) -> None:
    if after >= missing:
        raise Violation("client-gap", f"it resumes after event {after}, and so never has event {missing}")


def _check_given(case: ClientCase, rollout: ScriptedRollout, missing: int) -> None:
    """A client that gives events of the missing one's type has given it before any later one."""
    numbers = case.output.numbers
    kind = rollout.events[missing]["type"]
    later = next((at for at, number in enumerate(numbers) if number > missing), None)
    gives_this_type = any(event.type == kind for event in case.output.events)
    if later is not None and gives_this_type and missing not in numbers[:later]:
        raise _given_in_spite(numbers[later], missing)


def _given_in_spite(number: int, missing: int) -> Violation:
    return Violation("client-gap", f"event {number} was given to the user, and event {missing} was missing then")
