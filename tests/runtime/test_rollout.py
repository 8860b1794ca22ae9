"""The rollout, end to end in memory: a replayed model, the real engine, the real session."""

from __future__ import annotations

import asyncio
from typing import Any

from caesura.protocol.events import (
    ErrorEvent,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    ResponseAppended,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
)
from caesura.protocol.items import FunctionCall, FunctionCallOutput, HostedCall, InputMessage, OutputMessage
from caesura.protocol.resource import Response
from caesura.sampler.chat_template import ToolCall, assistant_message, tool_message

TOOL: dict[str, Any] = {
    "type": "function",
    "name": "read_file",
    "description": "Read a file.",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
CALCULATE = {"type": "caesura:calculate"}


def call(name: str = "read_file", **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def final(peer: Any) -> Response:
    (event,) = peer.of(ResponseCompleted)
    response: Response = event.response
    return response


def test_one_response_many_pauses(play: Any) -> None:
    turns = [
        {"text": "Let me look.", "calls": [call(path="a.py")]},
        {"calls": [call(path="b.py")]},
        {"text": "Both are fine."},
    ]

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL], instructions="Be brief.")
        await peer.finish(response)
        end = final(peer)
        assert end.status == "completed"
        assert peer.num_pauses == 2
        assert [type(item) for item in end.output] == [OutputMessage, FunctionCall, FunctionCall, OutputMessage]
        cost = end.caesura
        assert isinstance(cost, dict)
        assert cost["preinference_runs"] == cost["postinference_runs"] == 1
        assert cost["pauses"] == 2
        assert cost["tool_calls"] == 2
        assert cost["tokens"]["recomputed"] == 0
        assert cost["tokens"]["prefilled"] > 0
        assert cost["tokens"]["appended"] > 0
        template = peer.service.model.chat_template
        forced = sum(len(peer.service.replay.tokens(turn, template)) for turn in range(3))
        assert cost["tokens"]["sampled"] == forced
        assert end.usage is not None
        assert end.usage.output_tokens == forced
        assert end.usage.input_tokens == cost["tokens"]["prefilled"] + cost["tokens"]["appended"]
        stages = cost["stages_ms"]
        assert abs(sum(stages.values()) - cost["wall_ms"]) < 0.1
        assert all(value >= 0 for value in stages.values())

    play(scenario, turns)


def test_the_stream_says_what_the_items_say(play: Any) -> None:
    turns = [{"text": "Hello, wörld \N{GRINNING FACE}.", "calls": [call(path="x/ü.py")]}, {"text": "Done."}]

    async def scenario(peer: Any) -> None:
        await peer.finish(await peer.create(tools=[TOOL]))
        output = final(peer).output
        first, function_call, last = output
        assert isinstance(first, OutputMessage)
        assert isinstance(function_call, FunctionCall)
        assert isinstance(last, OutputMessage)
        texts = {item.id: item.content[0].text for item in (first, last)}
        assert list(texts.values()) == ["Hello, wörld \N{GRINNING FACE}.", "Done."]
        for item_id, text in texts.items():
            assert "".join(event.delta for event in peer.of(OutputTextDelta) if event.item_id == item_id) == text
        assert [event.text for event in peer.of(OutputTextDone)] == list(texts.values())
        deltas = [event.delta for event in peer.of(FunctionCallArgumentsDelta)]
        assert "".join(deltas) == function_call.arguments == '{"path": "x/ü.py"}'
        assert len(deltas) > 1
        (done,) = peer.of(FunctionCallArgumentsDone)
        assert (done.name, done.arguments) == ("read_file", function_call.arguments)
        added = [event.item for event in peer.of(OutputItemAdded)]
        assert [item.id for item in added] == [item.id for item in output]
        assert [event.item for event in peer.of(OutputItemDone)] == list(output)
        assert {event.output_index for event in peer.of(OutputItemAdded)} == {0, 1, 2}

    play(scenario, turns)


def test_parallel_calls_may_be_answered_one_by_one(play: Any) -> None:
    turns = [{"calls": [call(path="a"), call(path="b")]}, {"text": "ok"}]

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        first, second = response.pending_calls
        await peer.append(response, FunctionCallOutput(call_id=second, output="B"))
        await peer.until(lambda: bool(peer.of(ResponseAppended)))
        (acknowledged,) = peer.of(ResponseAppended)
        assert peer.events[-1] is acknowledged
        assert (acknowledged.answered, acknowledged.pending) == ([second], [first])
        assert response.is_paused
        await peer.append(response, FunctionCallOutput(call_id=first, output="A"))
        await peer.until_paused_or_ended(response)
        assert final(peer).status == "completed"
        assert peer.of(ErrorEvent) == []

    play(scenario, turns)


def test_the_context_is_what_a_full_rendering_would_be(play: Any) -> None:
    """Grown by increments, whatever order the outputs came in, the context's text is the whole history's, once."""
    turns = [{"calls": [call(path="a"), call(path="b")]}, {"text": "Hm.", "calls": [call(path="c")]}, {"text": "ok"}]

    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        response = await peer.create(tools=[TOOL], instructions="Be brief.")
        await peer.until_paused_or_ended(response)
        first, second = response.pending_calls
        await peer.append(response, FunctionCallOutput(call_id=second, output="output of b"))
        await peer.append(
            response, FunctionCallOutput(call_id=first, output="output of a"), InputMessage(role="user", text="hurry")
        )
        await peer.until_paused_or_ended(response)
        await peer.answer(response, "output of <|im_end|> c")
        await peer.until_paused_or_ended(response)
        arguments = ['{"path": "a"}', '{"path": "b"}', '{"path": "c"}']
        calls = [ToolCall("read_file", text) for text in arguments]
        function = {key: TOOL[key] for key in ("name", "description", "parameters")}
        model = peer.service.model
        rendered = model.chat_template.render(
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
                assistant_message("", calls[:2]),
                tool_message("output of a"),
                tool_message("output of b"),
                {"role": "user", "content": "hurry"},
                assistant_message("Hm.", calls[2:]),
                tool_message("output of <|im_end|> c"),
                assistant_message("ok"),
            ],
            [{"type": "function", "function": function}],
            add_generation_prompt=False,
        )
        (ledger,) = ledgers
        assert model.vocab.decode(ledger.tokens) == rendered.rstrip("\n")

    play(scenario, turns)


