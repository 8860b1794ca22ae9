"""The engine's process dies: Responses go on, paused or not."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from caesura.protocol.events import ErrorEvent, OutputTextDelta, ResponseCompleted
from caesura.sampler.process_engine import ProcessEngine

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
LONG = "A text that is long enough to be in its middle when the engine's process dies.\n" * 30 + "The end."
TURNS = [{"text": "Let me see.", "calls": [{"name": "look", "arguments": {}}]}, {"text": LONG}]


def kill(peer: Any) -> int:
    pid: int = peer.service.engine.pid
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.parametrize("when", ["paused", "sampling"])
def test_a_response_outlives_the_engine(play: Any, when: str) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        if when == "paused":
            killed = kill(peer)
            await peer.answer(response)
        else:
            seen = len(peer.of(OutputTextDelta))
            await peer.answer(response)
            await peer.until(lambda: len(peer.of(OutputTextDelta)) > seen)
            killed = kill(peer)
        await peer.until_paused_or_ended(response)
        (event,) = peer.of(ResponseCompleted)
        assert event.response.output[-1].content[0].text == LONG
        tokens = event.response.caesura["tokens"]
        assert tokens["rebuilds"] == 1
        assert tokens["recomputed"] > 0
        assert peer.service.engine.pid != killed
        assert peer.of(ErrorEvent) == []

    play(scenario, TURNS, ctx=4096, kind=ProcessEngine, restart_delay=0.01)


def test_constraints_hold_in_the_engines_process(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(
            tools=[TOOL], tool_choice="required", temperature=2.0, seed=1, parallel_tool_calls=False
        )
        await peer.until_paused_or_ended(response)
        assert [call.name for call in response.pending_calls.values()] == ["look"]

    play(scenario, kind=ProcessEngine)
