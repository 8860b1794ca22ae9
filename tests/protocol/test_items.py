"""Reading what clients put in ``input``."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from typing import Any

import pytest
from caesura.protocol import foreign_items
from caesura.protocol.errors import CaesuraError, InvalidValue, MissingParameter, Unsupported, UnsupportedContent
from caesura.protocol.items import (
    Compaction,
    FunctionCall,
    FunctionCallOutput,
    HostedCall,
    InputMessage,
    ItemReference,
    OtherItem,
    Reasoning,
    ReasoningText,
    parse_input,
)
from hypothesis import given
from hypothesis import strategies as st

HI = InputMessage(role="user", text="hi")


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
        (
            [
                {
                    "type": None,
                    "role": "user",
                    "content": "hi",
                    "id": None,
                    "status": None,
                    "phase": "commentary",
                    "x": 1,
                }
            ],
            [HI],
        ),
        (
            [
                {
                    "type": "message",
                    "role": "assistant",
                    "status": "incomplete",
                    "content": [{"type": "refusal", "refusal": "no"}, {"type": "summary_text", "text": "!"}],
                },
                {"role": "assistant", "content": None},
            ],
            [InputMessage(role="assistant", text="no!"), InputMessage(role="assistant", text="")],
        ),
        (
            [{"type": "function_call_output", "call_id": "c", "output": "", "status": "in_progress"}],
            [FunctionCallOutput(call_id="c", output="")],
        ),
        (
            [{"type": "item_reference", "id": "a"}, {"type": None, "id": "b"}, {"id": "c"}],
            [ItemReference(id="a"), ItemReference(id="b"), ItemReference(id="c")],
        ),
        (
            [{"type": kind, "encrypted_content": "x", "id": "cmp_1"} for kind in ("compaction", "compaction_summary")],
            [Compaction(encrypted_content="x")] * 2,
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
        ([{"type": "item_reference"}], "input[0].id"),
        ([{"type": "item_reference", "id": 3}], "input[0].id"),
        ([{"type": "compaction", "encrypted_content": None}], "input[0].encrypted_content"),
        ([{"type": ["message"], "role": "user", "content": "x"}], "input[0].type"),
        ([{"type": "from_the_future"}], "input[0].type"),
        ([{"role": "user", "content": ["x"]}], "input[0].content[0]"),
        ([{"role": "user", "content": [{"type": "x" * 200}]}], "input[0].content[0]"),
        ([{"role": "user", "content": [{"type": ["text"], "text": "x"}]}], "input[0].content[0]"),
        ([{"role": "assistant", "content": [{"type": "refusal", "text": "x"}]}], "input[0].content[0].refusal"),
        ([{"type": "custom_tool_call", "input": "x", "name": "f"}], "input[0].call_id"),
        ([{"role": "robot", "content": "x"}], "input[0].role"),
        ([{"role": "user", "content": 3}], "input[0].content"),
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


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_audio", "input_audio": {}},
        {"type": "image_url", "image_url": {"url": "x"}},
    ],
)
@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": [{"type": "input_text", "text": "see"}, "PART"]},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "see"}, "PART"]},
        {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "see"}, "PART"]},
    ],
)
def test_a_picture_is_refused_by_name(item: dict[str, Any], part: dict[str, Any]) -> None:
    field = "content" if "content" in item else "output"
    with pytest.raises(UnsupportedContent) as caught:
        parse_input([{"role": "user", "content": "a"}, {**item, field: [item[field][0], part]}])
    assert caught.value.param == f"input[1].{field}[1]"
    assert "text" in caught.value.message
    assert part["type"] in caught.value.message


SHELL_OUTPUT = [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]


@pytest.mark.parametrize(
    ("raw", "item"),
    [
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin", "id": "ctc_1"},
            FunctionCall(call_id="c", name="apply_patch", arguments='{"input": "*** Begin"}'),
        ),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": "Done", "id": None},
            FunctionCallOutput(call_id="c", output="Done"),
        ),
        (
            {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}, "status": "x"},
            FunctionCall(call_id="c", name="local_shell", arguments='{"type": "exec", "command": ["ls"]}'),
        ),
        (
            {"type": "local_shell_call_output", "id": "c", "output": "a"},
            FunctionCallOutput(call_id="c", output="a"),
        ),
        (
            {"type": "shell_call_output", "call_id": "c", "output": SHELL_OUTPUT, "max_output_length": None},
            FunctionCallOutput(
                call_id="c",
                output='[{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]',
            ),
        ),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
            FunctionCall(call_id="c", name="apply_patch", arguments='{"type": "delete_file", "path": "a"}'),
        ),
        (
            {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": None},
            FunctionCallOutput(call_id="c", output="", status="failed"),
        ),
        (
            {"type": "mcp_call", "id": "mcp_1", "name": "search", "arguments": "{}", "output": "found"},
            HostedCall(call_id="mcp_1", name="search", arguments="{}", output="found"),
        ),
        (
            {"type": "mcp_call", "id": "mcp_1", "name": "search", "arguments": "{}", "error": {"code": 3}},
            HostedCall(call_id="mcp_1", name="search", arguments="{}", output='{"code": 3}'),
        ),
        *(({"type": kind, "id": "x", "status": "y"}, OtherItem(type=kind)) for kind in foreign_items.PASSED_OVER),
    ],
)
def test_items_of_other_servers_are_read_in_their_places(raw: dict[str, Any], item: Any) -> None:
    assert parse_input([raw, {"role": "user", "content": "hi"}]) == [item, HI]


@pytest.mark.parametrize("kind", ["additional_tools", "configuration_update", "compaction_trigger"])
def test_items_that_ask_for_something_are_refused(kind: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parse_input([{"role": "user", "content": "a"}, {"type": kind, "role": "developer", "tools": []}])
    assert caught.value.param == "input[1].type"


def test_a_picture_of_a_screen_is_refused() -> None:
    with pytest.raises(UnsupportedContent) as caught:
        parse_input([{"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}])
    assert caught.value.param == "input[0]"


def test_nothing_to_answer_in_what_is_passed_over() -> None:
    with pytest.raises(MissingParameter):
        parse_input([{"type": "web_search_call", "id": "ws_1"}, {"type": "reasoning", "summary": []}])


def test_every_type_is_in_the_table() -> None:
    patterns = re.findall(r"``([a-z_*]+)``", foreign_items.__doc__ or "")
    for kind in (*foreign_items.PASSED_OVER, *foreign_items._CALLS, *foreign_items._REFUSED):
        assert any(fnmatch(kind, pattern) for pattern in patterns), kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "refusal", "input_image", "summary_text"]) | JSON},
    optional={"text": st.text(max_size=3) | JSON, "refusal": JSON},
)
CONTENT = st.text(max_size=3) | st.lists(PARTS | JSON, max_size=2) | JSON
TYPES = ["message", "function_call", "function_call_output", "reasoning", "item_reference", "compaction", "mcp_call"]
TYPES += ["caesura:hosted_call", *foreign_items.PASSED_OVER, *foreign_items._CALLS, *foreign_items._REFUSED]
TYPES += [f"{kind}_output" for kind in foreign_items._CALLS]
ANY_ITEM = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(TYPES) | JSON,
        "role": st.sampled_from(["user", "assistant", "tool"]) | JSON,
        "content": CONTENT,
        "output": CONTENT,
        "status": st.sampled_from(["completed", "failed"]) | JSON,
        **{key: st.text(max_size=2) | JSON for key in ("id", "call_id", "name", "arguments", "encrypted_content")},
        **{key: JSON for key in ("action", "operation", "input", "error", "summary", "phase")},
    },
)


def read(value: Any) -> list[Any] | CaesuraError:
    try:
        return list(parse_input(value))
    except CaesuraError as error:
        return error


@given(st.lists(ANY_ITEM | JSON, max_size=3) | JSON)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    outcome = read(value)
    if isinstance(outcome, CaesuraError):
        assert outcome.status == 400
        assert (outcome.param or "").startswith("input")
    else:
        assert len(outcome) == (1 if isinstance(value, str) else len(value))
