"""Lanes: their names, and what runs on them one after the other or side by side."""

from __future__ import annotations

from .drivers import DONE, LONG_TEXT, LONG_TEXT_AND_CALL, Turn, calls
from .events import TERMINAL, Event, mapping, response_of
from .outcome import CheckFailed, NotTestable, Violation
from .peer import Frame
from .response_log import ResponseLog
from .rollout import Rollout
from .server_case import ServerCase, check, open_call
from .server_peer import ServerPeer

BAD_NAMES = ("", "a b", "a/b", "ä", "a\n", "x" * 257)


@check("lane-name")
async def bad_lane_names(case: ServerCase) -> None:
    """Names with other characters, none at all, or too many are refused; the longest good one is not."""
    peer = await case.connect()
    for name in BAD_NAMES:
        await peer.send(case.create([DONE], stream_id=name))
        await peer.refusal("invalid_stream_id", "lane-name")
    good = "AZaz09_.-" + "x" * 247
    await (await case.begin(peer, DONE, stream_id=good, requirement="lane-name")).finish(requirement="lane-name")


@check("lane-limit", needs=["max_named_lanes"])
async def one_name_too_many(case: ServerCase) -> None:
    """As many names as allowed work, one more is refused, and those before it still work, as does the default lane."""
    peer = await case.connect()
    bound = case.settings.count("max_named_lanes")
    for number in range(bound):
        rollout = await case.begin(
            peer, DONE, stream_id=f"lane-{number}", max_output_tokens=32, requirement="lane-limit"
        )
        await rollout.end()
    await peer.send(case.create([DONE], stream_id="one-too-many"))
    await peer.refusal("websocket_stream_limit_reached", "lane-limit")
    for fields in ({"stream_id": "lane-0"}, {}):
        rollout = await case.begin(peer, DONE, max_output_tokens=32, requirement="lane-limit", **fields)
        await rollout.end()


@check("lane-echo", "lane-default")
async def events_name_their_lane(case: ServerCase) -> None:
    """Every event of a Response on a named lane has its ``stream_id``, and no event on the default lane has one."""
    peer = await case.connect()
    named = await case.paused(peer, calls("a", "b"), DONE, stream_id="one")
    default = await case.paused(peer, calls("a", "b"), DONE)
    for rollout in (default, named):
        await rollout.answer(open_call(rollout))
        await rollout.until("response.appended", requirement="append-ack")
        await rollout.answer(open_call(rollout))
        await rollout.finish()
        named_so = {} if rollout.lane is None else {"stream_id": rollout.lane}
        wrong = [event for event in rollout.log.events if _lane_of(event) != named_so]
        if wrong:
            text = f"{wrong[0]['type']} has stream_id {wrong[0].get('stream_id')!r} on lane {rollout.lane!r}"
            raise Violation("lane-default" if rollout.lane is None else "lane-echo", text)


def _lane_of(event: Event) -> Event:
    """Its ``stream_id``, if it has one, be it null."""
    return {name: value for name, value in event.items() if name == "stream_id"}


@check("lane-order")
async def creates_of_a_lane_wait(case: ServerCase) -> None:
    """Three creates at once on one lane: each begins after the end of the one before, in their order."""
    peer = await case.connect()
    start = len(peer.frames)
    texts = [Turn(f"{word} " * 60) for word in ("one", "two", "three")]
    for number, turn in enumerate(texts):
        await peer.send(case.create([turn], stream_id="lane", metadata={"place": str(number)}))
    ended: list[ResponseLog] = []

    def test(frame: Frame) -> bool | None:
        peer.raise_unexpected(frame, "the end of three Responses")
        if frame.type in TERMINAL:
            ended.append(case.log(str(peer.response_id(frame))))
        return len(ended) == len(texts) or None

    # That none begins before the end of the one before is watched by the observer.
    await peer.wait(test, "the end of three Responses", after=start)
    places = [mapping(response_of(log.events[0]).get("metadata")).get("place") for log in ended]
    said = [_text(log) for log in ended]
    if places != ["0", "1", "2"] and any(place is not None for place in places):
        raise Violation("lane-order", f"they ended in the order {places}")
    if case.driver.exact and said != [turn.text.strip() for turn in texts]:
        raise Violation("lane-order", f"they said {[text[:20] for text in said]}")


def _text(log: ResponseLog) -> str:
    parts = [part for item in log.done_items for part in item.get("content") or []]
    return "".join(str(part.get("text")) for part in parts).strip()


@check("lane-concurrent")
async def lanes_beside_each_other(case: ServerCase) -> None:
    """While one lane samples a long text, a create on another begins and ends; a pause holds up no other lane."""
    peer = await case.connect()
    paused = await case.paused(peer, calls("a"), DONE, stream_id="paused")
    for _ in range(case.driver.attempts):
        long = await case.begin(peer, LONG_TEXT, stream_id="long")
        short = await case.begin(peer, DONE, stream_id="short", requirement="lane-concurrent")
        await short.finish(requirement="lane-concurrent")
        beside = long.log.terminal is None
        await long.finish()
        if beside:
            break
    else:
        raise Violation("lane-concurrent", "a short Response never ended before a long one that began just before it")
    await paused.answer(open_call(paused))
    await paused.finish(requirement="lane-concurrent")


