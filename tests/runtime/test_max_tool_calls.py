"""``max_tool_calls`` bounds what is carried out; ``tool_choice`` none carries out nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from caesura.protocol.events import ErrorEvent, OutputItemDone, ResponseCompleted, ResponseIncomplete
from caesura.protocol.items import FunctionCall, HostedCall, OutputMessage
from caesura.runtime.pending import Call, HostedTools

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
CALCULATE = {"type": "caesura:calculate"}
LOOK = {"name": "look", "arguments": {}}
REFUSED = "the limit of 1 tool calls is reached"


def calculate(expression: str) -> dict[str, Any]:
    return {"name": "calculate", "arguments": {"expression": expression}}


def text_of(peer: Any, ledger: Any) -> str:
    text: str = peer.service.model.vocab.decode(ledger.tokens)
    return text


def test_calls_over_the_bound_are_answered_at_once(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        response = await peer.create(tools=[TOOL], max_tool_calls=1)
        await peer.until_paused_or_ended(response)
        assert len(response.pending_calls) == 1
        await peer.answer(response, "seen")
        await peer.until_paused_or_ended(response)
        (event,) = peer.of(ResponseCompleted)
        asked, refused, message = event.response.output
        assert isinstance(refused, FunctionCall)
        assert isinstance(message, OutputMessage)
        assert (asked.status, refused.status) == ("completed", "incomplete")
        assert event.response.caesura["tool_calls"] == 1
        assert event.response.caesura["pauses"] == 1
        text = text_of(peer, ledgers[0])
        assert text.index("seen") < text.index(REFUSED)
        assert peer.of(ErrorEvent) == []

    play(scenario, [{"calls": [LOOK, LOOK]}, {"text": "Enough."}])


def test_a_model_that_goes_on_calling_is_cut(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        response = await peer.create(tools=[TOOL], max_tool_calls=1)
        await peer.finish(response)
        (event,) = peer.of(ResponseIncomplete)
        assert event.response.incomplete_details == {"reason": "max_tool_calls"}
        assert [item.status for item in event.response.output] == ["completed", "incomplete", "incomplete"]
        assert peer.num_pauses == 1
        assert text_of(peer, ledgers[0]).count(REFUSED) == 1

    play(scenario, [{"calls": [LOOK]}] * 5)


def test_hosted_calls_count_too(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL, CALCULATE], max_tool_calls=1)
        await peer.until_paused_or_ended(response)
        (event,) = peer.of(ResponseCompleted)
        first, second, look, _ = event.response.output
        assert isinstance(second, HostedCall)
        assert (first.output, first.status) == ("3", "completed")
        assert (second.status, look.status) == ("incomplete", "incomplete")
        assert REFUSED in str(second.output)
        assert peer.num_pauses == 0
        assert {item.id for item in event.response.output} == {event.item.id for event in peer.of(OutputItemDone)}

    play(scenario, [{"calls": [calculate("1+2"), calculate("3+4"), LOOK]}, {"text": "ok"}])


def test_without_tools_nothing_is_carried_out(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL, CALCULATE], tool_choice="none")
        await peer.until_paused_or_ended(response)
        (event,) = peer.of(ResponseCompleted)
        assert [item.status for item in event.response.output] == ["incomplete", "completed"]
        assert event.response.caesura["tool_calls"] == 0

    play(scenario, [{"calls": [LOOK]}, {"text": "ok"}])


def test_an_output_beside_a_refused_call_has_to_fit(play: Any) -> None:
    """The room that the refusal takes is counted before the append is accepted."""

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL], max_tool_calls=1)
        await peer.until_paused_or_ended(response)
        await peer.answer(response, "far too long " * 600)
        await peer.until(lambda: bool(peer.of(ErrorEvent)))
        assert peer.error.error.code == "context_length_exceeded"
        await peer.answer(response, "short")
        await peer.until_paused_or_ended(response)
        assert len(peer.of(ResponseCompleted)) == 1

    play(scenario, [{"calls": [LOOK, LOOK]}, {"text": "ok"}], ctx=1024)


@pytest.mark.parametrize(
    "arguments",
    [
        '{"expression": ' + "9" * 5000 + "}",
        "[" * 100_000 + "]" * 100_000,
        '{"expression": "1+',
        '{"expression": NaN}',
        '{"expression": 1e999}',
        "3",
        "",
    ],
    ids=lambda arguments: arguments[:20],
)
def test_arguments_that_python_can_not_read(play: Any, arguments: str) -> None:
    """The tool's output says so, and the rollout goes on."""

    async def scenario(peer: Any) -> None:
        tools = HostedTools(lambda _: None, SimpleNamespace(service=peer.service, let_in=lambda _, output: output))  # type: ignore[arg-type]
        output = await tools.begin(Call(HostedCall(call_id="c", name="calculate", arguments=arguments), 0))
        assert output.startswith("Error: ")

    play(scenario)
