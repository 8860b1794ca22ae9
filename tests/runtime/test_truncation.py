"""What gives way when a conversation is too long."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from caesura.protocol.errors import ContextLengthExceeded
from caesura.runtime.truncation import truncated
from caesura.sampler.chat_template import Message, ToolCall, assistant_message, tool_message
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.text("x", min_size=1, max_size=20)
CALLED = st.lists(TEXTS, min_size=1, max_size=3).map(
    lambda outputs: [
        assistant_message("", [ToolCall("f", "{}", f"c{at}") for at in range(len(outputs))]),
        *(tool_message(output, call_id=f"c{at}", name="f") for at, output in enumerate(outputs)),
    ]
)
SAID = TEXTS.map(lambda text: [assistant_message(text)])
TOLD = TEXTS.map(lambda text: [{"role": "system", "content": text}])
ASKED = TEXTS.map(lambda text: [{"role": "user", "content": text}])
CONVERSATIONS = st.builds(
    lambda head, rest: [*head, *(message for part in rest for message in part)],
    st.just([]) | TOLD,
    st.lists(CALLED | SAID | ASKED | TOLD, max_size=12),
)


def size(messages: Sequence[Message]) -> int:
    return sum(1 + len(message["content"]) for message in messages)


def task(messages: Sequence[Message]) -> list[Message]:
    """What has to stay at the end: the last user message, or the last turn of the assistant, with what follows."""
    for role in ("user", "assistant"):
        places = [at for at, message in enumerate(messages) if message["role"] == role]
        if places:
            return list(messages[places[-1] :])
    return [message for message in messages if message["role"] != "system"]


def head(messages: Sequence[Message]) -> list[Message]:
    found: list[Message] = []
    for message in messages:
        if message["role"] != "system":
            break
        found.append(message)
    return found


@given(CONVERSATIONS, st.integers(0, 300))
def test_the_oldest_turns_go_and_nothing_else(messages: list[Message], room: int) -> None:
    calls: list[int] = []

    def count(some: Sequence[Message]) -> int:
        calls.append(len(some))
        return size(some)

    start = head(messages)
    least = [*start, *task(messages)] if len(start) < len(messages) else start
    if size(least) > room:
        with pytest.raises(ContextLengthExceeded):
            truncated(messages, count, room)
        return
    kept = truncated(messages, count, room)
    assert size(kept) <= room
    assert kept[: len(start)] == start
    rest = kept[len(start) :]
    assert rest == messages[len(messages) - len(rest) :]
    assert len(rest) >= len(task(messages)) or len(start) == len(messages)
    assert not rest or rest[0]["role"] != "tool"
    assert len(calls) <= math.log2(len(messages) + 1) + 1
    if kept != messages and any(message["role"] == "user" for message in messages):
        assert rest[0]["role"] == "user"
        earlier = [at for at, message in enumerate(messages) if message["role"] == "user"]
        before = [at for at in earlier if at < len(messages) - len(rest)]
        if before:  # one turn more would have been too much
            assert size([*start, *messages[before[-1] :]]) > room


def test_a_long_task_is_not_cut() -> None:
    """One user message and what the agent has done since: there is nothing that may go."""
    messages: list[Message] = [{"role": "user", "content": "fix it"}, assistant_message("x" * 50)]
    with pytest.raises(ContextLengthExceeded) as caught:
        truncated(messages, size, 20)
    assert caught.value.param == "input"