@check("lane-sampling", needs=["max_sampling", "max_named_lanes"])
async def bound_on_sampling(case: ServerCase) -> None:
    """More creates at once, on lanes of their own, than may be sampled: the rest wait until another pauses or ends. All
    pause in the end, so those that are paused do not count."""
    bound = case.settings.count("max_sampling")
    num = min(bound + bound // 2 + 1, case.settings.count("max_named_lanes"))
    if num <= bound:
        raise CheckFailed(f"{num} lanes are too few to reach {bound} Responses that sample")
    for _ in range(case.driver.attempts):
        most = await _most_sampled(case, num)
        if most > bound:
            raise Violation("lane-sampling", f"{most} Responses were sampled at once, and the bound is {bound}")
        if most == bound:
            return
    raise CheckFailed(f"no more than {most} Responses were sampled at once; if that is the bound, declare max_sampling")


async def _most_sampled(case: ServerCase, num: int) -> int:
    """So many creates at once: how many of them are sampled at once, until all have paused."""
    peer = await case.connect()
    for number in range(num):
        await peer.send(case.create((calls("a", text="the " * 80), DONE), stream_id=f"lane-{number}"))
    sampling: set[str] = set()
    paused: set[str] = set()
    most = 0

    def test(frame: Frame) -> int | None:
        nonlocal most
        peer.raise_unexpected(frame, "the pauses of all")
        response_id = str(peer.response_id(frame))
        if frame.type == "response.created":
            sampling.add(response_id)
            most = max(most, len(sampling))
        elif frame.type in ("response.done", *TERMINAL):
            sampling.discard(response_id)
            paused.add(response_id)
        return most if len(paused) == num else None

    return await peer.wait(test, f"a pause of all {num} Responses")


@check("supersede")
async def create_on_a_paused_lane(case: ServerCase) -> None:
    """A new create on the lane of a paused Response ends that first, and begins then; on each kind of lane."""
    peer = await case.connect()
    fields: dict[str, str]
    for fields in ({}, {"stream_id": "one"}):
        old = await case.paused(peer, calls("a"), DONE, **fields)
        start = len(peer.frames)
        new = await case.begin(peer, DONE, requirement="supersede", **fields)
        await new.finish(requirement="supersede")
        await _superseded(peer, old, new, start)


@check("supersede")
async def create_that_waits_for_a_pause(case: ServerCase) -> None:
    """A create on a lane that samples waits until the Response there pauses, and ends it then."""
    for _ in range(case.driver.attempts):
        peer = await case.connect()
        old = await case.begin(peer, LONG_TEXT_AND_CALL, DONE)
        await old.until("response.output_text.delta", "response.output_item.added")
        was_paused, start = old.log.is_paused, len(peer.frames)
        await peer.send(case.create([DONE]))
        await old.pause(requirement="supersede")
        new = await case.created(peer, after=start, requirement="supersede")
        await new.finish(requirement="supersede")
        await _superseded(peer, old, new, start)
        if not was_paused:
            return
    raise NotTestable("the model made its call each time before the create was sent; a slower one would show it")


async def _superseded(peer: ServerPeer, old: Rollout, new: Rollout, start: int) -> None:
    came = [frame.type for frame in peer.frames[start:] if frame.type in ("response.created", "response.cancelled")]
    if came != ["response.cancelled", "response.created"]:
        raise Violation("supersede", f"{' and '.join(came)} came, and not response.cancelled and response.created")
    reason = mapping(response_of(old.log.terminal or {}).get("incomplete_details")).get("reason")
    if reason != "superseded":
        raise Violation("supersede", f"the reason is {reason!r}")
    if new.id == old.id:
        raise Violation("supersede", "the new Response has the id of the old one")


@check("supersede-rejected")
async def bad_create_on_a_paused_lane(case: ServerCase) -> None:
    """A create that is refused, for an unknown model or a bad value, leaves the paused one to be answered."""
    peer = await case.connect()
    rollout = await case.paused(peer, calls("a"), DONE)
    last = rollout.log.last
    for fields in (
        {"model": "no-such-model-here"},
        {"input": 5},
        {"temperature": "hot"},
        {"tools": [{"type": "function"}]},
    ):
        await peer.send({**case.create([DONE]), **fields})
        await peer.error(f"an error for {fields}", requirement="supersede-rejected")
    await case.fence(peer)
    if rollout.log.last != last:
        raise Violation("supersede-rejected", "an event of the Response came after creates that were refused")
    await rollout.answer(open_call(rollout))
    await rollout.finish(requirement="supersede-rejected")
