"""Frames that are no message, and the errors that answer them."""

from __future__ import annotations

from typing import Any

from .drivers import DONE, LONG_TEXT, calls
from .events import Event, error_code
from .outcome import NotTestable, Violation
from .rollout import message, output_for
from .server_case import ServerCase, check, open_call
from .server_peer import laid_to

NOT_JSON = ("", "{", "nonsense", '{"type": "response.create"', "[]", '"response.create"', "17", "null", "{'type': 1}")


@check("binary-refused")
async def binary_frame(case: ServerCase) -> None:
    """A binary frame gets its error, even if it holds a message."""
    peer = await case.connect()
    for data in (b"\x00\xff", b'{"type": "response.cancel"}'):
        await peer.send_binary(data)
        await peer.refusal("binary_frame", "binary-refused")


@check("bad-json")
async def no_json_object(case: ServerCase) -> None:
    """What is no JSON, and JSON that is no object."""
    peer = await case.connect()
    for text in NOT_JSON:
        await peer.send_text(text)
        await peer.refusal("invalid_json", "bad-json")


@check("unknown-type")
async def unknown_type(case: ServerCase) -> None:
    """A type that does not exist, one of another API, and none."""
    peer = await case.connect()
    for message_ in ({"type": "no.such"}, {"type": "session.update"}, {"input": "x"}):
        await peer.send(message_)
        await peer.refusal("unknown_message_type", "unknown-type")


@check("unknown-fields")
async def unknown_fields(case: ServerCase) -> None:
    """Unknown fields in a create, in an append and its items, in a resume and in a cancel change nothing."""
    unknown: dict[str, Any] = {"x_unknown": {"deep": [1, None, "two"]}, "client_metadata": {"a": "b"}}
    requirement = "unknown-fields"
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), calls("b"), DONE, requirement=requirement, **unknown)
    await rollout.append([output_for(open_call(rollout), **unknown)], **unknown)
    await rollout.pause(requirement=requirement)
    other = await case.connect()
    await other.send({"type": "response.resume", "response_id": rollout.id, **unknown})
    resumed = await other.wait(lambda frame: frame if frame.type != "error" else None, "response.resumed")
    if resumed.type != "response.resumed":
        raise Violation(requirement, f"{resumed.type} answered a resume with unknown fields")
    await other.send({"type": "response.cancel", "response_id": rollout.id, **unknown})
    await other.wait(lambda frame: frame if frame.type == "response.cancelled" else None, "response.cancelled")


@check("error-shape")
async def error_has_all_fields(case: ServerCase) -> None:
    """Errors of many kinds each have all the fields. (So do all others of the whole run, which are watched too.)"""
    peer = await case.connect()
    bad: list[Event | str] = [
        "{",
        {"type": "no.such"},
        {"type": "response.create", "model": case.settings.model},
        {"type": "response.create", "model": "no-such-model", "input": "x"},
        {"type": "response.create", "model": case.settings.model, "input": "x", "stream_id": "not a name"},
        {"type": "response.append", "input": []},
        {"type": "response.append", "input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]},
        {"type": "response.cancel"},
        {"type": "response.resume", "response_id": "resp_unknown"},
        {"type": "response.resume"},
    ]
    for each in bad:
        if isinstance(each, str):
            await peer.send_text(each)
        else:
            await peer.send(each)
        await peer.error(f"an error that answers {each}", requirement="error-shape")


async def _provoke(case: ServerCase, rollout_id: str, peer: Any) -> None:
    """Some messages that are refused, and their errors."""
    unknown = {"type": "function_call_output", "call_id": "call_unknown", "output": "y"}
    for bad in (
        {"type": "no.such"},
        {"type": "response.append", "response_id": rollout_id, "input": [unknown]},
        {"type": "response.append", "response_id": rollout_id, "input": 5},
        {"type": "response.resume", "response_id": "resp_unknown"},
        {"type": "response.create", "stream_id": "no name!", "model": case.settings.model, "input": "x"},
    ):
        await peer.send(bad)
        await peer.error(f"the error for {bad}")


@check("error-lives", "error-apart")
async def errors_in_a_pause(case: ServerCase) -> None:
    """Refused messages in a pause leave the connection open, the Response paused, and its numbers without a gap."""
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), DONE)
    last = rollout.log.last
    await laid_to("error-lives", _provoke(case, rollout.id, peer))
    await case.fence(peer)
    if rollout.log.last != last:
        raise Violation("error-lives", "an event of the Response came after messages that were refused")
    await rollout.answer(open_call(rollout))
    event = await rollout.until("response.output_item.added", "response.completed", requirement="error-lives")
    first = next(each for each in rollout.log.events if each["sequence_number"] > last)
    if first["sequence_number"] != last + 1:
        raise Violation("error-apart", f"{first['sequence_number']} came after {last}, with errors between them")
    if event["type"] != "response.completed":
        await rollout.finish(requirement="error-lives")


@check("error-lives", "error-apart")
async def errors_while_sampling(case: ServerCase) -> None:
    """Refused messages while the model samples do not disturb the Response."""
    for _ in range(case.driver.attempts):
        peer = await case.connect()
        rollout = await case.begin(peer, LONG_TEXT)
        await rollout.append([message("user", "x")], by_id=True)
        await peer.error("the error for a message while the model samples", requirement="error-lives")
        await laid_to("error-lives", _provoke(case, rollout.id, peer))
        was_beside = rollout.log.terminal is None
        await rollout.finish(requirement="error-lives")
        numbers = [event["sequence_number"] for event in rollout.log.events]
        if numbers != list(range(len(numbers))):
            raise Violation("error-apart", "the numbers of a Response with errors beside it are not 0, 1, 2, ...")
        if was_beside:
            return
    raise NotTestable("the model was done each time before the messages were refused; a slower one would show it")


@check("error-lane")
async def error_echoes_the_lane(case: ServerCase) -> None:
    """The error for a message on a named lane names the lane, and that for one without does not."""
    peer = await case.connect()
    nothing = [{"type": "function_call_output", "call_id": "call_unknown", "output": "y"}]
    for lane in ("lane-1", None, "lane.2"):
        named = {} if lane is None else {"stream_id": lane}
        for bad in (
            {"type": "response.append", **named, "input": nothing},
            {"type": "response.cancel", **named},
            {"type": "response.create", **named, "model": case.settings.model, "input": 5},
        ):
            await peer.send(bad)
            error = await peer.error(f"the error for {bad}")
            if error.get("stream_id") != lane:
                text = f"{error_code(error)} has stream_id {error.get('stream_id')!r}, and the message {lane!r}"
                raise Violation("error-lane", text)
