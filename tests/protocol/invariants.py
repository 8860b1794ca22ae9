"""What always holds inside a server core, counted again from scratch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from caesura.protocol.server import ServerResponse
from caesura.protocol.server_connection import ServerConnection

if TYPE_CHECKING:
    from world import World


def check_server(world: World) -> None:
    """No count, index, deadline or lane says anything else than the Responses themselves do."""
    _check_open(world)
    _check_deadlines(world)
    for connection in world.connections():
        _check_connection(world, connection)


def unborn(world: World) -> set[ServerResponse]:
    """Those that were asked for and have not been created."""
    found = {create.response for each in world.connections() for create in each._waiting.creates}
    found |= {lane.requested for each in world.connections() for lane in each._lanes if lane.requested is not None}
    found |= {request.response for request in world.ending if request.response.is_unborn}
    return {each for each in found if not each.has_ended}


def _check_open(world: World) -> None:
    server = world.server
    born = set(server._responses.values())
    open_ = {each for each in born if not each.has_ended} | unborn(world)
    assert Counter(each.owner for each in open_) == server._num_open
    assert all(count <= server.limits.max_open_per_credential for count in server._num_open.values())
    ended: dict[str, set[str]] = {}
    for response_id, response in server._responses.items():
        assert response.id == response_id
        if response.has_ended:
            ended.setdefault(response.owner, set()).add(response_id)
    assert {owner: set(ids) for owner, ids in server._ended.items()} == ended
    assert all(len(ids) <= server.limits.max_ended for ids in ended.values())
    kept = {(each.owner, each.idempotency_key): each for each in born | unborn(world) if each.idempotency_key}
    assert server._keys == kept


def _check_deadlines(world: World) -> None:
    expected: set[object] = set()
    optional: set[object] = set()
    for response in world.server._responses.values():
        to = optional if response.is_ending and not response.has_ended else expected
        if response.is_paused:
            to.add((response, "pause"))
        if response.connection is None:
            to.add((response, "grace"))
    for connection in world.connections():
        if connection.closing is None and not connection._expired and connection not in world.others:
            expected.add(connection)
    keys = set(world.server.deadlines._when)
    assert expected <= keys, "nothing would ever end it"
    assert keys <= expected | optional, "a deadline of something that is gone"


def _check_connection(world: World, connection: ServerConnection) -> None:
    limits = world.server.limits
    lanes = dict(connection._lanes._lanes)
    for name, lane in lanes.items():
        for response in (lane.open, lane.requested):
            assert response is None or (response.connection is connection and response.stream_id == name)
        waiting = connection._waiting.on(name)
        assert len(waiting) <= limits.max_waiting
        room = connection._num_sampling() < limits.max_sampling
        assert not (waiting and lane.is_free and room), "a create waits for nothing"
    attached = [each for each in world.server._responses.values() if each.connection is connection]
    assert all(lanes[each.stream_id].current is each for each in attached)
    if connection.closing is not None:
        assert not attached
        assert not connection._waiting.creates
    assert connection._num_open() <= limits.max_open_per_connection + len(lanes)  # resumed ones are not refused
    outbox = connection._outbox
    asked_for = sum(count for count, _ in outbox._allowed.values())
    assert len(outbox) <= limits.max_unsent_events + asked_for + limits.max_open_per_connection
    assert outbox._bytes == sum(frame.__sizeof__() for frame in outbox._frames)
    if len(outbox) or connection.closing is not None:
        assert connection in world.awake, "nobody was told that there is something to send"
