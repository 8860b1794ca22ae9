"""Appends that are refused, whole and without a trace."""

from __future__ import annotations

from typing import Any

from .drivers import DONE, LONG_TEXT, calls
from .events import Event, error_code, error_message, usage_of
from .outcome import CheckFailed, Violation
from .rollout import message, output_for
from .server_case import ServerCase, check, open_call, two_calls

UNKNOWN: Event = {"type": "function_call_output", "call_id": "call_unknown", "output": "x"}


def bad_appends(a: Event, b: Event, answered: Event | None = None) -> dict[str, list[Any]]:
    """Inputs that each hold a good output of call a and something bad, by what is bad."""
    good = output_for(a, "good")
    bad: dict[str, list[Any]] = {
        "an unknown call": [good, UNKNOWN],
        "an unknown call first": [UNKNOWN, good],
        "an output that is no text": [good, output_for(b, 17)],
        "an output without call_id": [good, {"type": "function_call_output", "output": "x"}],
        "an item that is no object": [good, "x"],
        "an unknown item": [good, {"type": "no_such_item", "call_id": b["call_id"]}],
        "an assistant message": [good, message("assistant", "x")],
        "an output after a message": [good, message("user", "x"), output_for(b)],
        "two outputs for one call": [output_for(b, "one"), output_for(b, "two"), good],
    }
    if answered is not None:
        bad["another output for an answered call"] = [good, output_for(answered, "other")]
    return bad


@check("append-atomic", "append-error-input")
async def one_bad_item_refuses_all(case: ServerCase) -> None:
    """Appends with a good output and something bad: each is refused with its raw input in the error, and the good
    output was not taken, since another one for the same call is taken afterwards."""
    peer = await case.connect()
    rollout = await case.paused(peer, *two_calls(DONE))
    a, b = rollout.log.open_calls[:2]
    last = rollout.log.last
    for what, items in bad_appends(a, b).items():
        sent: list[Any] = [{**each, "x_extra": 1.5} if isinstance(each, dict) else each for each in items]
        await rollout.append(sent)
        error = await peer.error(f"the error for {what}", requirement="append-atomic")
        if error.get("response_id") != rollout.id or error.get("input") != sent:
            text = f"for {what} it has response_id {error.get('response_id')!r} and input {error.get('input')!r}"
            raise Violation("append-error-input", text)
    if await case.fence(peer) or rollout.log.last != last:
        raise Violation("append-atomic", "an event of the Response came after appends that were refused")
    for call, pending in ((a, [b["call_id"]]), (b, None)):
        await rollout.answer(call, output="something else")
        if pending is None:
            await rollout.finish(requirement="append-atomic")
            return
        acknowledged = await rollout.until("response.appended", requirement="append-atomic")
        if acknowledged.get("pending") != pending:
            raise Violation(
                "append-atomic", f"after appends that were refused, pending is {acknowledged.get('pending')}"
            )


@check("append-atomic")
async def refused_appends_leave_no_trace(case: ServerCase) -> None:
    """A Response with refused appends on the way counts the same tokens as one without."""
    usages = []
    for disturbed in (True, False):
        peer = await case.connect()
        rollout = await case.paused(peer, *two_calls(DONE))
        a, b = rollout.log.open_calls[:2]
        await rollout.answer(b)
        await rollout.until("response.appended", requirement="append-ack")
        for what, items in bad_appends(a, b, answered=b).items() if disturbed else ():
            await rollout.append([*items, message("user", "This must not be in the context.")])
            await peer.error(f"the error for {what}", requirement="append-atomic")
        await rollout.answer(a)
        usages.append(usage_of(await rollout.finish(requirement="append-atomic")))
    if case.driver.exact and usages[0] != usages[1]:
        raise Violation("append-atomic", f"usage is {usages[0]} after refused appends, and {usages[1]} without")


