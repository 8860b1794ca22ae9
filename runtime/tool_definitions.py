"""The ``tools`` of a request: what the model is told of them, what its calls have to look like, who runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from ..protocol.errors import InvalidToolSchema, InvalidValue
from ..sampler.tool_grammar import FunctionTool
from .service import Service

MAX_TOOLS = 512


@dataclass(slots=True)
class Tools:
    """The tools of one request that this server knows the type of.

    :ivar definitions: as templates expect them.
    :ivar functions: the same, for a grammar.
    :ivar places: where each stands in the request (``tools[3]``), by its name.
    :ivar hosted_names: names of those that the server runs.
    """

    definitions: list[dict[str, Any]] = field(default_factory=list)
    functions: list[FunctionTool] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    hosted_names: frozenset[str] = frozenset()


def read_tools(tools: Sequence[Any], service: Service) -> Tools:
    """Read a request's ``tools``.

    Those of a type that nobody here knows are passed over, as clients of the Responses API expect; the echoed
    ``tools`` show what was asked for.

    :raises InvalidToolSchema: a function without a name, twice the same name, or ``parameters`` that are no JSON
        schema of an object.
    """
    if len(tools) > MAX_TOOLS:
        raise InvalidValue(f"More than {MAX_TOOLS} tools.", param="tools")
    read = Tools()
    for number, tool in enumerate(tools):
        at = f"tools[{number}]"
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if not isinstance(kind, str):
            raise InvalidToolSchema("A tool is an object with a 'type'.", param=at)
        if kind == "function":
            function = _function(tool, at)
        elif kind in service.hosted_tools:
            function = dict(service.hosted_tools[kind].function)
            read.hosted_names |= {function["name"]}
        else:
            continue
        name = function["name"]
        if name in read.places:
            raise InvalidToolSchema(f"Two tools are named {name!r}.", param=f"{at}.name")
        read.places[name] = at
        shown = {key: function[key] for key in ("name", "description", "parameters")}
        read.definitions.append({"type": "function", "function": shown})
        read.functions.append(FunctionTool(name, function["parameters"], function["strict"]))
    return read


def _function(tool: Mapping[str, Any], at: str) -> dict[str, Any]:
    name, description, parameters = tool.get("name"), tool.get("description"), tool.get("parameters")
    if not isinstance(name, str) or not name:
        raise InvalidToolSchema("A function tool needs a 'name'.", param=f"{at}.name")
    if not isinstance(description, str | None):
        raise InvalidToolSchema("A tool's 'description' must be a string.", param=f"{at}.description")
    if not isinstance(tool.get("strict"), bool | None):
        raise InvalidToolSchema("A tool's 'strict' must be true or false.", param=f"{at}.strict")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    try:
        Draft202012Validator.check_schema(parameters)
    except SchemaError as error:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path)
        raise InvalidToolSchema(
            f"The parameters of {name!r} are no JSON schema: {error.message[:200]}", param=f"{at}.parameters{where}"
        ) from error
    except RecursionError as error:
        raise InvalidToolSchema(
            f"The parameters of {name!r} are nested too deeply.", param=f"{at}.parameters"
        ) from error
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise InvalidToolSchema(
            f"The parameters of {name!r} must be a schema of type 'object'.", param=f"{at}.parameters"
        )
    return {
        "name": name,
        "description": description or "",
        "parameters": parameters,
        "strict": tool.get("strict") is True,
    }
