"""The ``tools`` of a request: what the model is told of them, what its calls have to look like, who runs them.

Which types are served, passed over and refused is one table, in :mod:`.tool_types`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..protocol.errors import InvalidToolSchema, InvalidValue, Unsupported
from ..sampler.tool_grammar import FunctionTool
from .service import Service
from .tool_schemas import check_parameters
from .tool_types import HOSTED_PREFIX, REFUSED

MAX_TOOLS = 512
MAX_LABEL = 128


@dataclass(slots=True)
class Tools:
    """The tools of one request.

    :ivar definitions: as templates expect them.
    :ivar functions: the same, for a grammar.
    :ivar places: where each stands in the request (``tools[3]``), by its name.
    :ivar hosted_names: names of those that the server runs.
    :ivar ignored: those that were passed over, as ``type`` or ``type/name``.
    """

    definitions: list[dict[str, Any]] = field(default_factory=list)
    functions: list[FunctionTool] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    hosted_names: frozenset[str] = frozenset()
    ignored: list[str] = field(default_factory=list)


def read_tools(tools: Sequence[Any], service: Service) -> Tools:
    """Read a request's ``tools``. A function may come in the nested form of chat completions too.

    :raises InvalidToolSchema: a function without a name, twice the same name, or ``parameters`` that are no JSON
        schema of an object.
    :raises Unsupported: a tool of a type that is refused.
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
            function = _function(_flat(tool), at)
        elif kind in service.hosted_tools:
            function = dict(service.hosted_tools[kind].function)
            read.hosted_names |= {function["name"]}
        elif kind in REFUSED or kind.startswith(HOSTED_PREFIX):
            served = ", ".join(["function", *sorted(service.hosted_tools)])
            raise Unsupported(
                f"Tools of type {kind[:80]!r} are not run here. This server has {served}.", param=f"{at}.type"
            )
        else:
            read.ignored.append(_label(kind, tool))
            continue
        name = function["name"]
        if name in read.places:
            raise InvalidToolSchema(f"Two tools are named {name!r}.", param=f"{at}.name")
        read.places[name] = at
        shown = {key: function[key] for key in ("name", "description", "parameters")}
        read.definitions.append({"type": "function", "function": shown})
        read.functions.append(FunctionTool(name, function["parameters"], function["strict"]))
    return read


def echoed_tools(tools: Sequence[Any] | None) -> list[dict[str, Any]]:
    """The tools as the Response shows them: as they were given, a function with all of its fields."""
    return [_echoed(_flat(tool)) for tool in tools or () if isinstance(tool, Mapping)]


def _echoed(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        return dict(tool)
    return {"name": None, "description": None, "parameters": None, "strict": None, **tool}


def _flat(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A function in the form of the Responses API."""
    inner = tool.get("function")
    if tool.get("type") != "function" or tool.get("name") is not None or not isinstance(inner, Mapping):
        return tool
    return {**{key: value for key, value in tool.items() if key != "function"}, **inner, "type": "function"}


def _label(kind: str, tool: Mapping[str, Any]) -> str:
    name = tool.get("name")
    return f"{kind}/{name}"[:MAX_LABEL] if isinstance(name, str) and name else kind[:MAX_LABEL]


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
    check_parameters(name, parameters, f"{at}.parameters")
    return {
        "name": name,
        "description": description or "",
        "parameters": parameters,
        "strict": tool.get("strict") is True,
    }
