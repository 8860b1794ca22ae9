"""The life of a Response, and what its pauses and its end say."""

from __future__ import annotations

import json
from itertools import pairwise

from .drivers import DONE, Call, Turn, calls
from .events import mapping, response_of, usage_of
from .outcome import NotTestable, Violation
from .rollout import Rollout
from .server_case import ServerCase, check, open_call, two_calls

MANY = 12


async def _three_pauses(case: ServerCase) -> Rollout:
    """A completed Response with text and calls in several turns."""
    peer = await case.connect()
    rollout = await case.paused(
        peer, calls("a", "b", text="First."), calls("a", text="Second."), calls("b"), Turn("Done.")
    )
    await rollout.answer(*rollout.log.open_calls)
    await rollout.finish()
    return rollout


@check("preinference-once", "postinference-once")
async def counts_of_the_server(case: ServerCase) -> None:
    """What a server tells of itself in the final Response: both ran once, and no token was computed twice."""
    rollout = await _three_pauses(case)
    counted = response_of(rollout.log.terminal or {}).get("caesura")
    if not isinstance(counted, dict):
        raise NotTestable("it can be seen inside the server only, and this one does not tell it in `caesura`")
    for stage in ("preinference", "postinference"):
        if counted.get(f"{stage}_runs") != 1:
            raise Violation(f"{stage}-once", f"{stage}_runs is {counted.get(f'{stage}_runs')!r}")
    recomputed = mapping(counted.get("tokens")).get("recomputed")
    if recomputed != 0:
        raise Violation("preinference-once", f"tokens.recomputed is {recomputed!r}")


@check("created-first", "sequence-numbers", "output-index", "event-order", "final-output")
async def life_of_a_response(case: ServerCase) -> None:
    """Every rule about the order and the numbers of events, over a Response with several pauses."""
    rollout = await _three_pauses(case)
    if rollout.log.events[0].get("type") != "response.created":
        raise Violation("created-first", f"the first event was {rollout.log.events[0].get('type')}")
    numbers = [event.get("sequence_number") for event in rollout.log.events]
    if numbers != list(range(len(numbers))):
        raise Violation("sequence-numbers", f"they are {numbers}")
    added = [event.get("output_index") for event in rollout.log.events if event["type"] == "response.output_item.added"]
    if added != list(range(len(added))):
        raise Violation("output-index", f"items were added at {added}")
    final = response_of(rollout.log.terminal or {}).get("output")
    if final != rollout.log.done_items:
        raise Violation("final-output", f"{len(rollout.log.done_items)} items were done, and the output is {final}")
    await case.fence(rollout.peer)


@check("usage-cumulative")
async def usage_counts_each_token_once(case: ServerCase) -> None:
    """Equal turns with equal outputs add equal counts, and fewer than a pause before has in all; a longer call with the
    same output adds no more to the input."""
    peer = await case.connect()
    padding = "Speak. " * 40
    turns = [*[calls(Call("a", text="same"))] * 3, calls(Call("a", text="much longer " * 8)), DONE]
    rollout = await case.paused(peer, *turns, instructions=padding)
    counts = [usage_of(rollout.log.pauses[-1])]
    for _ in range(3):
        await rollout.answer(open_call(rollout))
        event = await rollout.until("response.done", "response.completed")
        counts.append(usage_of(event))
        if event["type"] == "response.completed":
            break
    grown = [{name: after[name] - before[name] for name in before} for before, after in pairwise(counts)]
    for name in ("input_tokens", "output_tokens"):
        if any(each[name] <= 0 for each in grown):
            raise Violation("usage-cumulative", f"{name} does not count the turns after the first: {counts}")
    if any(each["input_tokens"] >= counts[0]["input_tokens"] for each in grown):
        raise Violation("usage-cumulative", f"a short output added as many input_tokens as the whole prompt: {counts}")
    if case.driver.exact and grown[0] != grown[1]:
        raise Violation("usage-cumulative", f"equal turns added different counts: {grown}")
    if case.driver.exact and grown[2]["input_tokens"] != grown[0]["input_tokens"]:
        raise Violation("usage-cumulative", f"a longer call, with the same output, added more input_tokens: {grown}")


@check("done-fields", "done-required-input", "done-segment")
async def what_a_pause_says(case: ServerCase) -> None:
    """``response.done`` at two pauses: its fields, the calls that it asks for, and the items since the pause before."""
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a", "b", text="First."), calls("a"), DONE)
    first = response_of(rollout.log.pauses[-1])
    if [each.get("call_id") for each in first["required_input"]] != [call["call_id"] for call in rollout.log.calls]:
        raise Violation("done-required-input", f"it is {first['required_input']}")
    if {item["id"] for item in first["output"]} != {item["id"] for item in rollout.log.done_items}:
        raise Violation("done-segment", f"it has {len(first['output'])} items")
    before = {item["id"] for item in rollout.log.done_items}
    await rollout.answer(*rollout.log.open_calls)
    second = response_of(await rollout.pause())
    again = [item for item in second["output"] if item["id"] in before]
    if again:
        raise Violation("done-segment", f"the second pause repeats {len(again)} items of the first")
    if len(second["required_input"]) != len(rollout.log.open_calls):
        raise Violation("done-required-input", f"it is {second['required_input']}")


@check("done-silence")
async def nothing_comes_in_a_pause(case: ServerCase) -> None:
    """In a pause nothing comes, nor after an append that leaves a call open, but its acknowledgement."""
    peer = await case.connect()
    rollout = await case.paused(peer, *two_calls(DONE))
    a, _ = rollout.log.open_calls[:2]
    came = await case.silence(peer)
    if came:
        raise Violation("done-silence", f"{came[0].type} came in a pause")
    await rollout.answer(a)
    await rollout.until("response.appended", requirement="append-ack")
    came = await case.silence(peer)
    if came:
        raise Violation("done-silence", f"{came[0].type} came after an append that left a call open")


@check("done-size")
async def pauses_do_not_grow(case: ServerCase) -> None:
    """The last of many pauses is as short as the second."""
    peer = await case.connect()
    rollout = await case.paused(peer, *[calls("a")] * MANY, DONE)
    sizes: list[int] = []
    while rollout.log.is_paused and len(sizes) < MANY:
        sizes.append(len(json.dumps(rollout.log.pauses[-1])))
        await rollout.answer(open_call(rollout))
        await rollout.until("response.done", "response.completed")
    if len(sizes) < 4:
        raise NotTestable(f"the model made {len(sizes)} pauses only")
    # Counts get digits, and what a free model says differs a little.
    if max(sizes[2:]) > sizes[1] * (1.2 if case.driver.exact else 2.0) + 64:
        raise Violation("done-size", f"the bytes of response.done are {sizes}")
