"""Tools and tool choices in every form that clients send, and which of them are served."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch
from types import SimpleNamespace
from typing import Any

import pytest
from caesura.protocol.errors import CaesuraError, InvalidToolSchema, Unsupported
from caesura.runtime import tool_schemas, tool_types
from caesura.runtime.hosted import HOSTED_TOOLS
from caesura.runtime.tool_choice import read_tool_choice
from caesura.runtime.tool_definitions import echoed_tools, read_tools
from hypothesis import given
from hypothesis import strategies as st

SERVICE: Any = SimpleNamespace(hosted_tools=HOSTED_TOOLS)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "read_file", "description": "Read.", "parameters": SCHEMA, "strict": True}
NESTED = {"type": "function", "function": {key: FUNCTION[key] for key in FUNCTION if key != "type"}}


@pytest.mark.parametrize("tool", [FUNCTION, NESTED, {**NESTED, "name": None}, {**FUNCTION, "function": 3}])
def test_a_function_in_either_form(tool: dict[str, Any]) -> None:
    read = read_tools([tool], SERVICE)
    (function,) = read.functions
    assert (function.name, function.parameters, function.strict) == ("read_file", SCHEMA, True)
    assert read.definitions[0]["function"]["description"] == "Read."
    assert {key: echoed_tools([tool])[0][key] for key in FUNCTION} == FUNCTION


def test_what_is_echoed_is_complete() -> None:
    tools: list[Any] = [{"type": "function", "name": "f"}, {"type": "web_search"}, 3, {"type": "caesura:calculate"}]
    assert echoed_tools(tools) == [
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None},
        {"type": "web_search"},
        {"type": "caesura:calculate"},
    ]
    assert echoed_tools(None) == []


def test_what_is_passed_over_is_said() -> None:
    unknown = {"type": "x" * 200, "name": "y"}
    tools = [
        FUNCTION,
        {"type": "custom", "name": "apply_patch"},
        {"type": "local_shell"},
        {"type": "namespace"},
        unknown,
    ]
    read = read_tools([*tools, {"type": "caesura:calculate"}], SERVICE)
    assert read.ignored == ["custom/apply_patch", "local_shell", "namespace", "x" * 128]
    assert [function.name for function in read.functions] == ["read_file", "calculate"]
    assert read.hosted_names == {"calculate"}


@pytest.mark.parametrize("kind", sorted(tool_types.IGNORED))
def test_types_that_are_passed_over(kind: str) -> None:
    assert read_tools([{"type": kind}], SERVICE).ignored == [kind]
    with pytest.raises(Unsupported) as caught:
        read_tool_choice({"type": kind, "name": "f"})
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize("kind", [*sorted(tool_types.REFUSED), "caesura:telepathy"])
def test_types_that_are_refused(kind: str) -> None:
    with pytest.raises(Unsupported) as caught:
        read_tools([FUNCTION, {"type": kind}], SERVICE)
    assert caught.value.param == "tools[1].type"
    assert repr(kind) in caught.value.message
    assert "caesura:calculate" in caught.value.message


def test_every_type_is_in_the_table() -> None:
    patterns = re.findall(r"``([a-z_*]+)``", tool_types.__doc__ or "")
    assert not tool_types.IGNORED & tool_types.REFUSED
    for kind in tool_types.IGNORED | tool_types.REFUSED:
        assert any(fnmatch(kind, pattern) for pattern in patterns), kind


def test_a_schema_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []
    monkeypatch.setattr(tool_schemas.Draft202012Validator, "check_schema", checked.append)
    schema = {"type": "object", "title": "only here"}
    for _ in range(3):
        tool_schemas.check_parameters("f", dict(schema), "tools[0].parameters")
    assert checked == [schema]
    monkeypatch.setattr(tool_schemas, "MAX_REMEMBERED", 1)
    tool_schemas.check_parameters("f", {"type": "object", "title": "another"}, "")
    tool_schemas.check_parameters("f", schema, "")
    assert len(checked) == 3


@pytest.mark.parametrize("parameters", [{"type": "banana"}, {"type": "array"}, True, [], "x", {"properties": 3}])
def test_a_bad_schema_stays_bad(parameters: Any) -> None:
    for _ in range(2):
        with pytest.raises(InvalidToolSchema):
            read_tools([{**FUNCTION, "parameters": parameters}], SERVICE)


NAMED = {"type": "function", "name": "f"}
CALCULATE = {"type": "caesura:calculate"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("any", "any"),
        (NAMED, NAMED),
        ({"type": "function", "function": {"name": "f"}}, NAMED),
        (CALCULATE, CALCULATE),
        (
            {"type": "allowed_tools", "tools": [NAMED, {"type": "web_search"}]},
            {"type": "allowed_tools", "mode": "auto", "tools": [NAMED]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{**NAMED}, CALCULATE]}},
            {"type": "allowed_tools", "mode": "required", "tools": [NAMED, CALCULATE]},
        ),
        (
            {"type": "allowed_tools", "mode": None, "tools": [{"type": "function", "function": {"name": "f"}}]},
            {"type": "allowed_tools", "mode": "auto", "tools": [NAMED]},
        ),
        ({"type": "allowed_tools", "mode": "none", "tools": [NAMED]}, "none"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "shell"}]}, "none"),
        ({"type": "allowed_tools", "tools": []}, {"type": "allowed_tools", "tools": []}),
    ],
)
def test_tool_choices_in_every_form(value: Any, expected: Any) -> None:
    assert read_tool_choice(value) == expected
    assert read_tool_choice(expected) == expected


def test_nothing_that_must_be_called_is_run_here() -> None:
    with pytest.raises(Unsupported) as caught:
        read_tool_choice({"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]})
    assert caught.value.param == "tool_choice.tools"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["function", "allowed_tools", "custom", "mcp", "caesura:calculate", "caesura:x"]) | JSON
FIELDS = {name: JSON | st.text(max_size=2) for name in ("name", "description", "parameters", "strict", "mode", "tools")}
OBJECTS = st.fixed_dictionaries({}, optional={"type": KINDS, **FIELDS, "function": JSON})
OBJECTS = st.fixed_dictionaries(
    {}, optional={"type": KINDS, **FIELDS, "function": OBJECTS | JSON, "tools": st.lists(OBJECTS | JSON, max_size=2)}
)


def status(read: Callable[[], object]) -> int:
    try:
        read()
    except CaesuraError as error:
        return error.status
    return 200


@given(st.lists(OBJECTS | JSON, max_size=3), OBJECTS | JSON)
def test_whatever_comes_is_read_or_refused(tools: list[Any], choice: Any) -> None:
    assert len(echoed_tools(tools)) == sum(isinstance(tool, dict) for tool in tools)
    assert status(lambda: read_tools(tools, SERVICE)) in (200, 400)
    assert status(lambda: read_tool_choice(choice)) in (200, 400)
