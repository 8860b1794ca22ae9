"""Functions as tools: the schema that a model is shown, and the values that the function gets."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import jsonschema
import msgspec
import pytest
from caesura.client import ToolDefinitionError, tool
from caesura.client.function_schema import describe
from hypothesis import given, settings
from hypothesis import strategies as st


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


class Options(TypedDict):
    title: str
    depth: NotRequired[int]


class Address(msgspec.Struct):
    """Where to send it."""

    street: str
    at: Point


POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "number", "default": 0.0}},
    "required": ["x"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal[1, "b"], {"type": ["string", "integer"], "enum": [1, "b"]}),
        (Color, {"type": "string", "enum": ["blue", "red"]}),
        (Level, {"type": "integer", "enum": [1, 2]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Color | None, {"anyOf": [{"type": "string", "enum": ["blue", "red"]}, {"type": "null"}]}),
        (Point, POINT),
        (list[Point], {"type": "array", "items": POINT}),
        (
            Options,
            {
                "type": "object",
                "properties": {"title": {"type": "string"}, "depth": {"type": "integer"}},
                "required": ["title"],
                "additionalProperties": False,
            },
        ),
        (
            Address,
            {
                "type": "object",
                "description": "Where to send it.",
                "properties": {"street": {"type": "string"}, "at": POINT},
                "required": ["street", "at"],
                "additionalProperties": False,
            },
        ),
        (Annotated[str, "A path."], {"type": "string", "description": "A path."}),
        (
            Annotated[int, msgspec.Meta(ge=1, description="A count.")],
            {"type": "integer", "description": "A count.", "minimum": 1},
        ),
    ],
)
def test_type_hints(hint: Any, expected: dict[str, Any]) -> None:
    assert describe(_function({"value": hint})).parameters["properties"]["value"] == expected


def test_the_whole_tool_and_the_order_of_its_keys() -> None:
    def read_file(path: str, limit: int = 100) -> str:
        """Read a text file
        from disk.

        It must be UTF-8.

        Args:
            path: Path of
                the file.
            limit: How many lines.

        Returns:
            The text.
        """
        return path * limit

    assert json.dumps(describe(read_file).as_tool()) == json.dumps(
        {
            "type": "function",
            "name": "read_file",
            "description": "Read a text file from disk.",
            "parameters": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Path of the file."},
                    "limit": {"type": "integer", "description": "How many lines.", "default": 100},
                },
                "required": ["path"],
                "additionalProperties": False,
            },
            "strict": False,
        }
    )


GOOGLE = """Do it.

Args:
    a: The
        first.
    b (int): The second.

Raises:
    ValueError: always.
"""
SPHINX = """Do it.

:param a: The
    first.
:param int b: The second.
:returns: nothing
"""
NUMPY = """Do it.

Parameters
----------
a : str
    The
    first.
b : int, optional
    The second.
