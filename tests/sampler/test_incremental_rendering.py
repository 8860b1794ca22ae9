"""What is appended turn by turn is, as text, what a full render of the same history gives."""

from __future__ import annotations

import json

from caesura.sampler.chat_template import ChatTemplate, Message, ToolCall, assistant_message, tool_message
from caesura.sampler.model import Model
from hypothesis import given
from hypothesis import strategies as st

SPECIALS = ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_response>"]
words = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(SPECIALS)), max_size=5).map("".join)
names = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
arguments = st.dictionaries(st.text(max_size=5), words | st.integers() | st.none(), max_size=3)
calls = st.builds(
    lambda name, value, number: ToolCall(name, json.dumps(value, ensure_ascii=False), f"call_{number}"),
    names,
    arguments,
    st.integers(0, 999),
)
rounds = st.lists(
    st.tuples(words, st.lists(calls, max_size=3), st.lists(words, min_size=3, max_size=3), st.lists(words, max_size=2)),
    min_size=1,
    max_size=3,
)
prompts = st.tuples(st.none() | words, words)


def conversation(prompt: tuple[str | None, str]) -> list[Message]:
    system, user = prompt
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    return [*messages, {"role": "user", "content": user}]


@given(prompt=prompts, rounds=rounds)
def test_equals_the_full_render(
    model: Model,
    template: ChatTemplate,
    prompt: tuple[str | None, str],
    rounds: list[tuple[str, list[ToolCall], list[str], list[str]]],
) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    history = conversation(prompt)
    tokens = template.encode_prompt(history, tools)
    for text, calls, outputs, users in rounds:
        turn = template.encode_turn(text, calls)
        assert turn[-1] in model.stop_tokens
        new: list[Message] = [
            tool_message(output, call_id=call.call_id, name=call.name)
            for call, output in zip(calls, outputs, strict=False)
        ]
        new += [{"role": "user", "content": user} for user in users]
        if not new:
            new = [{"role": "user", "content": "go on"}]
        suffix = template.encode_suffix(new, calls=calls)
        tokens += turn + suffix
        history += [assistant_message(text, calls), *new]
        assert model.vocab.decode(tokens) == template.render(history, tools)


@given(prompt=prompts, text=words, calls=st.lists(calls, max_size=2), keep=st.integers(0, 30))
def test_a_turn_that_was_cut_gets_its_end(
    model: Model,
    template: ChatTemplate,
    prompt: tuple[str | None, str],
    text: str,
    calls: list[ToolCall],
    keep: int,
) -> None:
    cut = template.encode_turn(text, calls)[:-1][:keep]
    message: Message = {"role": "user", "content": "And then?"}
    stopped = template.encode_suffix([message])
    suffix = template.encode_suffix([message], stopped=False)
    assert suffix[0] in model.stop_tokens
    assert suffix[1:] == stopped
    tokens = template.encode_prompt(conversation(prompt)) + cut + suffix
    assert model.vocab.decode(tokens).endswith(template.render_suffix([message], stopped=False))


@given(prompt=prompts, text=words, outputs=st.lists(words, min_size=1, max_size=3))
def test_tokens_are_those_of_the_full_render(
    model: Model, template: ChatTemplate, prompt: tuple[str | None, str], text: str, outputs: list[str]
) -> None:
    """Special tokens end every piece that is encoded on its own, so even the ids agree with a full encoding."""
    calls = [ToolCall("f", "{}", f"call_{number}") for number in range(len(outputs))]
    new = [tool_message(output, call_id=call.call_id, name="f") for call, output in zip(calls, outputs, strict=True)]
    history = conversation(prompt)
    pieces = template.encode_prompt(history) + template.encode_turn(text, calls)
    pieces += template.encode_suffix(new, calls=calls)
    header = len(template.encode_prompt(history))
    full = template.encode_prompt([*history, assistant_message(text, calls), *new])
    # The header's last newline may merge with the turn's first characters: only there may the two differ.
    assert pieces[: header - 1] == full[: header - 1]
    assert model.vocab.decode(pieces) == model.vocab.decode(full)
    assert (
        pieces[-len(template.encode_suffix(new, calls=calls)) :]
        == full[-len(template.encode_suffix(new, calls=calls)) :]
    )
