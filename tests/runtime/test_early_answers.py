"""Outputs that come while the model still samples, failed outputs, and messages that steer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from caesura.protocol.events import (
    ErrorEvent,
    FunctionCallArgumentsDelta,
    OutputItemDone,
    ResponseAppended,
    ResponseCompleted,
    ResponseDone,
    ResponseIncomplete,
)
from caesura.protocol.items import FunctionCall, FunctionCallOutput, InputMessage

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
HOSTED = {"name": "calculate", "arguments": {"expression": "1" + " + 1" * 150}}
LONG = "a long argument that takes a while to sample " * 12


def turn(*arguments: str) -> dict[str, Any]:
    return {"calls": [{"name": "look", "arguments": {"at": argument}} for argument in arguments]}


def calls_done(peer: Any) -> Sequence[str]:
    """The calls whose items have come, in order."""
    items = [event.item for event in peer.of(OutputItemDone)]
    return [item.call_id for item in items if isinstance(item, FunctionCall)]


async def answer_first_while_the_next_is_sampled(peer: Any, response: Any, text: str = "first") -> str:
    """Answer the turn's first call in the middle of the second one's arguments; its ``call_id``."""
    await peer.until(lambda: bool(calls_done(peer)))
    (first,) = calls_done(peer)
    await peer.append(response, FunctionCallOutput(call_id=first, output=text))
    return str(first)


@pytest.mark.requirement("append-early", "append-ack", "append-ack-numbered", "append-order")
def test_a_call_may_be_answered_while_the_next_one_is_sampled(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        response = await peer.create(tools=[TOOL])
        first = await answer_first_while_the_next_is_sampled(peer, response)
        await peer.until_paused_or_ended(response)
        (acknowledged,) = peer.of(ResponseAppended)
        assert (acknowledged.answered, acknowledged.pending) == ([first], [])
        deltas = peer.of(FunctionCallArgumentsDelta)
        assert acknowledged.sequence_number < deltas[-1].sequence_number
        (second,) = [call.call_id for call in response.open_calls]
        (done,) = peer.of(ResponseDone)
        assert [asked.call_id for asked in done.response.required_input] == [second]
        assert [item.call_id for item in done.response.output] == [first, second]
        await peer.answer(response, "second")
        await peer.until_paused_or_ended(response)
        assert len(peer.of(ResponseCompleted)) == 1
        text = peer.service.model.vocab.decode(ledgers[0].tokens)
        assert 0 < text.index("first\n") < text.index("second\n")

    play(scenario, [turn("a", LONG), {"text": "ok"}])


@pytest.mark.requirement("append-early-no-pause")
def test_if_nothing_is_missing_it_does_not_pause(play: Any) -> None:
    """The turn ends with a hosted call, so that the local one can be answered well before that end."""

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL, {"type": "caesura:calculate"}])
        await answer_first_while_the_next_is_sampled(peer, response)
        await peer.until_paused_or_ended(response)
        (event,) = peer.of(ResponseCompleted)
        assert event.response.caesura["pauses"] == peer.num_pauses == 0
        assert event.response.caesura["tool_calls"] == 2

    play(scenario, [{"calls": [*turn("a")["calls"], HOSTED]}, {"text": "ok"}])


@pytest.mark.requirement("append-messages-paused")
def test_a_message_alone_has_to_wait_for_a_pause(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until(lambda: bool(peer.of(FunctionCallArgumentsDelta)))
        peer.session.receive('{"type":"response.append","input":"hurry"}')
        await peer.until(lambda: bool(peer.of(ErrorEvent)))
        assert peer.error.error.code == "response_not_paused"
        await peer.until_paused_or_ended(response)
        await peer.append(response, InputMessage(role="user", text="hurry"))
        await peer.until(lambda: bool(peer.of(ResponseAppended)))
        await peer.finish(response)
        assert len(peer.of(ResponseCompleted)) == 1

    play(scenario, [turn(LONG), {"text": "ok"}])


@pytest.mark.requirement("append-messages")
def test_messages_with_an_early_answer_come_after_all_outputs(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        response = await peer.create(tools=[TOOL])
        await peer.until(lambda: bool(calls_done(peer)))
        output = FunctionCallOutput(call_id=calls_done(peer)[0], output="first")
        await peer.append(response, output, InputMessage(role="user", text="steered"))
        await peer.until_paused_or_ended(response)
        await peer.append(
            response,
            FunctionCallOutput(call_id=response.open_calls[0].call_id, output="second"),
            InputMessage(role="developer", text="again"),
        )
        await peer.finish(response)
        text = peer.service.model.vocab.decode(ledgers[0].tokens)
        places = [text.index(word) for word in ("first\n", "second\n", "steered", "again")]
        assert places == sorted(places)

    play(scenario, [turn("a", LONG), {"text": "ok"}])


@pytest.mark.requirement("append-failed")
def test_a_failed_output_is_shown_as_an_error(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        first, second = (call.call_id for call in response.open_calls)
        await peer.append(
            response,
            FunctionCallOutput(call_id=first, output="no such place", status="failed"),
            FunctionCallOutput(call_id=second, output="Error: broken", status="failed"),
        )
        await peer.until_paused_or_ended(response)
        text = peer.service.model.vocab.decode(ledgers[0].tokens)
        assert "Error: no such place" in text
        assert text.count("Error: broken") == text.count("Error:") - 1 == 1

    play(scenario, [turn("a", "b"), {"text": "ok"}])


def test_an_early_answer_that_can_not_fit_is_refused(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await answer_first_while_the_next_is_sampled(peer, response, "far too long " * 2000)
        await peer.until(lambda: bool(peer.of(ErrorEvent)))
        assert peer.error.error.code == "context_length_exceeded"
        await peer.finish(response)
        assert len(peer.of(ResponseCompleted)) == 1

    play(scenario, [turn("a", LONG), {"text": "ok"}], ctx=1024)


def test_an_early_answer_whose_room_the_turn_takes_ends_the_response_as_cut(play: Any) -> None:
    """It fitted when it was accepted; nothing that was sampled or appended is lost."""

    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        vocab = peer.service.model.vocab
        response = await peer.create(tools=[TOOL, {"type": "caesura:calculate"}])
        await peer.until(lambda: bool(calls_done(peer)))
        word = len(vocab.tokenize("banana " * 50, parse_special=False)) / 50
        room = peer.service.engine.context_length - len(ledgers[0].tokens)
        await answer_first_while_the_next_is_sampled(peer, response, "banana " * int((room - 100) / word))
        await peer.until(lambda: bool(peer.of(ResponseAppended)))
        await peer.until_paused_or_ended(response)
        (event,) = peer.of(ResponseIncomplete)
        assert event.response.incomplete_details == {"reason": "max_output_tokens"}
        assert [item.status for item in event.response.output] == ["completed", "completed"]
        assert peer.num_pauses == 0

    play(scenario, [{"calls": [*turn("a")["calls"], HOSTED]}, {"text": "ok"}], ctx=1024)


@pytest.mark.requirement("append-idempotent")
def test_an_append_that_is_repeated_adds_its_message_once(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        first, second = response.open_calls
        await peer.append(
            response, FunctionCallOutput(call_id=first.call_id, output="first"), InputMessage(role="user", text="hurry")
        )
        await peer.until(lambda: len(peer.of(ResponseAppended)) == 1)
        items = [
            {"type": "function_call_output", "call_id": first.call_id, "output": "first"},
            {"role": "user", "content": "hurry"},
        ]
        peer.session.receive(json.dumps({"type": "response.append", "input": items}))
        await peer.until(lambda: len(peer.of(ResponseAppended)) == 2)
        await peer.append(response, FunctionCallOutput(call_id=second.call_id, output="second"))
        await peer.until_paused_or_ended(response)
        assert peer.service.model.vocab.decode(ledgers[0].tokens).count("hurry") == 1

    play(scenario, [turn("a", "b"), {"text": "ok"}])
