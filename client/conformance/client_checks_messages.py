"""What a client sends, and what it does with frames that it does not know."""

from __future__ import annotations

import json

from .client_case import ClientCase, check
from .client_recovery import recovery
from .events import Event
from .outcome import Violation

TEXT = "One two three four five six."


def _unknown(name: str) -> Event:
    return {"type": f"response.conformance_{name}", "note": "Pass me over.", "nested": {"list": [1, None]}}


@check("text-frames")
async def a_rollout(case: ClientCase) -> None:
    """One call, one pause, a text: all that is needed, and nothing unusual."""
    rollout = await case.begin()
    await rollout.send(*rollout.echo("a"))
    await rollout.send(rollout.pause())
    await rollout.answered()
    await rollout.finish()


@check("client-unknown-events")
async def unknown_events(case: ClientCase) -> None:
    """Some with a number of the Response's sequence, some of the connection without one, in a pause too."""
    notice = {"type": "conformance.notice", "note": "Of the connection."}
    rollout = await case.begin(first=[notice])
    await rollout.send(_unknown("one"), *rollout.echo("a"), _unknown("two"), _unknown("three"))
    await rollout.send(rollout.pause())
    await rollout.peer.send(notice)
    await rollout.answered()
    added, *rest = rollout.message(TEXT)
    await rollout.send(added, _unknown("four"))
    await rollout.peer.send(notice)
    await rollout.send(*rest, _unknown("five"))
    await rollout.send(rollout.end())
    await case.ends_well(TEXT)


@check("client-binary")
async def a_binary_frame(case: ClientCase) -> None:
    """The next event as a binary frame: it is not taken for text, and not passed over."""
    await _bad_frame(case, as_binary=True)


@check("client-binary")
async def a_frame_without_json(case: ClientCase) -> None:
    """A text frame that is cut off."""
    await _bad_frame(case, as_binary=False)


async def _bad_frame(case: ClientCase, *, as_binary: bool) -> None:
    rollout = await case.begin()
    events = rollout.message(TEXT)
    await rollout.send(*events[:4])
    last_good = rollout.last_sent
    (bad,) = rollout.keep(events[4])
    if as_binary:
        await rollout.peer.send_binary(json.dumps(bad).encode())
    else:
        await rollout.peer.send_text(json.dumps(bad)[:-20])
    await rollout.send_while_open(*events[5:])
    await rollout.send_while_open(rollout.end())
    after = await recovery(rollout, "client-binary", must_close=True)
    if after is None:
        return
    if after > last_good:
        raise Violation("client-binary", f"it goes on after event {after}; the frame behind event {last_good} was bad")
    await rollout.resume(after)
    await case.ends_well(TEXT)
