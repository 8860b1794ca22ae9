"""Time. What takes longer than a few seconds is checked only on a server that is configured to be quicker."""

from __future__ import annotations

import asyncio
import time

from .drivers import DONE, LONG_TEXT, calls
from .events import TERMINAL, Event, error_code, mapping, response_of
from .outcome import CheckFailed, NotTestable, Violation
from .peer import Frame
from .server_case import ServerCase, check, open_call, two_calls
from .server_peer import ServerPeer

SLACK = 3.0
"""Seconds that something may come late. How early it comes is judged more strictly: too soon, work is lost."""

EARLY = 0.8

GOING_AWAY = 1001

TOO_OLD = "websocket_connection_limit_reached"


@check("ping-pong")
async def ping(case: ServerCase) -> None:
    """Pings with and without data, in a pause and while the model samples."""
    peer = await case.connect()
    try:
        await peer.ping(b"conformance")
        rollout = await case.begin(peer, LONG_TEXT)
        await peer.ping(b"\x00" * 125)
        await rollout.finish()
        await peer.ping(b"")
    except CheckFailed as failed:
        raise Violation("ping-pong", str(failed)) from None


@check("ping-sent", needs=["ping_interval"])
async def server_pings(case: ServerCase) -> None:
    """A client that says nothing is sent a ping."""
    peer = await case.connect()
    interval = case.settings.bound("ping_interval")
    try:
        await peer.bounded(peer.pinged.wait(), "a ping", interval + SLACK)
    except CheckFailed as failed:
        raise Violation("ping-sent", str(failed)) from None


def _ended(event: Event, status: str, reason: str, requirement: str) -> None:
    response = response_of(event)
    said = response.get("status"), mapping(response.get("incomplete_details")).get("reason")
    if said != (status, reason):
        raise Violation(requirement, f"it ended as {said}, not {(status, reason)}")


@check("pause-timeout", needs=["pause_timeout"])
async def nobody_answers(case: ServerCase) -> None:
    """A pause that nobody ends, after its time; an append that leaves a call open begins the time anew."""
    seconds = case.settings.bound("pause_timeout")
    peer = await case.connect()
    rollout = await case.paused(peer, *two_calls(DONE))
    await asyncio.sleep(seconds / 2)
    await rollout.answer(open_call(rollout))
    await rollout.until("response.appended", requirement="append-ack")
    start = time.monotonic()
    event = await peer.wait(
        lambda frame: frame.event if frame.type in TERMINAL else None,
        "the end of the Response",
        seconds=seconds + SLACK,
    )
    if time.monotonic() - start < seconds * EARLY:
        raise Violation("pause-timeout", f"it ended {time.monotonic() - start:.2f} s after the last append")
    _ended(event, "incomplete", "append_timeout", "pause-timeout")


@check("grace-period", "resume-unknown", needs=["grace"])
async def nobody_resumes(case: ServerCase) -> None:
    """Nobody attached for longer than the grace period: cancelled; and after another one the Response is forgotten."""
    seconds = case.settings.bound("grace")
    if case.settings.declared.get("pause_timeout", 3600.0) < 3 * seconds:
        raise NotTestable("configure a pause_timeout of at least three times grace: a pause ends this Response first")
    first = await case.connect()
    kept, lost = [await case.paused(first, calls("a"), DONE, stream_id=name) for name in ("kept", "lost")]
    await first.abort()
    await asyncio.sleep(seconds / 2)
    peer = await case.connect()
    _, rollout = await case.resume(peer, kept.id, kept.log.last, requirement="grace-period")
    await asyncio.sleep(seconds)
    _, again = await case.resume(peer, lost.id, lost.log.last, requirement="grace-period")
    event = await again.end(requirement="grace-period")
    _ended(event, "cancelled", "abandoned", "grace-period")
    await rollout.answer(open_call(rollout))
    await rollout.finish(requirement="grace-period")
    await peer.close()
    await asyncio.sleep(2 * seconds + 1)
    late = await case.connect()
    await case.ask_for_resume(late, lost.id, lost.log.last)
    await late.refusal("response_not_found", "resume-unknown")


@check("lifetime-close", "lifetime-resumable", needs=["lifetime"])
async def end_of_a_connection(case: ServerCase) -> None:
    """A connection with a paused Response is told that it is too old and closed; the Response is resumed on another."""
    seconds = case.settings.bound("lifetime")
    peer = await case.connect()
    start = time.monotonic()
    lost = await case.paused(peer, calls("a"), DONE)
    error = await peer.error("the end of the lifetime", requirement="lifetime-close", seconds=seconds + SLACK)
    if error_code(error) != TOO_OLD:
        raise Violation("lifetime-close", f"the error is {error_code(error)}")
    if time.monotonic() - start < seconds * EARLY:
        raise Violation("lifetime-close", f"it came after {time.monotonic() - start:.2f} s")
    try:
        code, _ = await peer.wait_closed()
    except CheckFailed as failed:
        raise Violation("lifetime-close", str(failed)) from None
    if code != GOING_AWAY:
        raise Violation("lifetime-close", f"it was closed with code {code}")
    second = await case.connect()
    _, rollout = await case.resume(second, lost.id, lost.log.last, requirement="lifetime-resumable")
    await rollout.answer(open_call(rollout))
    await rollout.finish(requirement="lifetime-resumable")


@check("lifetime-close", needs=["lifetime"])
async def sampled_on_at_the_end(case: ServerCase) -> None:
    """The model samples one text after the other: at the end of its lifetime the connection waits for the one that it
    is at, and takes no other create."""
    peer = await case.connect()
    end = time.monotonic() + case.settings.bound("lifetime") + SLACK
    try:
        while time.monotonic() < end:
            start = len(peer.frames)
            await peer.send(case.create([LONG_TEXT]))
            first = await peer.wait(_answer, "response.created, or an error", after=start)
            if first.type == "error":
                await peer.wait_closed()
                break
            await _to_its_end(peer, first.index)
        else:
            raise Violation("lifetime-close", "creates are taken after the end of the lifetime")
    except Violation:
        raise
    except CheckFailed as failed:  # it may close while the next create is on its way
        if peer.closed is None:
            raise Violation("lifetime-close", str(failed)) from None
    if error_code(peer.frames[-1].event) != TOO_OLD:
        raise Violation("lifetime-close", f"it was closed, and the error {TOO_OLD} was not the last frame")


def _answer(frame: Frame) -> Frame | None:
    return frame if frame.type in ("response.created", "error") else None


async def _to_its_end(peer: ServerPeer, after: int) -> None:
    """Wait for the end of what is sampled.

    :raises Violation: the end of the lifetime comes first.
    """
    kinds = (*TERMINAL, "error")
    try:
        frame = await peer.wait(lambda frame: frame if frame.type in kinds else None, "an end", after=after)
    except CheckFailed as failed:
        raise Violation("lifetime-close", f"while the model samples: {failed}") from None
    if frame.type == "error":
        raise Violation("lifetime-close", f"{error_code(frame.event)} came while the model samples")
