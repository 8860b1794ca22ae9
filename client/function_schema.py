"""A plain Python function as a Responses function tool.

The type part of the schema is msgspec's (``msgspec.json.schema_components``): it knows every hint
that the arguments can be converted back into. What a model is shown differs from it in form, so
it is rewritten here: references are inlined (small models don't follow ``$ref``), ``title`` is dropped,
every object with fixed fields is closed with ``additionalProperties: false``, and an enum gets its ``type``.

Source: OpenAI, "Function calling" (form of a function tool, meaning of ``strict``); JSON Schema 2020-12.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

import docstring_parser
import msgspec

from .errors import ToolDefinitionError

Schema = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


@dataclass(frozen=True)
class FunctionSchema:
    """What a model is told of a function, and how its arguments become Python values again."""

    name: str
    description: str
    parameters: Schema
    strict: bool
    hints: Mapping[str, Any]

    def as_tool(self) -> Schema:
        """The tool definition as it stands in a ``response.create``."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "strict": self.strict,
        }

    def convert(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Decoded JSON arguments as values of the hinted types (an Enum member, a dataclass instance ...).

        :raises msgspec.ValidationError: a value doesn't fit its hint; the message begins with the parameter's name.
        """
        converted = {}
        for name, value in arguments.items():
            try:
                converted[name] = msgspec.convert(value, self.hints[name], str_keys=True)
            except msgspec.ValidationError as error:
                raise msgspec.ValidationError(f"{name}: {error}") from None
        return converted


def describe(
    function: Callable[..., Any], *, name: str | None = None, description: str | None = None
) -> FunctionSchema:
    """The schema of ``function``, from its signature, type hints and docstring.

    The description is the docstring's first paragraph; parameters take theirs from ``Annotated[T, "..."]``
    or else from the docstring (Google, NumPy or Sphinx style). A parameter without a default is required.
    ``strict`` is True only if every property at every level is required, which is what the word means to
    the Responses API. ``name`` and ``description`` override what the function says of itself.

    :raises ToolDefinitionError: the function has no usable name, or a parameter has no hint, an unsupported one, or
        can't be passed by name.
    """
    name = str(name or getattr(function, "__name__", ""))
    if not _NAME.fullmatch(name):
        raise ToolDefinitionError(
            f"{function!r} can't be a tool: its name must be 1 to 64 letters, digits, '_' or '-'; pass name="
        )
    docstring = docstring_parser.parse(inspect.getdoc(function) or "")
    documented = {parameter.arg_name: _one_line(parameter.description) for parameter in docstring.params}
    properties: Schema = {}
    required = []
    hints = {}
    for parameter in _signature(function, name).parameters.values():
        _check_parameter(parameter, name)
        hint = parameter.annotation
        schema = _type_schema(hint, where=f"{name}({parameter.name})")
        text = _annotated_text(hint) or documented.get(parameter.name)
        if text:
            schema["description"] = text
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        else:
            schema.update(_default(parameter.default, hint))
        properties[parameter.name] = _ordered(schema)
        hints[parameter.name] = hint
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if description is None:
        description = _first_paragraph(docstring)
    return FunctionSchema(name, description, parameters, _is_strict(parameters), hints)


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError, SyntaxError) as error:
        raise ToolDefinitionError(f"the signature of {name}() can't be read: {error}") from error


def _check_parameter(parameter: inspect.Parameter, function_name: str) -> None:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ToolDefinitionError(
            f"{function_name}(): parameter {str(parameter)!r} is {parameter.kind.description}; "
            "a tool's parameters are passed by name"
        )
    if parameter.annotation is parameter.empty:
        raise ToolDefinitionError(f"{function_name}(): parameter {parameter.name!r} needs a type hint")


def _type_schema(hint: Any, where: str) -> Schema:
    try:
        (schema,), components = msgspec.json.schema_components([hint], ref_template="{name}")
        closed: Schema = _closed(schema, components, ())
    except (TypeError, NameError) as error:
        reason = str(error).splitlines()[-1]
        raise ToolDefinitionError(f"{where}: the type hint {_spelled(hint)} has no JSON schema: {reason}") from error
    return closed


def _closed(schema: Any, components: dict[str, Any], inside: tuple[str, ...]) -> Any:
    """msgspec's schema in the form that the module docstring describes; ``inside``: the references being inlined."""
    if isinstance(schema, list):
        return [_closed(each, components, inside) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        if reference in inside:
            raise TypeError(f"{reference} contains itself, and a recursive type can't be written out")
        target = _closed(components[reference], components, (*inside, reference))
        return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    # The values under these keys are data or a map of names, not schemas: a property may be called "title".
    closed = {
        key: value if key in ("enum", "default", "properties", "examples") else _closed(value, components, inside)
        for key, value in schema.items()
        if key != "title"
    }
    if "properties" in closed:
        properties = closed["properties"].items()
        closed["properties"] = {name: _closed(each, components, inside) for name, each in properties}
        closed.setdefault("required", [])
        closed["additionalProperties"] = False
    if "enum" in closed:
        types = [_JSON_TYPES[kind] for kind in _JSON_TYPES if any(type(value) is kind for value in closed["enum"])]
        closed["type"] = types[0] if len(types) == 1 else types
    if "description" in closed:
        closed["description"] = _one_line(closed["description"])
    return _ordered(closed)


def _ordered(schema: Schema) -> Schema:
    """Type and description first: what a reader, and a model, looks for first."""
    first: Schema = {key: schema[key] for key in ("type", "description") if key in schema}
    return {**first, **schema}


def _default(value: Any, hint: Any) -> Schema:
    """``{"default": ...}``, or nothing where the value isn't JSON or no value of its hint (``x: int = None``)."""
    try:
        encoded = msgspec.json.encode(value)
        msgspec.json.decode(encoded, type=hint)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return {}
    return {"default": msgspec.json.decode(encoded)}


def _is_strict(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(_is_strict(each) for each in schema)
    if not isinstance(schema, dict) or schema.keys().isdisjoint(("type", "anyOf")):
        return False
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or schema.get("properties", {}).keys() != set(schema.get("required", ()))
    ):
        return False
    nested = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("prefixItems", ())]
    if isinstance(schema.get("items"), dict):
        nested.append(schema["items"])
    return _is_strict(nested)


def _annotated_text(hint: Any) -> str | None:
    if get_origin(hint) is not Annotated:
        return None
    for note in get_args(hint)[1:]:
        text = note.description if isinstance(note, msgspec.Meta) else note
        if isinstance(text, str):
            return _one_line(text)
    return None


def _first_paragraph(docstring: docstring_parser.Docstring) -> str:
    lines = [docstring.short_description or ""]
    if docstring.long_description and not docstring.blank_after_short_description:
        lines.append(docstring.long_description.split("\n\n")[0])
    return _one_line(" ".join(lines))


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _spelled(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
