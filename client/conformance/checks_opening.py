"""Opening a connection in append mode."""

from __future__ import annotations

import websockets

from .drivers import DONE, calls
from .events import TERMINAL
from .outcome import CheckFailed, Violation
from .peer import Frame
from .rollout import Rollout
from .server_case import ServerCase, check
from .server_peer import APPEND_MODE, HEADER

APPEND_MODE_ONLY = ("response.done", "response.appended", "response.resumed", "response.detached")

OTHER_VERSION = "responses_websockets=2026-02-06"
"""What clients of the Responses API's own WebSocket mode send."""


async def _pauses(case: ServerCase, rollout: Rollout, requirement: str) -> None:
    await rollout.pause(requirement=requirement)
    await rollout.answer(*rollout.log.open_calls)
    await rollout.finish(requirement=requirement)


@check("open-header")
async def header_opens_append_mode(case: ServerCase) -> None:
    """The header opens append mode: a Response pauses at its call and goes on after an append."""
    peer = await case.connect()
    await _pauses(case, await case.begin(peer, calls("a"), DONE, requirement="open-header"), "open-header")


@check("open-header")
async def header_is_a_list(case: ServerCase) -> None:
    """The value may be one of several in the header."""
    peer = await case.connect(header=f"assistants=v2, {APPEND_MODE}")
    await _pauses(case, await case.begin(peer, calls("a"), DONE, requirement="open-header"), "open-header")


@check("open-query")
async def query_opens_append_mode(case: ServerCase) -> None:
    """A client that can't set headers opens append mode by a query parameter."""
    peer = await case.connect(header=None, query=APPEND_MODE)
    await _pauses(case, await case.begin(peer, calls("a"), DONE, requirement="open-query"), "open-query")


@check("open-opt-in")
async def nothing_of_append_mode_unasked(case: ServerCase) -> None:
    """Without header and parameter, and with the header of another version, the server refuses the handshake, or speaks
    without the messages of append mode."""
    for header in (None, OTHER_VERSION):
        try:
            peer = await case.connect(header=header)
        except CheckFailed as failed:
            if isinstance(failed.__cause__, websockets.InvalidStatus):
                continue
            raise
        await peer.send(case.create([calls("a"), DONE]))
        await peer.wait(_without_append_mode, "an error, or the end of a Response")


def _without_append_mode(frame: Frame) -> Frame | None:
    if frame.type in APPEND_MODE_ONLY:
        raise Violation("open-opt-in", f"{frame.type} came on a connection that did not ask for append mode")
    return frame if frame.type in (*TERMINAL, "error") else None


@check("open-echo")
async def answer_echoes_the_mode(case: ServerCase) -> None:
    """The answer to the handshake says which mode was opened."""
    peer = await case.connect()
    said = {name.lower(): value for name, value in peer.handshake.items()}.get(HEADER.lower())
    if said is None or APPEND_MODE not in [each.strip() for each in said.split(",")]:
        raise Violation("open-echo", f"the header {HEADER} of the answer is {said!r}")
