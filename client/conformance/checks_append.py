"""Appends that are accepted."""

from __future__ import annotations

from typing import Any

from .drivers import DONE, Call, Turn, calls
from .events import Event, error_message, usage_of
from .outcome import CheckFailed, Violation
from .rollout import Rollout, message, output_for
from .server_case import ServerCase, check, open_call, two_calls
from .server_peer import laid_to

LONG_B = calls("a", Call("b", long=True))


@check("append-resumes")
async def append_ends_the_pause(case: ServerCase) -> None:
    """An append that answers all calls of a pause ends it; the numbers go on, without an acknowledgement."""
    peer = await case.connect()
    rollout = await case.paused(peer, *two_calls(DONE))
    last = rollout.log.last
    await rollout.answer(*rollout.log.open_calls)
    await rollout.finish(requirement="append-resumes")
    following = [event for event in rollout.log.events if event["sequence_number"] > last]
    if following[0]["sequence_number"] != last + 1:
        raise Violation("append-resumes", f"{following[0]['sequence_number']} came after {last}")
    if following[0]["type"] == "response.appended":
        raise Violation("append-resumes", "the append that ends the pause was acknowledged")


@check("append-response-id")
async def append_names_its_response(case: ServerCase) -> None:
    """Of three paused Responses, an append with ``response_id`` and without a lane goes on with the one that it names;
    the one that is neither the first nor the last is named first."""
    peer = await case.connect()
    rollouts = [await case.paused(peer, calls("a"), DONE, stream_id=name) for name in ("one", "two", "three")]
    for rollout in (rollouts[1], rollouts[0], rollouts[2]):
        rollouts.remove(rollout)
        before = _positions(rollouts)
        output = output_for(open_call(rollout))
        await peer.send({"type": "response.append", "response_id": rollout.id, "input": [output]})
        await rollout.finish(requirement="append-response-id")
        if _positions(rollouts) != before:
            raise Violation("append-response-id", f"another one went on, and the append named {rollout.id}")


def _positions(rollouts: list[Rollout]) -> list[int]:
    return [each.log.last for each in rollouts]


@check("append-lane")
async def append_goes_to_its_lane(case: ServerCase) -> None:
    """Without ``response_id`` it is for the open Response of its lane, be that a named one or the default lane; the one
    that is neither the first nor the last is answered first."""
    peer = await case.connect()
    lanes: tuple[Event, ...] = ({}, {"stream_id": "one"}, {"stream_id": "two"})
    rollouts = [await case.paused(peer, calls("a"), DONE, **lane) for lane in lanes]
    for rollout in (rollouts[1], rollouts[0], rollouts[2]):
        rollouts.remove(rollout)
        before = _positions(rollouts)
        await rollout.answer(open_call(rollout))
        await rollout.finish(requirement="append-lane")
        if _positions(rollouts) != before:
            raise Violation("append-lane", f"the Response of another lane than {rollout.lane!r} went on")


@check("append-one-by-one", "append-ack", "append-ack-numbered")
async def calls_answered_one_by_one(case: ServerCase) -> None:
    """Each call of a pause answered by an append of its own, the last call first; all but the last append are
    acknowledged and numbered. There are three calls where the model does as it is told."""
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a", "b", "c") if case.driver.exact else calls("a", "b"), DONE)
    pending = rollout.log.open_calls
    last = rollout.log.last
    while len(pending) > 1:
        call = pending.pop()
        acknowledged = await _answer_to_part(rollout, call)
        said = {name: acknowledged.get(name) for name in ("response_id", "answered", "pending")}
        still_open = [each["call_id"] for each in pending]
        if said != {"response_id": rollout.id, "answered": [call["call_id"]], "pending": still_open}:
            raise Violation("append-ack", f"it says {said}, and open are {still_open}")
        last += 1
        if acknowledged.get("sequence_number") != last:
            text = f"it has number {acknowledged.get('sequence_number')!r}, after {last - 1}"
            raise Violation("append-ack-numbered", text)
    await rollout.answer(*pending)
    event = await rollout.until("response.output_item.added", "response.completed", requirement="append-one-by-one")
    first = next(each for each in rollout.log.events if each["sequence_number"] > last)
    if first["sequence_number"] != last + 1:
        raise Violation("append-ack-numbered", f"{first['sequence_number']} came after {last}")
    if event["type"] != "response.completed":
        await rollout.finish(requirement="append-one-by-one")


async def _answer_to_part(rollout: Rollout, call: Event) -> Event:
    """Answer one of the calls of a pause: the acknowledgement."""
    start = len(rollout.peer.frames)
    await rollout.answer(call)
    kinds = ("response.appended", "error")
    waiting = rollout.peer.wait(lambda frame: frame if frame.type in kinds else None, kinds[0], after=start)
    frame = await laid_to("append-ack", waiting)
    if frame.type == "error":
        raise Violation("append-one-by-one", f"the last call can't be answered first: {error_message(frame.event)}")
    return frame.event


async def _answered_early(case: ServerCase, **fields: Any) -> tuple[Rollout, Event]:
    """A Response whose call a was acknowledged while call b was being sampled, and the call a."""
    for _ in range(case.driver.attempts):
        peer = await case.connect()
        rollout = await case.begin(peer, LONG_B, DONE, **fields)
        a = await rollout.call_done()
        await rollout.answer(a)
        event = await rollout.until("response.appended", "response.done", requirement="append-early")
        if event["type"] == "response.appended":
            return rollout, a
        # It came too late, or is not taken before the pause; the next one may do better.
        await peer.close()
    raise CheckFailed("no append was taken while the model sampled the call after the one that it answers")


