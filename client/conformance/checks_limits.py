"""Bounds, each at its value and one beyond it where that can be done."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from .drivers import DONE, calls
from .events import Event, error_code
from .outcome import CheckFailed, NotTestable, Violation
from .rollout import Rollout, message, output_for
from .server_case import ServerCase, check, open_call
from .server_peer import ServerPeer
from .settings import OTHER_KEY

SMALL_BUFFER = 4096

ABSORBED = 30_000
"""Errors that the buffers of the network may take before the server has to keep one: some megabytes of them."""

FIT_A_CONTEXT = 32
"""So many short messages can be appended to any model."""

FLOOD_BYTES = 400
"""So that most of the flood can't wait in such buffers on its way to the server."""


def _padded(num_bytes: int, character: str = "x") -> str:
    """A message of an unknown type that has this many bytes as UTF-8, most of them in this character."""
    empty = json.dumps({"type": "conformance.padding", "x": ""})
    times, rest = divmod(num_bytes - len(empty), len(character.encode()))
    return json.dumps({"type": "conformance.padding", "x": character * times + "x" * rest}, ensure_ascii=False)


def _nested(depth: int) -> str:
    """A message of an unknown type that is nested so deeply, its own object included."""
    return '{"type": "conformance.nesting", "x": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def _flat(count: int) -> str:
    """A message of an unknown type with so many lists beside each other, and brackets in texts."""
    brackets = '["' * count
    return json.dumps({"type": "conformance.nesting", "x": [[]] * count, "y": brackets, brackets: "\\"})


@check("limit-message-size", needs=["max_message_bytes"])
async def message_size(case: ServerCase) -> None:
    """A message of just the size is read, one byte more is refused, of fewer characters too, and the connection and its
    Response live on."""
    bound = case.settings.count("max_message_bytes")
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), DONE)
    await peer.send_text(_padded(bound))
    await peer.refusal("unknown_message_type", "limit-message-size")
    for character in ("x", "ä"):
        await peer.send_text(_padded(bound + 1, character))
        await peer.refusal("message_too_large", "limit-message-size")
    await rollout.answer(open_call(rollout))
    await rollout.finish(requirement="limit-message-size")


@check("limit-depth", needs=["max_depth"])
async def message_depth(case: ServerCase) -> None:
    """A message nested just so deeply is read, and so is one with more brackets, side by side; one level more, and very
    many more, are refused."""
    bound = case.settings.count("max_depth")
    peer = await case.connect()
    for text in (_nested(bound), _flat(bound + 1)):
        await peer.send_text(text)
        await peer.refusal("unknown_message_type", "limit-depth")
    for depth in (bound + 1, bound + 100_000):
        await peer.send_text(_nested(depth))
        await peer.refusal("message_too_deep", "limit-depth")
    await case.fence(peer)


@check("limit-append-items", needs=["max_append_items"])
async def append_items(case: ServerCase) -> None:
    """One item too many, and nothing of it is taken; then as many as allowed, if they fit a context."""
    bound = case.settings.count("max_append_items")
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), DONE)
    call, last = open_call(rollout), rollout.log.last
    items: list[Any] = [output_for(call, "too many"), *[message("user", "x")] * bound]
    await rollout.append(items)
    await peer.refusal("too_many_items", "limit-append-items")
    await case.fence(peer)
    if rollout.log.last != last:
        raise Violation("limit-append-items", "an event of the Response came after the append that was refused")
    await rollout.append([output_for(call), *[message("user", "x")] * (bound - 1 if bound <= FIT_A_CONTEXT else 0)])
    await rollout.finish(requirement="limit-append-items")


async def _fill(case: ServerCase, peers: list[ServerPeer], bound: int) -> list[Rollout]:
    """So many paused Responses, on lanes of these connections in turn."""
    return [
        await case.paused(peers[number % len(peers)], calls("a"), DONE, stream_id=f"lane-{number}")
        for number in range(bound)
    ]


