"""``openai-agents`` over HTTP and over WebSocket: agents with local tools. Tracing is off: it would call out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIProvider,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
    responses_websocket_session,
)
from local_tools import INSTRUCTIONS, TASK, LocalTools
from openai import AsyncOpenAI

SECONDS = 60

Transport = Callable[[], Any]


def agent(model: str, tools: LocalTools, instructions: str | None = None) -> Agent[Any]:
    def noted(name: str, function: Callable[..., str]) -> Any:
        """The function as it is for whoever reads its signature, and a note of every call."""
        tool = function_tool(function)
        invoke = tool.on_invoke_tool

        async def invoke_and_note(context: Any, arguments: str) -> Any:
            tools.note(name, arguments)
            return await invoke(context, arguments)

        tool.on_invoke_tool = invoke_and_note
        return tool

    return Agent(
        name="helper",
        instructions=instructions,
        model=model,
        model_settings=ModelSettings(temperature=0.0),
        tools=[noted(name, function) for name, function in tools.functions.items()],
    )


@pytest.fixture(params=["http", "websocket"])
def transport(request: pytest.FixtureRequest, served: Any) -> Transport:
    """``async with transport() as run_config`` for ``Runner``."""

    @asynccontextmanager
    async def over_http() -> AsyncIterator[RunConfig]:
        async with AsyncOpenAI(base_url=served.url, api_key="sk-none", timeout=30, max_retries=0) as client:
            provider = OpenAIProvider(openai_client=client, use_responses=True)
            yield RunConfig(model_provider=provider, tracing_disabled=True)

    @asynccontextmanager
    async def over_websocket() -> AsyncIterator[RunConfig]:
        async with responses_websocket_session(base_url=served.url, api_key="sk-none") as session:
            session.run_config.tracing_disabled = True
            yield session.run_config

    return {"http": over_http, "websocket": over_websocket}[str(request.param)]


def play(scenario: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, SECONDS))


@pytest.mark.parametrize("by_id", [False, True])
def test_loop(transport: Transport, model: str, repair: LocalTools, by_id: bool) -> None:
    async def run() -> Any:
        async with transport() as config:
            return await Runner.run(
                agent(model, repair, INSTRUCTIONS),
                TASK,
                run_config=config,
                max_turns=30,
                auto_previous_response_id=by_id,
            )

    result = play(run())
    repair.assert_repaired()
    assert result.final_output
    usage = result.context_wrapper.usage
    assert usage.requests == len(result.raw_responses)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.output_tokens == sum(each.usage.output_tokens for each in result.raw_responses) > 0
    assert len({each.response_id for each in result.raw_responses}) == len(result.raw_responses)


def test_streamed_loop(transport: Transport, model: str, tools: LocalTools) -> None:
    async def run() -> tuple[str, list[str]]:
        async with transport() as config:
            streamed = Runner.run_streamed(agent(model, tools), "What is 123 * 45?", run_config=config)
            kinds = [event.name async for event in streamed.stream_events() if event.type == "run_item_stream_event"]
            return streamed.final_output, kinds

    text, kinds = play(run())
    assert "5535" in text
    assert kinds == ["tool_called", "tool_output", "message_output_created"]
    assert tools.calls == [("calculate", {"expression": "123 * 45"})]


def test_session(transport: Transport, model: str, tools: LocalTools) -> None:
    """Several turns of a user; the session keeps the items and sends them all again."""

    async def run() -> list[str]:
        texts = []
        session = SQLiteSession("turns")
        async with transport() as config:
            for question in ("What is 123 * 45?", "What is 99 + 77?"):
                result = await Runner.run(agent(model, tools), question, run_config=config, session=session)
                texts.append(result.final_output)
        session.close()
        return texts

    first, second = play(run())
    assert "5535" in first
    assert "176" in second
    assert [arguments["expression"] for _, arguments in tools.calls] == ["123 * 45", "99 + 77"]
