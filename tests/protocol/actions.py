"""What may happen next in a :class:`.world.World`, by name: who it may happen to, and what then happens.

Whoever drives a world (hypothesis, or a seeded random generator) picks an action that :func:`can` happen, and gives
:func:`step` a way to choose the details.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from caesura.protocol.client import ClientResponse
from caesura.protocol.errors import ModelNotFound
from caesura.protocol.events import OutputItemAdded, OutputItemDone
from caesura.protocol.items import FunctionCall, FunctionCallOutput, InputMessage, OutputMessage, OutputText
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.server import CreateRequested, EndRequested
from caesura.protocol.server_connection import ServerConnection
from oracle import Rollout
from user import User
from world import LANES, TOO_LONG, World

T = TypeVar("T")
Choose = Callable[[int], int]
"""A number from 0 to below its argument."""


@dataclass(frozen=True)
class Action:
    """``weight``: how often a random walk tries it."""

    targets: Callable[[World], Sequence[Any]]
    run: Callable[[World, Any, Choose], None]
    weight: int = 1


ACTIONS: dict[str, Action] = {}


def can(world: World, name: str) -> bool:
    return bool(ACTIONS[name].targets(world))


def step(world: World, name: str, choose: Choose) -> None:
    """Let it happen, and check everything."""
    target = pick(choose, ACTIONS[name].targets(world))
    world.counts[name] += 1
    ACTIONS[name].run(world, target, choose)
    world.serve()
    world.check()


def pick(choose: Choose, options: Sequence[T]) -> T:
    return options[choose(len(options))]


def action(targets: Callable[[World], Sequence[Any]], weight: int = 1) -> Callable[[T], T]:
    def register(run: T) -> T:
        ACTIONS[run.__name__] = Action(targets, run, weight)  # type: ignore[attr-defined, arg-type]
        return run

    return register


# --- what users do ----------------------------------------------------------------------------------------------------


@action(lambda world: [user for user in world.users if len(user.open) < 6], weight=4)
def create(world: World, user: User, choose: Choose) -> None:
    key = f"key_{world.number()}" if choose(4) else None
    request = ResponseCreate(model="m", input="hi", stream_id=pick(choose, LANES), idempotency_key=key)
    user.responses.append(user.client.create(request))
    user.send()


@action(lambda world: [each for each in world.born() if each[1].open_calls], weight=8)
def append(world: World, target: tuple[User, ClientResponse], choose: Choose) -> None:
    user, response = target
    opened = [call.call_id for call in response.open_calls]
    chosen = [opened.pop(choose(len(opened))) for _ in range(choose(len(opened)) + 1)]
    text = TOO_LONG if choose(8) == 0 else f"out {world.number()}"
    items: list[FunctionCallOutput | InputMessage] = [
        FunctionCallOutput(call_id=call_id, output=text, status="failed" if choose(4) == 0 else "completed")
        for call_id in chosen
    ]
    items += [InputMessage(role="user", text=f"steer {world.number()}") for _ in range(choose(3))]
    user.client.append(response, items)
    user.send()


def _steerable(world: World) -> list[tuple[User, ClientResponse]]:
    return [
        (user, each)
        for user, each in world.born()
        if each.is_paused and each.open_calls and all(append.outputs for append in each.under_way)
    ]


@action(_steerable)
def steer(world: World, target: tuple[User, ClientResponse], choose: Choose) -> None:
    user, response = target
    text = TOO_LONG if choose(8) == 0 else f"steer {world.number()}"
    user.client.append(response, [InputMessage(role="developer", text=text)])
    user.send()


@action(lambda world: [(user, each) for user in world.users for each in user.open])
def cancel(world: World, target: tuple[User, ClientResponse], choose: Choose) -> None:
    user, response = target
    user.client.cancel(response)
    user.send()


@action(lambda world: [(user, each) for user in world.users if user.connection is None for each in user.open])
def give_up(world: World, target: tuple[User, ClientResponse], choose: Choose) -> None:
    user, response = target
    user.client.give_up(response)
    user.send()


def _others(world: World) -> list[tuple[User, Rollout]]:
    """Whose lane is free at a user who does not have it."""
    found = []
    for user in world.users:
        for rollout in world.rollouts.values():
            lane = user.client._lanes.find(rollout.response.stream_id)
            is_free = lane is None or (lane.open is None and not lane.waiting)
            lost = None if lane is None or lane.current is None or not lane.current.is_lost else lane.current.id
            if is_free and lost != rollout.id and rollout.id in world.server._responses:
                found.append((user, rollout))
    return found


@action(_others)
def take_over(world: World, target: tuple[User, Rollout], choose: Choose) -> None:
    user, rollout = target
    user.responses.append(user.client.resume(rollout.id, rollout.response.stream_id))
    user.send()


# --- frames that no client core sends ---------------------------------------------------------------------------------


def _send_raw(world: World, user: User, response_id: str, items: list[Any]) -> str:
    frame = json.dumps({"type": "response.append", "response_id": response_id, "input": items, "n": world.number()})
    user.up.append(frame)
    return frame


def _repeatable(world: World) -> list[tuple[User, str, list[Any]]]:
    carried = {rollout.id: rollout.response.connection for rollout in world.live}
    return [
        (user, response_id, raw)
        for response_id, raw in world.accepted
        for user in world.linked
        if carried.get(response_id) is user.connection
    ]


@action(_repeatable)
def repeat(world: World, target: tuple[User, str, list[Any]], choose: Choose) -> None:
    """An append that was accepted comes again: as it was, without its messages, or with another one."""
    user, response_id, items = target
    outputs = [item for item in items if item["type"] == "function_call_output"]
    other = {"type": "message", "role": "user", "content": f"steer {world.number()}"}
    _send_raw(world, user, response_id, pick(choose, [items, outputs, [*outputs, other]]))


@action(lambda world: [each for each in world.born() if each[0].connection is not None])
def bad_append(world: World, target: tuple[User, ClientResponse], choose: Choose) -> None:
    user, response = target
    good = [_output(call_id, "ok") for call_id in response.pending_calls]
    known = world.rollouts[str(response.id)].answers.values()
    bad = [
        [*good, _output("nobody", "ok")],
        [*good, {"type": "message", "role": "assistant", "content": "I said so"}],
        [*good, {"role": "user", "content": "now"}, _output("nobody", "ok")],
        [*good, {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}],
        [*good, *({**item, "output": item["output"] + " or not"} for item in known), _output("nobody", "ok")],
        [],
        3,
    ]
    world.bad.add(_send_raw(world, user, str(response.id), pick(choose, bad)))  # type: ignore[arg-type]


def _output(call_id: str, text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


@action(lambda world: list(world.rollouts.values()))
def meddle(world: World, rollout: Rollout, choose: Choose) -> None:
    """Someone with other credentials, or on a connection that does not carry the Response."""
    stranger, bystander = world.others
    about = {"response_id": rollout.id, "input": [_output(call, "forged") for call in rollout.calls] or "hello"}
    kind = pick(choose, ["response.append", "response.cancel", "response.resume", "response.done"])
    error = world.ask(stranger, json.dumps({"type": kind, **about}))
    assert error["error"]["code"] == ("unknown_message_type" if kind == "response.done" else "response_not_found")
    error = world.ask(bystander, json.dumps({**about, "type": "response.append"}))
    ended = "response_already_completed" if rollout.id in world.server._responses else "response_not_found"
    assert error["error"]["code"] == ("response_detached" if rollout.is_open else ended)


# --- links ------------------------------------------------------------------------------------------------------------


@action(lambda world: [user for user in world.linked if user.up], weight=12)
def deliver_up(world: World, user: User, choose: Choose) -> None:
    world.push(user)


def _readers(world: World) -> list[User]:
    return [
        user for user in world.linked if user.connection and (len(user.connection._outbox) or user.connection.closing)
    ]


@action(_readers, weight=12)
def deliver_down(world: World, user: User, choose: Choose) -> None:
    for _ in range(choose(5) + 1):
        if user.connection is None or not world.pull(user):
            return


@action(lambda world: world.linked, weight=4)
def deliver_all(world: World, user: User, choose: Choose) -> None:
    world.settle(user)


@action(lambda world: world.linked, weight=2)
def drop(world: World, user: User, choose: Choose) -> None:
    """The server does not know yet, and the first of what was on its way may still arrive."""
    on_its_way = deque(list(user.up)[: choose(len(user.up) + 1)])
    world.zombies[user.disconnect()] = on_its_way


@action(lambda world: [connection for connection, frames in world.zombies.items() if frames], weight=4)
def arrive_late(world: World, connection: ServerConnection, choose: Choose) -> None:
    world.deliver(connection, world.zombies[connection].popleft())


@action(lambda world: list(world.zombies), weight=2)
def notice(world: World, connection: ServerConnection, choose: Choose) -> None:
    del world.zombies[connection]
    connection.lost(world.now)


@action(lambda world: [user for user in world.users if user.connection is None], weight=8)
def connect(world: World, user: User, choose: Choose) -> None:
    user.connect(world.now)


# --- the server's rollouts --------------------------------------------------------------------------------------------


@action(lambda world: world.creating, weight=12)
def begin(world: World, request: CreateRequested, choose: Choose) -> None:
    world.begin(request)


@action(lambda world: world.creating)
def refuse(world: World, request: CreateRequested, choose: Choose) -> None:
    world.creating.remove(request)
    world.server.reject(request, ModelNotFound("No such model.", param="model"), world.now)


@action(lambda world: [each for each in world.sampling if each.adding is None], weight=10)
def add_item(world: World, rollout: Rollout, choose: Choose) -> None:
    number = world.number()
    item: FunctionCall | OutputMessage
    if choose(3):
        item = FunctionCall(id=f"fc_{number}", call_id=f"c{number}", name="f", arguments="", status="in_progress")
    else:
        item = OutputMessage(id=f"msg_{number}", status="in_progress")
    index = len(rollout.items)
    world.emit(rollout.response, OutputItemAdded(output_index=index, item=item))
    rollout.adding = {"output_index": index, "item": item}


@action(lambda world: [each for each in world.sampling if each.adding is not None], weight=10)
def finish_item(world: World, rollout: Rollout, choose: Choose) -> None:
    assert rollout.adding is not None
    item = rollout.adding["item"]
    status = "completed" if choose(8) else "incomplete"
    if isinstance(item, FunctionCall):
        done: Any = msgspec.structs.replace(item, arguments="{}", status=status)
    else:
        done = msgspec.structs.replace(item, content=[OutputText("hello")], status=status)
    world.emit(rollout.response, OutputItemDone(output_index=rollout.adding["output_index"], item=done))
    rollout.adding = None


@action(lambda world: [each for each in world.sampling if each.adding is None and each.open], weight=10)
def pause(world: World, rollout: Rollout, choose: Choose) -> None:
    world.emit(rollout.response, rollout.response.pause())


@action(lambda world: [each for each in world.sampling if each.adding is None and not each.open])
def complete(world: World, rollout: Rollout, choose: Choose) -> None:
    world.end(rollout.response, "completed")


@action(lambda world: world.live if world.now > 100 else [])
def cut_short(world: World, rollout: Rollout, choose: Choose) -> None:
    status, reason = pick(choose, [("failed", None), ("incomplete", "max_output_tokens")])
    world.end(rollout.response, status, reason)


@action(lambda world: world.ending, weight=8)
def end(world: World, request: EndRequested, choose: Choose) -> None:
    world.ending.remove(request)
    world.end(request.response, request.status, request.reason)


# --- time -------------------------------------------------------------------------------------------------------------


@action(lambda world: [1.0, 20.0, 60.0, 110.0], weight=2)
def wait(world: World, seconds: float, choose: Choose) -> None:
    world.now += seconds
    world.server.advance_time(world.now)


@action(lambda world: [world] if world.server.next_deadline() is not None else [])
def wait_for_deadline(world: World, _: World, choose: Choose) -> None:
    deadline = world.server.next_deadline()
    assert deadline is not None
    world.now = max(world.now, deadline)
    world.server.advance_time(world.now)
