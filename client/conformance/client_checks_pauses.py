"""``response.done`` and the appends that answer it."""

from __future__ import annotations

from .client_case import ClientCase, check
from .client_contract import ECHO, SLEEP
from .client_rollout import CancelledByClient, ScriptedRollout
from .outcome import CheckFailed, NotTestable, Violation

PAUSES = 10
MOST_GROWTH = 64
"""Characters: ids get longer."""

SLEEP_SECONDS = 600


@check("client-done")
async def two_pauses(case: ClientCase) -> None:
    """The client stays through two pauses, and is there for the end."""
    rollout = await case.begin()
    for text in ("first", "second"):
        await rollout.send(*rollout.echo(text))
        await rollout.send(rollout.pause())
        await rollout.answered()
    await rollout.finish()


@check("client-own-calls")
async def a_call_that_is_not_done(case: ClientCase) -> None:
    """The arguments of a call are there, and its end is not yet: nothing is answered until it comes."""
    rollout = await case.begin()
    *events, done = rollout.echo("a")
    await rollout.send(*events)
    await _says_nothing(case, rollout)
    await rollout.send(done)
    await rollout.send(rollout.pause())
    await rollout.answered()
    await rollout.finish()


@check("client-own-calls")
async def calls_that_nobody_asks_for(case: ClientCase) -> None:
    """A turn with a call, one that is incomplete, and one of a hosted tool: only the first one is answered."""
    rollout = await case.begin()
    cut = rollout.call(ECHO, '{"text": "b', status="incomplete")
    await rollout.send(*rollout.echo("a"), *cut, *rollout.hosted_call())
    await rollout.send(rollout.pause())
    await rollout.answered()
    await _says_nothing(case, rollout)
    await rollout.finish()


@check("client-answers-all")
async def two_calls(case: ClientCase) -> None:
    """Both are answered, each with its own output, in as many appends as the client likes."""
    rollout = await case.begin()
    await rollout.send(*rollout.echo("first"), *rollout.echo("second"))
    await rollout.send(rollout.pause())
    await _answered_or_cancelled(rollout)


@check("client-answers-all")
async def a_call_of_an_unknown_tool(case: ClientCase) -> None:
    """The model has made up a tool: it is told so, or the Response is cancelled."""
    rollout = await case.begin()
    await rollout.send(*rollout.call("conformance_no_such_tool", {}), *rollout.echo("a"))
    await rollout.send(rollout.pause())
    await _answered_or_cancelled(rollout)


@check("client-answers-all")
async def arguments_that_cannot_be_used(case: ClientCase) -> None:
    """One call whose arguments are no JSON, one whose arguments are of a wrong type."""
    rollout = await case.begin()
    await rollout.send(*rollout.call(ECHO, '{"text": '), *rollout.call(ECHO, {"text": ["no", "string"]}))
    await rollout.send(rollout.pause())
    await _answered_or_cancelled(rollout)


@check("client-no-history")
async def ten_pauses(case: ClientCase) -> None:
    """Each append brings the new output and nothing else, and the last one is no longer than the first."""
    rollout = await case.begin()
    for at in range(PAUSES):
        await rollout.send(*rollout.echo(f"call {at}"))
        await rollout.send(rollout.pause())
        await rollout.answered()
    lengths = [len(frame.text) for frame in rollout.peer.frames if frame.type == "response.append"]
    if lengths[-1] > lengths[0] + MOST_GROWTH:
        text = f"the first append has {lengths[0]:,} characters, and the one after {PAUSES} pauses {lengths[-1]:,}"
        raise Violation("client-no-history", text)
    await rollout.finish()


@check("client-cancel-tools")
async def a_cancelled_response(case: ClientCase) -> None:
    """A tool sleeps for minutes when its Response is cancelled: the client does not wait for it."""
    rollout = await case.begin(SLEEP)
    await rollout.send(*rollout.call(SLEEP, {"seconds": SLEEP_SECONDS}))
    await rollout.send(rollout.pause())
    await _hold(case, rollout)
    if rollout.peer.take_waiting():
        raise NotTestable(f"its tool {SLEEP!r} does not sleep")
    await rollout.send(rollout.end("cancelled", incomplete_details={"reason": "client_request"}))
    try:
        await case.exit_status()
    except CheckFailed:
        text = f"{case.settings.timeout:g} s after response.cancelled the client still waits for a tool"
        raise Violation("client-cancel-tools", text) from None
    if rollout.peer.take_waiting():
        raise Violation("client-cancel-tools", "the client sent something after response.cancelled")


async def _hold(case: ClientCase, rollout: ScriptedRollout) -> None:
    try:
        await case.hold(rollout.peer)
    except CheckFailed as failed:
        raise Violation(await rollout.leaving_breaks(), str(failed)) from None


async def _says_nothing(case: ClientCase, rollout: ScriptedRollout) -> None:
    """An append that comes now answers what it may not."""
    await _hold(case, rollout)
    for message in rollout.peer.take_waiting():
        rollout.hear(message)
        raise Violation("client-own-calls", f"{message['type']} came while there was nothing to say")


async def _answered_or_cancelled(rollout: ScriptedRollout) -> None:
    try:
        await rollout.answered()
    except CancelledByClient:
        await rollout.send(rollout.end("cancelled", incomplete_details={"reason": "client_request"}))
        await rollout.case.exit_status()
        return
    await rollout.finish()
