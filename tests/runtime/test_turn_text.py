"""What is told of a turn's text: log-probabilities, stop strings, reasoning."""

from __future__ import annotations

import math
from typing import Any

import pytest
from caesura.protocol.events import (
    ContentPartAdded,
    ContentPartDone,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    ReasoningTextDelta,
    ReasoningTextDone,
    ResponseCompleted,
    ResponseDone,
    ResponseIncomplete,
)
from caesura.protocol.items import FunctionCall, FunctionCallOutput, OutputMessage, Reasoning
from caesura.runtime.turn_reader import TurnReader
from caesura.sampler.engine import SampledToken, SamplingParams
from caesura.sampler.model import Model, load_model
from caesura.sampler.random_model import SHAPES, write_random_model
from caesura.sampler.tool_call_deltas import ArgumentsDelta, TextDelta
from families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
LOGPROBS = ["message.output_text.logprobs"]
TEXT = "Hello, wörld \N{GRINNING FACE}: a < b."


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / "qwen3.gguf"
    return load_model(write_random_model(path, SHAPES["tiny"], chat=FAMILIES["qwen3"]))


def ended(peer: Any) -> Any:
    (event,) = [*peer.of(ResponseCompleted), *peer.of(ResponseIncomplete)]
    return event.response


@pytest.mark.parametrize(
    "fields", [{"include": LOGPROBS}, {"top_logprobs": 3}, {"include": LOGPROBS, "top_logprobs": 20}]
)
def test_logprobs(play: Any, fields: dict[str, Any]) -> None:
    top = fields.get("top_logprobs", 0)

    async def scenario(peer: Any) -> None:
        await peer.finish(await peer.create(tools=[TOOL], **fields))
        said = [item for item in ended(peer).output if isinstance(item, OutputMessage)]
        assert [message.content[0].text for message in said] == ["Let me look.", TEXT]
        for message in said:
            part = message.content[0]
            assert b"".join(bytes(each.bytes) for each in part.logprobs).strip() == part.text.encode()
            deltas = [event for event in peer.of(OutputTextDelta) if event.item_id == message.id]
            assert [each for event in deltas for each in event.logprobs] == list(part.logprobs)
            for event in deltas:
                assert event.delta.encode() in b"".join(bytes(each.bytes) for each in event.logprobs)
            (done,) = [event for event in peer.of(OutputTextDone) if event.item_id == message.id]
            assert list(done.logprobs) == list(part.logprobs)
            for each in part.logprobs:
                assert math.isfinite(each.logprob)
                assert each.logprob <= 0
                assert each.token == bytes(each.bytes).decode("utf-8", "replace")
                assert len(each.top_logprobs) == top
                values = [other.logprob for other in each.top_logprobs]
                assert values == sorted(values, reverse=True)

    play(scenario, [{"text": "Let me look.", "calls": [{"name": "look"}]}, {"text": TEXT}])


