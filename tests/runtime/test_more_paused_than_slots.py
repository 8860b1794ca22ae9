"""More Responses open than the KV cache has slots: all go on, and what that costs is reported."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.events import ErrorEvent, ResponseCompleted
from caesura.sampler.memory_plan import MemoryPlan

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
LOOK = {"calls": [{"name": "look", "arguments": {}}]}
TURNS = [LOOK, LOOK, LOOK, {"text": "All seen."}]
LANES = 12


async def all_at_once(peer: Any) -> list[dict[str, Any]]:
    """Every lane pauses, then all are answered, turn by turn. Returns the lanes' reports."""
    lanes = [
        await peer.create(tools=[TOOL], input=f"{number} is my number", stream_id=f"lane{number}")
        for number in range(LANES)
    ]
    while not all(lane.has_ended for lane in lanes):
        await asyncio.gather(*(peer.until_paused_or_ended(lane) for lane in lanes))
        for lane in lanes:
            if lane.is_paused:
                await peer.answer(lane, f"an output for {lane.stream_id}, some words long")
    assert peer.of(ErrorEvent) == []
    assert peer.num_pauses == 3 * LANES
    return [event.response.caesura for event in peer.of(ResponseCompleted)]


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_swapped_out_and_in_without_recomputation(play: Any, tmp_path: Path, where: str) -> None:
    plan = MemoryPlan(2**26) if where == "memory" else MemoryPlan(1, tmp_path, 2**28)

    async def scenario(peer: Any) -> None:
        reports = await all_at_once(peer)
        assert len(reports) == LANES
        for report in reports:
            assert (report["tokens"]["recomputed"], report["tokens"]["rebuilds"]) == (0, 0)

    play(scenario, TURNS, ctx=1024, sequences=2, max_sequences=LANES, plan=plan)


def test_without_swap_they_are_rebuilt(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        reports = await all_at_once(peer)
        assert len(reports) == LANES
        rebuilt = [report["tokens"] for report in reports if report["tokens"]["rebuilds"]]
        assert len(rebuilt) >= LANES - 2
        assert all(tokens["recomputed"] > 0 for tokens in rebuilt)

    play(scenario, TURNS, ctx=1024, sequences=2, max_sequences=LANES, plan=MemoryPlan(0), share_prefixes=False)


def test_what_begins_alike_is_copied_and_counts_as_cached(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        for lane in ("one", "two"):
            response = await peer.create(tools=[TOOL], instructions="Be brief. " * 20, stream_id=lane)
            await peer.finish(response)
        first, second = [event.response for event in peer.of(ResponseCompleted)]
        assert first.caesura["tokens"]["copied"] == first.usage.input_tokens_details.cached_tokens == 0
        copied = second.caesura["tokens"]["copied"]
        assert 0 < copied <= second.usage.input_tokens
        assert second.usage.input_tokens_details.cached_tokens == copied

    play(scenario, TURNS)
