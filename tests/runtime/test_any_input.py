"""Whatever a client sends, its session answers or handles it, and the next good rollout works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from caesura.protocol.modes import APPEND, WEBSOCKET, Mode
from caesura.runtime.compaction import encode_summary
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.session import Session
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model
from caesura.sampler.replay import ReplayScript
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={
        "properties": st.dictionaries(st.sampled_from("xy"), JSON | st.just({"type": "integer"}), max_size=2),
        "required": st.lists(st.sampled_from("xyz"), max_size=2),
        "additionalProperties": JSON,
        "not": JSON,
    },
)
CHOICES = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "allowed_tools", "caesura:calculate", "custom", "x"])},
    optional={"name": st.sampled_from(["a", "z"]), "mode": st.sampled_from(["auto", "required"]), "tools": JSON},
)
FORMATS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "json_object", "json_schema", "x"])},
    optional={"name": st.just("n"), "schema": SCHEMAS | JSON, "strict": st.booleans()},
)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["function", "caesura:calculate", "web_search", "mcp", "caesura:x"])},
        optional={
            "function": st.fixed_dictionaries({"name": st.sampled_from(["a", ""])}, optional={"parameters": SCHEMAS}),
            "name": st.sampled_from(["a", "b", ""]),
            "parameters": SCHEMAS | JSON,
            "description": st.text(max_size=5),
            "strict": st.booleans(),
        },
    ),
    max_size=3,
)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                [
                    *("message", "function_call", "function_call_output", "reasoning", "item_reference", "compaction"),
                    *("custom_tool_call", "mcp_call", "web_search_call", "x"),
                ]
            )
        },
        optional={
            "id": st.sampled_from(["a", "b"]) | JSON,
            "encrypted_content": st.sampled_from(["caesura1.", encode_summary("They went home.")]),
            "input": JSON,
            "role": st.sampled_from(["user", "assistant", "system", "x"]),
            "content": st.text(max_size=10) | JSON,
            "call_id": st.sampled_from(["a", "b"]),
            "name": st.sampled_from(["f", "g"]),
            "arguments": st.sampled_from(["{}", "{", '{"a": 1}']),
            "output": st.text(max_size=10) | JSON,
        },
    ),
    max_size=4,
)
LAST = "the last Response's id"
CREATES = st.fixed_dictionaries(
    {"type": st.just("response.create"), "model": st.sampled_from(["test", "nope"]), "input": ITEMS | st.text() | JSON},
    optional={
        "tools": TOOLS | JSON,
        "instructions": st.text(max_size=10),
        "temperature": st.floats() | st.integers(),
        "top_k": st.integers(),
        "seed": st.integers(),
        "max_output_tokens": st.integers(-1, 4),
        "max_tool_calls": st.integers(-1, 2),
        "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=3),
        "top_logprobs": st.integers(-1, 21),
        "presence_penalty": st.floats() | st.integers(-2, 2),
        "tool_choice": st.sampled_from(["auto", "none", "required"]) | CHOICES | JSON,
        "parallel_tool_calls": st.booleans(),
        "text": st.fixed_dictionaries({"format": FORMATS | JSON}) | JSON,
        "include": st.lists(st.sampled_from(["message.output_text.logprobs", "x"]) | JSON, max_size=2),
        "stream_id": st.sampled_from(["a", "b", ""]),
        "truncation": st.sampled_from(["auto", "disabled", "x"]) | JSON,
        "metadata": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=17) | JSON,
        "reasoning": st.fixed_dictionaries({"effort": st.sampled_from(["low", None]) | JSON}) | JSON,
        "caesura": st.fixed_dictionaries({"prefix_reuse": st.booleans() | JSON}) | JSON,
        "user": st.text(max_size=3) | JSON,
        "store": st.booleans() | JSON,
        "generate": st.booleans() | JSON,
        "background": st.booleans() | JSON,
        "previous_response_id": st.just(LAST) | st.sampled_from(["resp_none", ""]) | JSON,
    },
)
APPENDS = st.fixed_dictionaries({"type": st.just("response.append"), "input": ITEMS | JSON})
FRAMES = st.binary(max_size=8) | st.text(max_size=20) | (CREATES | APPENDS | JSON).map(json.dumps)


@pytest.mark.parametrize("mode", [APPEND, WEBSOCKET])
def test_any_frames(model: Model, script: Callable[[Sequence[dict[str, Any]]], ReplayScript], mode: Mode) -> None:
    replay = script([{"calls": [{"name": "a", "arguments": {}}]}, {"text": "ok"}])
    with asyncio.Runner() as runner:
        engine = LlamaEngine(model, context_length=512, sequences=2, max_sequences=2)
        service = Service(model, engine, frozenset({"test"}), replay)

        @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(FRAMES, max_size=6))
        def check(frames: list[str | bytes]) -> None:
            runner.run(exchange(service, frames, mode))

        check()
        runner.run(engine.close())


async def exchange(service: Service, frames: list[str | bytes], mode: Mode) -> None:
    sent: list[dict[str, Any]] = []
    ended = asyncio.Event()

    async def send(text: str) -> None:
        sent.append(json.loads(text))
        ended.set()

    async def close(code: int, reason: str) -> None:
        raise AssertionError(f"closed: {code} {reason}")

    rollouts = Rollouts(service)
    session = Session(rollouts, send, close, mode=mode)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    for frame in frames:
        if isinstance(frame, str) and LAST in frame:
            # In WebSocket mode every Response ends by itself: there is one to go on from when the next frame comes.
            if not mode.pauses:
                await asyncio.gather(*(running.task for running in rollouts._running.values()))
            known = [event["response"]["id"] for event in sent if event["type"] == "response.completed"]
            frame = frame.replace(LAST, known[-1] if known else "resp_none")
        session.receive(frame)
    good = {"type": "response.create", "model": "test", "input": "hi", "stream_id": "good"}
    session.receive(json.dumps(good))
    async with asyncio.timeout(20):
        while not any(done(event) for event in sent):
            ended.clear()
            await ended.wait()
    await session.disconnect()
    await rollouts.close()
    assert failures == []
    assert all(event["error"]["code"] != "server_error" for event in sent if event["type"] == "error")


def done(event: dict[str, Any]) -> bool:
    """The good Response has come to its call, or was told that the server is full."""
    if event.get("stream_id") != "good":
        return False
    is_full = event.get("error", {}).get("code") == "server_overloaded"
    return is_full or event["type"] in ("response.done", "response.completed")