def test_greedy_text_has_the_likeliest_tokens(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(temperature=0, top_logprobs=2, max_output_tokens=40)
        await peer.until_paused_or_ended(response)
        logprobs = ended(peer).output[0].content[0].logprobs
        assert logprobs
        for each in logprobs:
            assert (each.token, each.logprob) == (each.top_logprobs[0].token, each.top_logprobs[0].logprob)

    play(scenario)


def test_no_logprobs_unless_asked(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        await peer.until_paused_or_ended(await peer.create())
        assert all(not event.logprobs for event in [*peer.of(OutputTextDelta), *peer.of(OutputTextDone)])
        assert ended(peer).output[0].content[0].logprobs == []

    play(scenario, [{"text": TEXT}])


@settings(max_examples=60, deadline=None)
@given(st.text("ab<t>_ol\n ü\N{GRINNING FACE}", max_size=30), st.data())
def test_every_token_of_a_text_is_claimed_once(model: Model, text: str, data: st.DataObject) -> None:
    """However it is cut into tokens, and whatever the parser holds back: none twice, all in order, none that isn't
    part of the text."""
    vocab = model.vocab
    tokens = vocab.tokenize(text, parse_special=False)
    if data.draw(st.booleans()):
        tokens = [token for character in text for token in vocab.tokenize(character, parse_special=False)]
    reader = TurnReader(model, SamplingParams())
    deltas = []
    claimed: list[int] = []
    for number, token in enumerate(tokens):
        for delta in reader.read(SampledToken(token, None, number)):
            deltas.append(delta)
            if isinstance(delta, TextDelta | ArgumentsDelta):
                claimed += [each.sampled_at for each in reader.claim(delta.text)]
    for delta in reader.finish():
        if isinstance(delta, TextDelta | ArgumentsDelta):
            deltas.append(delta)
            claimed += [each.sampled_at for each in reader.claim(delta.text)]
    assert claimed == sorted(set(claimed))
    if all(isinstance(delta, TextDelta) for delta in deltas):
        said = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
        assert said.strip() in vocab.decode(tokens[number] for number in claimed) or not said


@pytest.mark.parametrize(
    ("stop", "shown"),
    [
        ("three", "one two "),
        (["nowhere", "wo thr"], "one t"),
        (["e", "on"], ""),
        ("four.", "one two three "),
        ("five", "one two three four."),
        (["two three", "two"], "one "),
    ],
)
def test_a_stop_string_ends_the_response(play: Any, stop: Any, shown: str) -> None:
    async def scenario(peer: Any) -> None:
        await peer.until_paused_or_ended(await peer.create(stop=stop))
        response = ended(peer)
        assert response.status == "completed"
        text = "".join(part.text for item in response.output for part in item.content)
        assert text == "".join(event.delta for event in peer.of(OutputTextDelta)) == shown
        whole = len(peer.service.replay.tokens(0, peer.service.model.chat_template))
        assert (response.usage.output_tokens < whole) == (stop != "five")

    play(scenario, [{"text": "one two three four."}])


def test_a_call_that_a_stop_string_cuts_is_nobodys(play: Any) -> None:
    turns = [{"text": "Well.", "calls": [{"name": "look", "arguments": {"at": "the END of it"}}]}]

    async def scenario(peer: Any) -> None:
        await peer.until_paused_or_ended(await peer.create(tools=[TOOL], stop="END"))
        response = ended(peer)
        assert response.status == "completed"
        assert peer.of(ResponseDone) == []
        message, call = response.output
        assert isinstance(call, FunctionCall)
        assert (message.content[0].text, call.status, call.arguments) == ("Well.", "incomplete", '{"at": "the ')

    play(scenario, turns)


def test_a_call_before_a_stop_string_is_made(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL], stop=["</tool_call>"])
        await peer.finish(response)
        assert [item.status for item in ended(peer).output] == ["completed", "completed"]
        assert ended(peer).caesura["pauses"] == 1

    play(scenario, [{"calls": [{"name": "look"}]}, {"text": "Done."}])


def test_reasoning_is_an_item_of_its_own(play: Any, thinker: Model) -> None:
    turns = [
        {"text": "<think>\nI must look.\n</think>\n\n", "calls": [{"name": "look"}]},
        {"text": "<think>\nNow I know.\n</think>\n\nIt is 3."},
    ]

    async def scenario(peer: Any) -> None:
        await peer.finish(await peer.create(tools=[TOOL]))
        response = ended(peer)
        first, _, second, message = response.output
        assert [type(item) for item in response.output] == [Reasoning, FunctionCall, Reasoning, OutputMessage]
        assert [first.text.strip(), second.text.strip()] == ["I must look.", "Now I know."]
        assert message.content[0].text == "It is 3."
        assert [event.item for event in peer.of(OutputItemDone)] == list(response.output)
        for index, item in ((0, first), (2, second)):
            assert item.id.startswith("rs_")
            assert (item.summary, item.status) == ([], "completed")
            events = [event for event in peer.events if getattr(event, "item_id", "") == item.id]
            kinds = [type(event) for event in events]
            assert kinds[0] is ContentPartAdded
            assert kinds[-2:] == [ReasoningTextDone, ContentPartDone]
            assert set(kinds[1:-2]) == {ReasoningTextDelta}
            assert {(event.output_index, event.content_index) for event in events} == {(index, 0)}
            assert "".join(event.delta for event in events[1:-2]) == events[-2].text == item.text
            (added,) = [event.item for event in peer.of(OutputItemAdded) if event.item.id == item.id]
            assert (added.status, added.content) == ("in_progress", [])
        vocab = peer.service.model.vocab
        thought = sum(len(vocab.tokenize(text, parse_special=False)) for text in ("I must look.", "Now I know."))
        counted = response.usage.output_tokens_details.reasoning_tokens
        assert thought <= counted <= thought + 4  # the line breaks before the end mark are part of the thought
        assert peer.of(ResponseDone)[0].response.usage.output_tokens_details.reasoning_tokens < counted

    play(scenario, turns, served=thinker)


def test_reasoning_that_is_cut(play: Any, thinker: Model) -> None:
    async def scenario(peer: Any) -> None:
        await peer.until_paused_or_ended(await peer.create(max_output_tokens=15))
        response = ended(peer)
        assert response.incomplete_details == {"reason": "max_output_tokens"}
        (item,) = response.output
        assert isinstance(item, Reasoning)
        assert item.status == "incomplete"
        assert "It goes on" in item.text

    play(
        scenario,
        [{"text": "<think>\nIt goes on and on and on and on and on, without an end in sight."}],
        served=thinker,
    )


def test_reasoning_in_a_history_is_shown_to_the_model(play: Any, thinker: Model) -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "I must look."}]}
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "3"}
    history = [{"role": "user", "content": "hi"}, thought, call, output]

    async def scenario(peer: Any) -> None:
        ledgers = peer.watch_ledgers()
        await peer.until_paused_or_ended(await peer.create(input=history, tools=[TOOL]))
        assert "I must look." in peer.service.model.vocab.decode(ledgers[0].tokens)
        assert ended(peer).status == "completed"

    play(scenario, [{"text": "-"}, {"text": "It is 3."}], served=thinker)


def test_reasoning_sent_back_with_an_output_is_passed_over(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        (call_id,) = response.pending_calls
        await peer.append(response, Reasoning(id="rs_1"), FunctionCallOutput(call_id=call_id, output="3"))
        await peer.until_paused_or_ended(response)
        assert ended(peer).status == "completed"

    play(scenario, [{"calls": [{"name": "look"}]}, {"text": "ok"}])