async def _one_too_many(case: ServerCase, peer: ServerPeer, open_ones: list[Rollout], code: str, name: str) -> None:
    """One create more is refused; after one Response has ended it isn't; and the others can all go on."""
    extra: Event = case.create([DONE], stream_id="extra")
    await peer.send(extra)
    await peer.refusal(code, name)
    ended = open_ones.pop()
    await ended.answer(open_call(ended))
    await ended.finish(requirement=name)
    start = len(peer.frames)
    await peer.send(extra)
    await (await case.created(peer, "extra", after=start, requirement=name)).finish(requirement=name)
    for rollout in open_ones:
        await rollout.answer(open_call(rollout))
        await rollout.finish(requirement=name)


@check("limit-open-connection", needs=["max_open_per_connection"])
async def open_responses_of_a_connection(case: ServerCase) -> None:
    """As many paused Responses as a connection may have; another connection is not concerned."""
    name = "limit-open-connection"
    peer = await case.connect()
    rollouts = await _fill(case, [peer], case.settings.count("max_open_per_connection"))
    other = await case.connect()
    await (await case.begin(other, DONE, requirement=name)).finish(requirement=name)
    await _one_too_many(case, peer, rollouts, "connection_response_limit_reached", name)


@check("limit-open-credential", needs=["max_open_per_credential", OTHER_KEY])
async def open_responses_of_a_credential(case: ServerCase) -> None:
    """As many paused Responses as a credential may have, over several connections; those of one that is lost count
    too, and another credential is not concerned. It is the other one that is used up: other checks run beside."""
    name = "limit-open-credential"
    bound = case.settings.count("max_open_per_credential")
    room = int(case.settings.declared.get("max_open_per_connection", 64)) - 2  # two more will be on the first one
    if room < 1:
        raise NotTestable("configure a max_open_per_connection of at least 3")
    lost = await case.connect(api_key=case.settings.other_api_key)
    peers = [await case.connect(api_key=case.settings.other_api_key) for _ in range(1 + bound // room)]
    detached = await case.paused(lost, calls("a"), DONE)
    await lost.abort()
    rollouts = await _fill(case, peers, bound - 1)
    mine = await case.connect()
    await (await case.begin(mine, DONE, requirement=name)).finish(requirement=name)
    await peers[0].send(case.create([DONE], stream_id="extra"))
    await peers[0].refusal("credential_response_limit_reached", name)
    _, resumed = await case.resume(peers[0], detached.id, detached.log.last)
    await _one_too_many(case, peers[0], [*rollouts, resumed], "credential_response_limit_reached", name)


@check("limit-slow-reader", needs=["max_unsent_events"])
async def slow_reader(case: ServerCase) -> None:
    """A client that does not read, and has far more sent to it than may wait: it is told ``slow_reader`` and closed,
    and its paused Response is resumed on another connection."""
    bound = case.settings.count("max_unsent_events")
    peer = await case.connect(receive_buffer=SMALL_BUFFER)
    lost = await case.paused(peer, calls("a"), DONE)
    peer.hold_reading()
    with suppress(CheckFailed):  # the server may stop reading, or close, in the middle of it
        await peer.send_many(_padded(FLOOD_BYTES), 2 * bound + ABSORBED)
    peer.go_on_reading()
    try:
        await peer.wait_closed(seconds=3 * peer.timeout)
    except CheckFailed as failed:
        raise Violation("limit-slow-reader", f"the connection was not closed: {failed}") from None
    codes = [error_code(frame.event) for frame in peer.frames if frame.type == "error"]
    if codes[-1:] != ["slow_reader"]:
        raise Violation("limit-slow-reader", f"it was closed, and the last error was {codes[-1:]}")
    second = await case.connect()
    _, rollout = await case.resume(second, lost.id, lost.log.last, requirement="limit-slow-reader")
    await rollout.answer(open_call(rollout))
    await rollout.finish(requirement="limit-slow-reader")