"""


@pytest.mark.parametrize("docstring", [GOOGLE, SPHINX, NUMPY])
def test_docstring_styles(docstring: str) -> None:
    def function(a: str, b: int) -> None: ...

    function.__doc__ = docstring
    schema = describe(function)
    assert schema.description == "Do it."
    descriptions = {name: each["description"] for name, each in schema.parameters["properties"].items()}
    assert descriptions == {"a": "The first.", "b": "The second."}


def test_without_a_docstring_there_is_no_description() -> None:
    def function(a: str) -> None: ...

    schema = describe(function)
    assert schema.description == ""
    assert "description" not in schema.parameters["properties"]["a"]


def test_annotated_description_wins_over_the_docstring() -> None:
    def function(a: Annotated[str, "Near."]) -> None:
        """Do it.

        Args:
            a: Far.
        """

    assert describe(function).parameters["properties"]["a"]["description"] == "Near."


@pytest.mark.parametrize(
    ("hint", "default", "expected"),
    [
        (int, 3, {"default": 3}),
        (Color, Color.RED, {"default": "red"}),
        (str | None, None, {"default": None}),
        (Point, Point(1), {"default": {"x": 1, "y": 0.0}}),
        (int, None, {}),  # not a value that its own schema would take
        (float, float("nan"), {}),
        (Any, object(), {}),
    ],
)
def test_defaults(hint: Any, default: Any, expected: dict[str, Any]) -> None:
    schema = describe(_function({"value": hint}, value=default))
    assert schema.parameters["required"] == []
    shown = schema.parameters["properties"]["value"]
    assert {key: shown[key] for key in shown if key == "default"} == expected


@pytest.mark.parametrize(
    ("hints", "defaults", "strict"),
    [
        ({}, {}, True),
        ({"a": str, "b": int | None, "c": list[Literal["x"]]}, {}, True),
        ({"a": str, "b": int}, {"b": 1}, False),
        ({"a": Point}, {}, False),  # y may be left out
        ({"a": list[Point]}, {}, False),
        ({"a": dict[str, int]}, {}, False),
        ({"a": Any}, {}, False),
    ],
)
def test_strict_means_that_everything_is_required(
    hints: dict[str, Any], defaults: dict[str, Any], strict: bool
) -> None:
    assert describe(_function(hints, **defaults)).strict is strict


def test_methods_partials_and_callable_objects() -> None:
    class Adder:
        def add(self, a: int, b: int) -> int:
            """Add."""
            return a + b

        def __call__(self, a: int) -> int:
            return a

    assert list(describe(Adder().add).parameters["properties"]) == ["a", "b"]
    assert describe(Adder(), name="adder").parameters["required"] == ["a"]
    partial = describe(functools.partial(Adder().add, b=1), name="increment", description="Add one.")
    assert (partial.name, partial.description, partial.parameters["required"]) == ("increment", "Add one.", ["a"])


class Tree(TypedDict):
    branches: list[Tree]


def _no_hint(a) -> None: ...  # type: ignore[no-untyped-def]
def _variadic(*a: int) -> None: ...
def _keywords(**a: int) -> None: ...
def _positional_only(a: int, /) -> None: ...
def _unsupported(a: complex) -> None: ...
def _recursive(a: Tree) -> None: ...
def _unknown_name(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_no_hint, "'a' needs a type hint"),
        (_variadic, "'*a: int' is variadic positional"),
        (_keywords, "'**a: int' is variadic keyword"),
        (_positional_only, "positional-only"),
        (_unsupported, "_unsupported(a): the type hint complex"),
        (_recursive, "Tree contains itself"),
        (_unknown_name, "name 'Nowhere' is not defined"),
    ],
)
def test_what_cannot_be_a_tool_is_named(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        describe(function)
    assert said in str(caught.value)
    assert function.__name__ in str(caught.value)


@pytest.mark.parametrize("name", ["", "<lambda>", "a b", "x" * 65, "naïve"])
def test_names_that_the_wire_does_not_take(name: str) -> None:
    function = _function({})
    function.__name__ = name
    with pytest.raises(ToolDefinitionError, match="pass name="):
        describe(function)


# --- properties -------------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(
    [str, int, float, bool, Color, Level, Literal["a", "b"], Literal[1, 2], Point, Options, Address]
)
HINTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda hint: list[hint]),  # type: ignore[valid-type]
        inner.map(lambda hint: dict[str, hint]),  # type: ignore[valid-type]
        inner.map(lambda hint: hint | None),
    ),
    max_leaves=3,
)
PARAMETERS = st.dictionaries(st.from_regex(r"[a-z]{1,8}_", fullmatch=True), HINTS, max_size=4)


def _function(hints: dict[str, Any], **defaults: Any) -> Callable[..., Any]:
    """A function of this signature that returns its arguments."""

    def function(**arguments: Any) -> Any:
        return arguments

    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=hint,
                default=defaults.get(name, inspect.Parameter.empty),
            )
            for name, hint in hints.items()
        ]
    )
    return function


def _instances(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """JSON values that fit a schema, by reading it as a model would."""
    if "anyOf" in schema:
        return st.one_of([_instances(each) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "string":
            return st.text(max_size=8)
        case "integer":
            return st.integers()
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            return st.lists(_instances(schema["items"]), max_size=3)
    if "properties" not in schema:
        return st.dictionaries(st.text(max_size=4), _instances(schema["additionalProperties"]), max_size=3)
    fields = {name: _instances(each) for name, each in schema["properties"].items()}
    required = {name: each for name, each in fields.items() if name in schema["required"]}
    return st.fixed_dictionaries(required, optional={name: fields[name] for name in fields.keys() - required.keys()})


@settings(max_examples=60, deadline=None)
@given(PARAMETERS, st.data())
def test_arguments_that_fit_the_schema_reach_the_function_and_mean_the_same(
    hints: dict[str, Any], data: st.DataObject
) -> None:
    local = tool(_function(hints))
    parameters = local.schema.parameters
    jsonschema.Draft202012Validator.check_schema(parameters)
    arguments = data.draw(_instances(parameters))
    output = asyncio.run(local.run(json.dumps(arguments)))
    assert not output.is_error, output.text
    received = local(**local.schema.convert(arguments))
    assert received.keys() == arguments.keys()
    for name, value in received.items():
        # What the function got, written as JSON again, is what was sent (defaults of nested objects added).
        assert msgspec.convert(value, hints[name], from_attributes=True) == value
        written = msgspec.json.encode(value)
        assert msgspec.json.decode(written, type=hints[name]) == value


@settings(max_examples=60, deadline=None)
@given(PARAMETERS.filter(bool), st.data())
def test_arguments_that_do_not_fit_never_reach_the_function(hints: dict[str, Any], data: st.DataObject) -> None:
    called = False

    def record(**arguments: Any) -> None:
        nonlocal called
        called = True

    record.__signature__ = inspect.signature(_function(hints))  # type: ignore[attr-defined]
    local = tool(record)
    arguments = data.draw(_instances(local.schema.parameters))
    name = data.draw(st.sampled_from(sorted(hints)))
    match data.draw(st.sampled_from(["missing", "unknown", "mistyped", "no object"])):
        case "missing":
            del arguments[name]
        case "unknown":
            arguments["Unknown"] = 1
        case "mistyped":
            arguments[name] = [[[]]] if not _is_list(hints[name]) else "text"
        case _:
            arguments = [arguments]
    output = asyncio.run(local.run(json.dumps(arguments)))
    assert output.is_error
    assert output.text.startswith("Error: invalid arguments for record: ")
    assert not called


def _is_list(hint: Any) -> bool:
    schema = describe(_function({"value": hint})).parameters["properties"]["value"]
    return "array" in json.dumps(schema)