@check("append-conflict")
async def other_output_for_an_answered_call(case: ServerCase) -> None:
    """Another text, and the same with another status: in the same pause, while the model samples, and in a later
    pause."""
    peer = await case.connect()
    rollout = await case.paused(peer, *two_calls(calls("a", text="word " * 60), DONE))
    a, b = rollout.log.open_calls[:2]

    async def refused(call: Event) -> None:
        for other in (output_for(call, "different"), output_for(call, "ok", status="failed")):
            await rollout.append([other], by_id=True)
            await peer.refusal("tool_call_already_answered", "append-conflict")

    await rollout.answer(a)
    await rollout.until("response.appended", requirement="append-ack")
    await refused(a)
    await rollout.answer(b)
    await rollout.until("response.output_item.added")
    await refused(b)
    if not rollout.log.is_paused:
        await rollout.pause()
    await refused(a)
    await rollout.answer(*rollout.log.open_calls)
    await rollout.finish()


@check("append-unknown-call")
async def forged_call(case: ServerCase) -> None:
    """A call_id that was never given, and that of a call of another Response."""
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), DONE, stream_id="one")
    other = await case.paused(peer, calls("a"), DONE, stream_id="two")
    for item in (UNKNOWN, output_for(open_call(other))):
        await rollout.append([item], by_id=True)
        await peer.refusal("tool_call_not_found", "append-unknown-call")
    await case.fence(peer)
    for each in (rollout, other):
        await each.answer(open_call(each))
        await each.finish(requirement="append-unknown-call")


@check("append-ended")
async def append_after_the_end(case: ServerCase) -> None:
    """After its end a Response takes nothing, not even what it knows."""
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), DONE)
    call = open_call(rollout)
    await rollout.answer(call)
    await rollout.finish()
    for items in ([output_for(call, "different")], [output_for(call)], [UNKNOWN], [message("user", "x")]):
        await rollout.append(items, by_id=True)
        await peer.refusal("response_already_completed", "append-ended")


@check("append-no-response")
async def append_to_nothing(case: ServerCase) -> None:
    """No Response was ever there on the lane, or has that id."""
    peer = await case.connect()
    for fields in ({}, {"stream_id": "one"}, {"response_id": "resp_unknown"}):
        await peer.send({"type": "response.append", **fields, "input": [UNKNOWN]})
        await peer.refusal("response_not_found", "append-no-response")


async def _refused_in_a_pause(case: ServerCase, requirement: str, *inputs: Any, code: str = "invalid_value") -> None:
    peer = await case.connect()
    rollout = await case.paused(peer, *two_calls(DONE))
    for make in inputs:
        await rollout.append(make(*rollout.log.open_calls[:2]))
        await peer.refusal(code, requirement)
    await rollout.answer(*rollout.log.open_calls)
    await rollout.finish(requirement=requirement)


@check("append-messages-last")
async def output_after_a_message(case: ServerCase) -> None:
    """An output after a message, first and last in its append."""
    await _refused_in_a_pause(
        case,
        "append-messages-last",
        lambda a, b: [message("user", "x"), output_for(a), output_for(b)],
        lambda a, b: [output_for(a), message("developer", "x"), output_for(b)],
    )


@check("append-messages-role")
async def assistant_message(case: ServerCase) -> None:
    """The client can't put words into the model's mouth."""
    await _refused_in_a_pause(
        case,
        "append-messages-role",
        lambda a, b: [output_for(a), output_for(b), message("assistant", "x")],
        lambda a, b: [message("assistant", "x")],
    )


@check("append-messages-paused")
async def message_while_sampling(case: ServerCase) -> None:
    """A message alone, and one with a repeated output, while the model samples."""
    peer = await case.connect()
    for repeated in (False, True):
        for _ in range(case.driver.attempts):
            rollout = await case.paused(peer, calls("a"), LONG_TEXT)
            call = open_call(rollout)
            await rollout.answer(call)
            await rollout.until("response.output_text.delta")
            await rollout.append([*([output_for(call)] if repeated else ()), message("user", "x")], by_id=True)
            error = await peer.error("an error", requirement="append-messages-paused")
            await rollout.finish(requirement="append-messages-paused")
            if error_code(error) == "response_not_paused":
                break
            if error_code(error) != "response_already_completed":
                raise Violation("append-messages-paused", f"the error is {error_code(error)}: {error_message(error)}")
        else:
            raise CheckFailed("the model was done each time before the message was there")
