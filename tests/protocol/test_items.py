"""Reading what clients put in ``input``."""

from typing import Any

import pytest
from caesura.protocol.errors import InvalidValue, MissingParameter
from caesura.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputMessage,
    Reasoning,
    ReasoningText,
    parse_input,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hi", [InputMessage(role="user", text="hi")]),
        ([{"role": "user", "content": "hi"}], [InputMessage(role="user", text="hi")]),
        (
            [{"type": "message", "role": "developer", "content": "be brief"}],
            [InputMessage(role="developer", text="be brief")],
        ),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]}],
            [InputMessage(role="user", text="ab")],
        ),
        (
            [
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "x", "annotations": []}],
                }
            ],
            [InputMessage(role="assistant", text="x")],
        ),
        (
            [
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}, {"type": "x"}, 3]},
                {"type": "reasoning", "content": "all", "summary": 3, "id": [], "encrypted_content": "gA=="},
                {"role": "user", "content": "hi"},
            ],
            [
                Reasoning(content=[ReasoningText("Hm.")]),
                Reasoning(content=[]),
                InputMessage(role="user", text="hi"),
            ],
        ),
        (
            [{"type": "reasoning", "summary": []}, {"role": "user", "content": "hi"}],
            [Reasoning(content=[]), InputMessage(role="user", text="hi")],
        ),
        (
            [
                {
                    "type": "function_call",
                    "call_id": "c",
                    "name": "f",
                    "arguments": "{}",
                    "id": "fc",
                    "status": "completed",
                }
            ],
            [FunctionCall(call_id="c", name="f", arguments="{}")],
        ),
        (
            [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "out"}]}],
            [FunctionCallOutput(call_id="c", output="out")],
        ),
    ],
)
def test_habits_of_clients(value: Any, expected: Any) -> None:
    assert parse_input(value) == expected


@pytest.mark.parametrize("value", [None, "", [], [{"type": "reasoning"}]])
def test_nothing_in_it(value: Any) -> None:
    with pytest.raises(MissingParameter) as caught:
        parse_input(value)
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (3, "input"),
        ({"role": "user"}, "input"),
        (["x"], "input[0]"),
        ([{"content": "x"}], "input[0].type"),
        ([{"type": "item_reference", "id": "x"}], "input[0].type"),
        ([{"role": "robot", "content": "x"}], "input[0].role"),
        ([{"role": "user", "content": 3}], "input[0].content"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0]"),
        ([{"role": "user", "content": [{"type": "input_text", "text": 1}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": "a"}, {"type": "function_call_output", "output": "x"}], "input[1].call_id"),
        ([{"type": "function_call_output", "call_id": "c", "output": {"a": 1}}], "input[0].output"),
        ([{"type": "function_call", "call_id": "c", "name": "", "arguments": ""}], "input[0].name"),
    ],
)
def test_what_can_not_be_used_is_named(value: Any, param: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_input(value)
    assert caught.value.param == param
