"""Input items to chat messages."""

from __future__ import annotations

import pytest
from caesura.protocol.errors import InvalidValue, ToolCallNotFound
from caesura.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    HostedCall,
    InputItem,
    InputMessage,
    Reasoning,
    ReasoningText,
)
from caesura.runtime.conversation import INTERRUPTED, chat_messages, num_assistant_turns
from hypothesis import given
from hypothesis import strategies as st


def user(text: str) -> InputMessage:
    return InputMessage(role="user", text=text)


def function_call(call_id: str) -> FunctionCall:
    return FunctionCall(call_id=call_id, name=f"f_{call_id}", arguments="{}")


def test_one_system_message_from_all_that_comes_first() -> None:
    items = [InputMessage(role="developer", text="b"), InputMessage(role="system", text="c"), user("d")]
    assert [(message["role"], message["content"]) for message in chat_messages("a", items)] == [
        ("system", "a\n\nb\n\nc"),
        ("user", "d"),
    ]


def test_a_later_system_message_keeps_its_place() -> None:
    messages = chat_messages(None, [user("a"), InputMessage(role="developer", text="b")])
    assert [message["role"] for message in messages] == ["user", "system"]


def test_text_and_calls_of_one_turn_are_one_message() -> None:
    items = [
        user("go"),
        InputMessage(role="assistant", text="let me see"),
        function_call("a"),
        function_call("b"),
        FunctionCallOutput(call_id="b", output="B"),
        FunctionCallOutput(call_id="a", output="A"),
        function_call("c"),
        FunctionCallOutput(call_id="c", output="C"),
    ]
    messages = chat_messages(None, items)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "assistant", "tool"]
    assert [call.call_id for call in messages[1]["tool_calls"]] == ["a", "b"]
    assert [message["name"] for message in messages if message["role"] == "tool"] == ["f_b", "f_a", "f_c"]
    assert num_assistant_turns(messages) == 2


def test_a_hosted_call_brings_its_output() -> None:
    hosted = HostedCall(call_id="h", name="calculate", arguments="{}", output="42")
    assert [message["role"] for message in chat_messages(None, [user("go"), hosted])] == ["user", "assistant", "tool"]


def test_a_hosted_and_a_local_call_of_one_turn_stay_one_turn() -> None:
    hosted = HostedCall(call_id="h", name="calculate", arguments="{}", output="42")
    items = [user("go"), hosted, function_call("a"), FunctionCallOutput(call_id="a", output="A")]
    messages = chat_messages(None, items)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]


def thought(text: str) -> Reasoning:
    return Reasoning(content=[ReasoningText(text)])


def test_reasoning_belongs_to_what_comes_next_of_the_assistant() -> None:
    items = [
        user("go"),
        thought("1"),
        InputMessage(role="assistant", text="let me see"),
        thought("2"),
        function_call("a"),
        FunctionCallOutput(call_id="a", output="A"),
        thought("3"),
        function_call("b"),
        thought("lost"),
        user("stop"),
        InputMessage(role="assistant", text="ok"),
    ]
    messages = chat_messages(None, items)
    turns = [message for message in messages if message["role"] == "assistant"]
    assert [turn["reasoning"] for turn in turns] == ["12", "3", ""]
    assert [len(turn["tool_calls"]) for turn in turns] == [1, 1, 0]


def test_an_interrupted_call_does_not_spoil_the_history() -> None:
    messages = chat_messages(None, [user("go"), function_call("a"), user("stop")])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user"]
    assert messages[2]["content"] == INTERRUPTED


def test_an_output_without_a_call_is_refused() -> None:
    with pytest.raises(ToolCallNotFound) as caught:
        chat_messages(None, [user("go"), FunctionCallOutput(call_id="x", output="")])
    assert caught.value.param == "input[1].call_id"


ITEMS = st.lists(
    st.one_of(
        st.builds(InputMessage, role=st.sampled_from(InputMessage.ROLES), text=st.text(max_size=5)),
        st.sampled_from("abc").map(function_call),
        st.sampled_from(["", "hm"]).map(thought),
        st.sampled_from("abc").map(lambda call_id: FunctionCallOutput(call_id=call_id, output="x")),
    ),
    max_size=12,
)


@given(ITEMS)
def test_every_call_has_one_output_after_its_turn(items: list[InputItem]) -> None:
    try:
        messages = chat_messages(None, items)
    except (ToolCallNotFound, InvalidValue):
        return
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
        elif message["role"] != "assistant" or not message["tool_calls"]:
            assert waiting == []
        else:
            waiting += {call.call_id for call in message["tool_calls"]}
    assert waiting == []
