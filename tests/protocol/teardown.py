"""Drive a :class:`.world.World` to its end: whatever has happened, every Response ends, and nothing of it is left."""

from __future__ import annotations

from actions import append, complete, connect, end, finish_item, pause
from world import World

ROUNDS = 40


def finish(world: World) -> None:
    """Lost connections are noticed. Everyone is connected, everything is delivered, every call is answered: all comes
    to an end. Then time goes on, and the server forgets."""
    for connection in world.zombies:
        connection.lost(world.now)
    world.zombies.clear()
    for _ in range(ROUNDS):
        _one_round(world)
        if not world.creating and not world.ending and not any(user.open for user in world.users):
            break
    else:
        raise AssertionError("a Response never ends")
    for user in world.users:
        if user.connection is not None:
            user.disconnect().lost(world.now)
    while (deadline := world.server.next_deadline()) is not None:
        world.now = max(world.now, deadline)
        world.server.advance_time(world.now)
        world.serve()
        _end_what_is_due(world)
        world.check()
    server = world.server
    assert not world.live
    for left in (server._responses, server._keys, server._num_open, server._ended, server._requests):
        assert not left
    assert not server.deadlines._when
    assert not server._replay_budget.used


def _one_round(world: World) -> None:
    first = _first
    for user in world.users:
        if user.connection is None:
            connect(world, user, first)
        world.settle(user)
    for create in list(world.creating):
        if create in world.creating and not create.response.has_ended:
            world.begin(create)
        world.serve()
    _end_what_is_due(world)
    for rollout in world.sampling:
        if rollout.adding is not None:
            finish_item(world, rollout, first)
        (pause if rollout.open else complete)(world, rollout, first)
        world.serve()
    for user in world.users:
        if user.connection is not None:
            world.settle(user)
        for response in user.open:
            if response.is_paused and response.open_calls:
                append(world, (user, response), _last)
    world.now += 30.0
    world.server.advance_time(world.now)
    world.serve()
    world.check()


def _end_what_is_due(world: World) -> None:
    while world.ending:
        end(world, world.ending[0], _first)
        world.serve()


def _first(_: int) -> int:
    return 0


def _last(options: int) -> int:
    return options - 1