@check("append-early")
async def call_answered_while_sampling(case: ServerCase) -> None:
    """A call is answered while the next one is still sampled: acknowledged, and the pause does not ask for it."""
    rollout, a = await _answered_early(case)
    done = await rollout.pause(requirement="append-early")
    asked = [each.get("call_id") for each in done["response"]["required_input"]]
    if a["call_id"] in asked:
        raise Violation("append-early", "the pause asks for a call whose output was acknowledged before")
    await rollout.answer(*rollout.log.open_calls)
    await rollout.finish(requirement="append-early")


@check("append-early-no-pause")
async def no_pause_without_open_calls(case: ServerCase) -> None:
    """All that is to be answered was answered when the model stops: it goes on without ``response.done``.

    The last call is beyond ``max_tool_calls``, so nobody is asked to answer it, and there is time to answer the first.
    """
    rollout, _ = await _answered_early(case, max_tool_calls=1)
    event = await rollout.until("response.done", "response.completed", "response.incomplete")
    if event["type"] == "response.done":
        if event["response"].get("required_input"):
            raise CheckFailed("the server asks for a call beyond max_tool_calls, so there was no turn to show it with")
        raise Violation("append-early-no-pause", "response.done came, and no call was open")


@check("append-idempotent")
async def same_output_again(case: ServerCase) -> None:
    """An output that is known already is acknowledged: in the same pause, while the model samples, and in a later
    pause; it may come beside a new one. Neither it nor a message that came with it is counted twice."""
    requirement = "append-idempotent"
    usages = []
    for repeats in (True, False):
        peer = await case.connect()
        rollout = await case.paused(peer, *two_calls(calls("a", text="word " * 60), DONE))
        a, b = rollout.log.open_calls[:2]
        for _ in range(1 + repeats):
            await rollout.append([output_for(a), message("user", "Be short.")])
            await rollout.until("response.appended", requirement=requirement)
        if repeats:
            await _repeat(rollout, a, [b])
        await rollout.answer(*((a, b) if repeats else (b,)))
        if repeats:
            await rollout.until("response.output_item.added", requirement=requirement)
            await _repeat(rollout, a, [], b)
        if not rollout.log.is_paused:
            await rollout.pause()
        if repeats:
            await _repeat(rollout, b, rollout.log.open_calls)
        await rollout.answer(*rollout.log.open_calls)
        usages.append(usage_of(await rollout.finish(requirement=requirement)))
    if case.driver.exact and usages[0] != usages[1]:
        raise Violation(requirement, f"with outputs repeated the usage is {usages[0]}, without {usages[1]}")


async def _repeat(rollout: Rollout, call: Event, pending: list[Event], *more: Event) -> None:
    await rollout.answer(call, *more)
    acknowledged = await rollout.until("response.appended", requirement="append-idempotent")
    said = acknowledged.get("answered"), acknowledged.get("pending")
    expected = [each["call_id"] for each in (call, *more)], [each["call_id"] for each in pending]
    # While the model samples, the next call may be done already.
    if said[0] != expected[0] or (pending and said[1] != expected[1]):
        raise Violation("append-idempotent", f"repeated outputs are acknowledged by {said}, not {expected}")


@check("append-messages")
async def messages_after_outputs(case: ServerCase) -> None:
    """User and developer messages come with the outputs, of the last call and of the first, and enter the context."""
    usages = []
    for steering in ([message("user", "Be short."), message("developer", "Be kind.")], []):
        peer = await case.connect()
        rollout = await case.paused(peer, *two_calls(DONE))
        a, b = rollout.log.open_calls[:2]
        await rollout.append([output_for(a), *steering])
        await rollout.until("response.appended", requirement="append-messages")
        await rollout.append([output_for(b), *steering])
        usages.append(usage_of(await rollout.finish(requirement="append-messages")))
    if case.driver.exact and usages[0]["input_tokens"] <= usages[1]["input_tokens"]:
        raise Violation("append-messages", f"messages are not in the context: usage {usages[0]}, without {usages[1]}")


@check("append-parts")
async def output_as_parts(case: ServerCase) -> None:
    """An output is a string or a list of text parts; both, and an empty string, are taken. A list counts as many tokens
    as the text of all its parts."""
    parts = [{"type": "input_text", "text": text} for text in ("one and ", "two and three")]
    outputs: tuple[Any, ...] = (parts, "one and two and three", "")
    peer = await case.connect()
    usages = []
    for output in outputs:
        rollout = await case.paused(peer, calls("a"), Turn("Done."))
        await rollout.answer(open_call(rollout), output=output)
        usages.append(usage_of(await rollout.finish(requirement="append-parts")))
    if case.driver.exact and usages[0] != usages[1]:
        raise Violation("append-parts", f"with a list of parts the usage is {usages[0]}, with their text {usages[1]}")


@check("append-failed")
async def failed_output(case: ServerCase) -> None:
    """An output with status ``failed`` answers its call, and so do the other statuses."""
    peer = await case.connect()
    for status in ("failed", "incomplete", "completed"):
        rollout = await case.paused(peer, *two_calls(DONE))
        a, b = rollout.log.open_calls[:2]
        await rollout.append([output_for(a, "no such file", status=status)])
        acknowledged = await rollout.until("response.appended", requirement="append-failed")
        if acknowledged.get("answered") != [a["call_id"]]:
            raise Violation("append-failed", f"an output with status {status} is acknowledged by {acknowledged}")
        await rollout.append([output_for(b, "no such file", status=status)])
        await rollout.finish(requirement="append-failed")
