"""A connection that is lost at any moment costs nothing: each event comes once, each tool runs once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from caesura.client import EventsLost, Reconnecting, Resumed, RunResult, ToolFinished, ToolStarted
from caesura.protocol.events import ResponseAppended, ResponseCompleted, ResponseEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BOUND = 10.0
SENT, RECEIVED, HANDLED = "sent", "received", "handled"
NUM_SENT, NUM_RECEIVED = 25, 3
"""Frames of the rollout below when nothing is lost and tools start at the pause."""


async def two_pauses(rollout: Any) -> None:
    await rollout.say("Two calls.")
    await rollout.call("double", '{"n":1}')
    await rollout.call("double", '{"n":2}')
    outputs = await rollout.pause()
    await rollout.say(" ".join(each.output for each in outputs))
    await rollout.call("double", '{"n":3}')
    (output,) = await rollout.pause()
    await rollout.say(f"and {output.output}")
    await rollout.complete()


@dataclass(frozen=True)
class Seen:
    """All that a run gave, and how often each tool ran."""

    events: list[Any]
    result: RunResult
    tool_runs: list[int]
    sent: int
    received: int

    @property
    def responses_events(self) -> list[ResponseEvent]:
        own = ToolStarted | ToolFinished | Reconnecting | Resumed | EventsLost
        return [event for event in self.events if not isinstance(event, own)]

    @property
    def story(self) -> list[Any]:
        """The events without their numbers, and without acknowledgements: an append that is repeated gets one more."""
        told = [event for event in self.responses_events if not isinstance(event, ResponseAppended)]
        return [msgspec.structs.replace(event, sequence_number=0) for event in told]

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def play(fake_server: Any, hasty_client: Any, cuts: Mapping[str, Iterable[int]], *, early_tools: bool) -> Seen:
    async def main() -> Seen:
        tool_runs: list[int] = []

        async def double(n: int) -> int:
            tool_runs.append(n)
            return 2 * n

        async with asyncio.timeout(BOUND), fake_server(two_pauses) as server:
            server.cuts = cuts
            async with hasty_client(server.url, max_reconnects=50) as client:
                stream = client.stream(input="go", tools=[double], early_tools=early_tools)
                events = [event async for event in stream]
            born = [rollout for rollout in server.rollouts if rollout.machine.id is not None]
            assert len(born) == 1  # a create that is repeated begins nothing anew
            appended = [json.loads(frame)["input"] for frame in server.frames if '"response.append"' in frame]
            outputs = {(item["call_id"], item["output"]) for items in appended for item in items}
            assert len(outputs) == 3  # an append that is repeated says the same
            return Seen(events, stream.result, tool_runs, server.counts[SENT], server.counts[RECEIVED])

    return asyncio.run(main())


@pytest.fixture(scope="module")
def undisturbed() -> dict[bool, Seen]:
    """By ``early_tools``; made by the first test that needs it."""
    return {}


def check(seen: Seen, expected: Seen) -> None:
    numbers = [event.sequence_number for event in seen.responses_events]
    assert numbers == list(range(len(numbers)))
    assert [type(event) for event in seen.story[-1:]] == [ResponseCompleted]
    assert (seen.result.output, seen.result.output_text) == (expected.result.output, "and 6")
    assert seen.result.usage == expected.result.usage
    assert sorted(seen.tool_runs) == [1, 2, 3]
    assert [call.output.text for call in sorted(seen.result.tool_calls, key=lambda call: call.call.call_id)] == [
        *("2", "4", "6")
    ]
    assert seen.result.reconnects == len(seen.of(Reconnecting))
    assert len(seen.of(Resumed)) <= seen.result.reconnects


def baseline(undisturbed: dict[bool, Seen], fake_server: Any, hasty_client: Any, early_tools: bool) -> Seen:
    if early_tools not in undisturbed:
        undisturbed[early_tools] = play(fake_server, hasty_client, {}, early_tools=early_tools)
    return undisturbed[early_tools]


@pytest.mark.requirement("client-resume", "client-retry", "client-events-once", "client-same-output")
@pytest.mark.parametrize(
    ("place", "number"),
    [
        *((SENT, number) for number in range(NUM_SENT)),
        *((RECEIVED, number) for number in range(NUM_RECEIVED)),
        *((HANDLED, number) for number in range(NUM_RECEIVED)),
    ],
)
def test_one_loss_anywhere(
    fake_server: Any, hasty_client: Any, undisturbed: dict[bool, Seen], place: str, number: int
) -> None:
    expected = baseline(undisturbed, fake_server, hasty_client, False)
    assert (expected.sent, expected.received) == (NUM_SENT, NUM_RECEIVED)  # so the numbers above are all there are
    assert expected.result.reconnects == 0
    seen = play(fake_server, hasty_client, {place: [number]}, early_tools=False)
    check(seen, expected)
    assert seen.result.reconnects == 1
    assert seen.story == expected.story
    assert [event.pause for event in seen.of(ToolStarted)] == [1, 1, 2]


@pytest.mark.requirement("client-resume", "client-retry", "client-events-once")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.fixed_dictionaries(
        {
            SENT: st.sets(st.integers(0, 2 * NUM_SENT), max_size=6),
            RECEIVED: st.sets(st.integers(0, 12), max_size=4),
            HANDLED: st.sets(st.integers(0, 12), max_size=4),
        }
    ),
    early_tools=st.booleans(),
)
def test_any_losses(
    fake_server: Any, hasty_client: Any, undisturbed: dict[bool, Seen], cuts: dict[str, set[int]], early_tools: bool
) -> None:
    expected = baseline(undisturbed, fake_server, hasty_client, early_tools)
    seen = play(fake_server, hasty_client, cuts, early_tools=early_tools)
    check(seen, expected)
    if not early_tools:
        assert seen.story == expected.story


@pytest.mark.parametrize("number", [0, 1, 5])
def test_what_the_user_is_told(fake_server: Any, hasty_client: Any, number: int) -> None:
    seen = play(fake_server, hasty_client, {SENT: [number]}, early_tools=False)
    (lost,), (resumed,) = seen.of(Reconnecting), seen.of(Resumed)
    assert lost.attempt == 1
    assert lost.delay >= 0
    assert "connection" in lost.reason
    assert seen.events.index(lost) == number  # what came before, and nothing else
    assert seen.events.index(resumed) == number + 1
    assert resumed.response_id == "resp_0"
    assert 0 < resumed.replayed < NUM_SENT