def test_a_hosted_tool_needs_no_pause(play: Any) -> None:
    turns = [{"calls": [call("calculate", expression="6 * 7")]}, {"text": "42"}]

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[CALCULATE])
        await peer.until_paused_or_ended(response)
        assert peer.num_pauses == 0
        hosted = final(peer).output[0]
        assert isinstance(hosted, HostedCall)
        assert (hosted.name, hosted.output, hosted.status) == ("calculate", "42", "completed")
        assert peer.of(OutputItemAdded)[0].item.status == "in_progress"

    play(scenario, turns)


def test_a_hosted_and_a_local_call_in_one_turn(play: Any) -> None:
    turns = [{"calls": [call("calculate", expression="1/0"), call(path="a")]}, {"text": "ok"}]

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[CALCULATE, TOOL])
        await peer.finish(response)
        hosted, local, _ = final(peer).output
        assert isinstance(hosted, HostedCall)
        assert hosted.output == "Error: division by zero."
        assert isinstance(local, FunctionCall)
        assert peer.num_pauses == 1

    play(scenario, turns)


def test_two_lanes_share_the_engine(play: Any) -> None:
    turns = [{"calls": [call(path="a")]}, {"text": "A longer text, so that the lanes overlap while they sample."}]

    async def scenario(peer: Any) -> None:
        one = await peer.create(tools=[TOOL], stream_id="one")
        two = await peer.create(tools=[TOOL], stream_id="two")
        await asyncio.gather(peer.finish(one), peer.finish(two))
        assert len(peer.of(ResponseCompleted)) == 2

    play(scenario, turns)


def test_replayed_turns_count_from_the_history(play: Any) -> None:
    """Turn k is the conversation's k-th, whether it goes on in one Response or in a new one with the whole history."""
    turns = [{"calls": [call(path="a")]}, {"text": "second"}]
    history = [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "c", "name": "read_file", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
    ]

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL], input=history)
        await peer.until_paused_or_ended(response)
        (message,) = final(peer).output
        assert isinstance(message, OutputMessage)
        assert message.content[0].text == "second"

    play(scenario, turns)


def test_a_script_that_ends_too_early_fails_the_response(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.finish(response)
        (event,) = peer.of(ResponseFailed)
        assert event.response.status == "failed"
        assert event.response.error["code"] == "server_error"
        assert "script" in event.response.error["message"] or "turn" in event.response.error["message"]
        assert len(event.response.output) == 1

    play(scenario, [{"calls": [call(path="a")]}])


def test_max_output_tokens_spans_the_whole_response(play: Any) -> None:
    turns = [{"calls": [call(path="a")]}, {"text": "This goes on for quite a while, longer than allowed."}]

    async def scenario(peer: Any) -> None:
        first = len(peer.service.replay.tokens(0, peer.service.model.chat_template))
        response = await peer.create(tools=[TOOL], max_output_tokens=first + 5)
        await peer.finish(response)
        (event,) = peer.of(ResponseIncomplete)
        assert event.response.incomplete_details == {"reason": "max_output_tokens"}
        assert event.response.usage.output_tokens == first + 5
        assert event.response.output[-1].status == "incomplete"

    play(scenario, turns)


def test_a_call_that_is_cut_is_not_waited_for(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL, CALCULATE], max_output_tokens=12)
        await peer.until_paused_or_ended(response)
        (event,) = peer.of(ResponseIncomplete)
        assert peer.num_pauses == 0
        assert all(item.status == "incomplete" for item in event.response.output)

    play(scenario, [{"calls": [call(path="a/very/long/path/that/is/cut")]}])


def test_a_malformed_call_is_asked_so_that_the_model_is_told(play: Any) -> None:
    malformed = '<tool_call>\n{"name": "read_file", "arguments": {"path": "oops'

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        (asked,) = response.pending_calls.values()
        assert (asked.name, asked.status) == ("read_file", "completed")
        assert "oops" in asked.arguments
        await peer.finish(response, "Error: the arguments are not valid JSON")
        assert final(peer).status == "completed"

    play(scenario, [{"text": malformed}, {"text": "Sorry."}])


def test_giving_a_response_up_frees_its_sequence(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        for _ in range(4):
            response = await peer.create(tools=[TOOL])
            await peer.until_paused_or_ended(response)
        assert peer.num_pauses == 4

    play(scenario, [{"calls": [call(path="a")]}], sequences=1, max_sequences=1)


def test_a_peer_that_leaves_while_sampling_frees_its_sequences(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        await peer.create(stream_id="one")
        await peer.create(stream_id="two")
        await peer.until(lambda: bool(peer.of(OutputTextDelta)))

    play(scenario, [{"text": "A long text that is cut off in the middle of it all. " * 5}])


def test_the_demo_model_really_samples(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(input="Hello!", temperature=0, max_output_tokens=60)
        await peer.until_paused_or_ended(response)
        cost = (peer.of(ResponseCompleted) + peer.of(ResponseIncomplete))[0].response.caesura
        assert 0 < cost["tokens"]["sampled"] <= 60
        assert cost["tokens"]["recomputed"] == 0

    play(scenario)
