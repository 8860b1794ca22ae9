"""Appends whose connection is lost: sent again at the right time, with the same output."""

from __future__ import annotations

from .client_case import ClientCase, check, offered_tools
from .client_contract import NONCE
from .client_rollout import ScriptedRollout
from .events import Event
from .outcome import NotTestable, Violation

EARLY_SECONDS = 1.0
"""How long a client may take to answer a call of its own accord, before the pause."""


@check("client-retry")
async def an_append_that_is_lost(case: ClientCase) -> None:
    """It comes again after response.resumed, and not before."""
    rollout, _ = await _lost_append(case)
    after = await rollout.come_back()
    await _holds_back(case, rollout, "response.resumed")
    await rollout.resume(after)
    await rollout.accept(await rollout.read_append("client-retry"))
    await rollout.answered()
    await rollout.finish()


@check("client-retry")
async def an_early_append_that_is_lost(case: ClientCase) -> None:
    """A call is answered while the model samples the next one, and the replay has much to tell: the output comes again
    after all of it."""
    rollout = await case.begin()
    await rollout.send(*rollout.echo("first"))
    (call_id,) = rollout.open_calls
    await _append_or_not_testable(rollout, "the client answers no call before the pause", EARLY_SECONDS)
    await rollout.lose()
    rollout.keep(*rollout.echo("second"))
    rollout.keep(rollout.pause())
    after = await rollout.come_back()
    await rollout.resumed(after)
    last = len(rollout.events) - 1
    await rollout.replay(after + 1, last)
    others = tuple(rollout.open_calls.keys() - {call_id})  # which the client may answer as soon as it knows of them
    appends = await _holds_back(case, rollout, "the end of the replay", besides=others)
    await rollout.replay(last)
    for outputs in appends:
        await rollout.accept(outputs)
    while call_id in rollout.open_calls:
        await rollout.accept(await rollout.read_append("client-retry"))
    await rollout.answered()
    await rollout.finish()


@check("client-same-output")
async def the_output_of_an_append_that_is_lost(case: ClientCase) -> None:
    """The append did not arrive, which the client can't know: it answers again with what it answered first."""
    rollout, _ = await _lost_append(case)
    await rollout.resume(await rollout.come_back())
    await rollout.accept(await _append_or_not_testable(rollout, "the client does not send a lost append again"))
    await rollout.answered()
    await rollout.finish()


@check("client-same-output")
async def the_output_of_an_append_that_arrived(case: ClientCase) -> None:
    """The append ended the pause, and nothing was heard of that: the call is left alone, or answered as before."""
    rollout, outputs = await _lost_append(case)
    await rollout.accept(outputs)
    await rollout.resume(await rollout.come_back())
    await case.hold(rollout.peer)
    for message in rollout.peer.take_waiting():
        await rollout.accept(rollout.hear(message))
    await rollout.finish()


async def _lost_append(case: ClientCase) -> tuple[ScriptedRollout, dict[str, Event]]:
    """A Response in a pause, and the outputs of an append that was the last to come on a connection that is lost."""
    rollout = await case.begin()
    # The output of a nonce is another one each time, so that a tool which is run again shows.
    has_nonce = NONCE in offered_tools(rollout.create)
    await rollout.send(*(rollout.call(NONCE, {}) if has_nonce else rollout.echo("a")))
    await rollout.send(rollout.pause())
    outputs = await rollout.read_append()
    await rollout.lose()
    return rollout, outputs


async def _append_or_not_testable(rollout: ScriptedRollout, why: str, seconds: float | None = None) -> dict[str, Event]:
    """The outputs of the next append; ``why`` is what it means for the check if there is none."""
    try:
        return await rollout.read_append("client-retry", seconds=seconds)
    except Violation as violation:
        if violation.requirement == "client-retry":
            raise NotTestable(why) from None
        raise


async def _holds_back(
    case: ClientCase, rollout: ScriptedRollout, what: str, *, besides: tuple[str, ...] = ()
) -> list[dict[str, Event]]:
    """The outputs of the appends that come now; they may answer the calls ``besides`` alone.

    :raises Violation: they answer another one.
    """
    await case.hold(rollout.peer)
    appends = [rollout.hear(message) for message in rollout.peer.take_waiting()]
    if any(set(outputs) - set(besides) for outputs in appends):
        raise Violation("client-retry", f"an append is sent again before {what}")
    return appends
