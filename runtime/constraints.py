"""What the turns of a Response may be, as grammars: tool choice, strict arguments, JSON text.

All is made and compiled once, in preinference and beside the event loop, so that a schema that can't be enforced is an
``error`` before there is a Response, and a turn costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..protocol.errors import InvalidToolSchema, InvalidValue
from ..sampler.errors import InvalidGrammar
from ..sampler.tool_grammar import FunctionTool, NamedFunction, ToolChoice, turn_grammar
from .service import Service
from .tool_definitions import Tools

_CHOICES = (
    "'tool_choice' must be 'auto', 'none', 'required', {'type': 'function', 'name': ...}, a hosted tool's type, or "
    "{'type': 'allowed_tools', 'mode': 'auto' or 'required', 'tools': [...]}."
)


@dataclass(frozen=True, slots=True)
class Constraints:
    """Grammars for ``SamplingParams.grammar``; None where nothing is constrained.

    :ivar until_call: of the turns until the model has made its first call. A call that was forced and made is enough:
        were it forced in each turn, the Response could never end.
    :ivar after_call: of all turns after that one.
    """

    until_call: str | None = None
    after_call: str | None = None


@dataclass(frozen=True, slots=True)
class _Turns:
    """What a grammar is made of, besides the tool choice."""

    service: Service
    functions: Sequence[FunctionTool]
    parallel: bool
    text_schema: Mapping[str, Any] | None

    def grammar(self, choice: ToolChoice) -> str | None:
        model = self.service.model
        return turn_grammar(
            model.vocab,
            model.tool_format,
            self.functions,
            tool_choice=choice,
            parallel_tool_calls=self.parallel,
            text_schema=self.text_schema,
            in_reasoning=model.tool_format.begins_in_reasoning(model.chat_template.generation_prompt),
        )

    async def compiled(self, choice: ToolChoice) -> str | None:
        """Raises InvalidToolChoice, InvalidGrammar."""
        # Only schemas take long. A thread costs every other request more than its grammar does.
        with_schemas = self.text_schema is not None or any(function.strict for function in self.functions)
        grammar = await asyncio.to_thread(self.grammar, choice) if with_schemas else self.grammar(choice)
        if grammar is not None:
            await self.service.engine.check_grammar(grammar)
        return grammar


async def make_constraints(
    tools: Tools,
    service: Service,
    *,
    tool_choice: object,
    parallel_tool_calls: bool,
    text_schema: Mapping[str, Any] | None,
) -> Constraints:
    """The grammars of a Response.

    :param tool_choice: as the request has it.
    :raises InvalidValue: there is no such tool choice, or the text's schema can't be enforced.
    :raises InvalidToolSchema: the schema of a strict tool can't be enforced.
    :raises InvalidToolChoice: the tool to be called isn't there.
    """
    choice, functions = _read_choice(tool_choice, tools, service)
    turns = _Turns(service, functions, parallel_tool_calls, text_schema)
    try:
        first = await turns.compiled(choice)
        return Constraints(first, first if choice in ("auto", "none") else await turns.compiled("auto"))
    except InvalidGrammar as error:
        raise await _explained(error, turns, tools) from error


async def _explained(error: InvalidGrammar, turns: _Turns, tools: Tools) -> InvalidValue | InvalidToolSchema:
    """The same error with the field that it is about: the schema that can't be compiled alone either."""
    try:
        await replace(turns, functions=()).compiled("none")
    except InvalidGrammar as alone:
        return InvalidValue(f"'text.format' can't be enforced: {alone}.", param="text.format.schema")
    for tool in turns.functions:
        try:
            await replace(turns, functions=[tool], text_schema=None).compiled("required")
        except InvalidGrammar as alone:
            return InvalidToolSchema(
                f"Strict parameters can't be enforced: {alone}. Change the schema, or leave 'strict' out.",
                param=f"{tools.places[tool.name]}.parameters",
            )
    return InvalidToolSchema(f"The tools can't be enforced together: {error}.", param="tools")


def _read_choice(value: object, tools: Tools, service: Service) -> tuple[ToolChoice, Sequence[FunctionTool]]:
    """The choice, and the tools that it is made among."""
    if value is None or value == "auto":
        return "auto", tools.functions
    if value == "none":
        return "none", tools.functions
    if value == "required":
        return "required", tools.functions
    kind = value.get("type") if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and kind == "allowed_tools":
        return _read_allowed(value, tools, service)
    name = _name(value, service)
    if name is None:
        raise InvalidValue(_CHOICES, param="tool_choice")
    return NamedFunction(name), tools.functions


def _read_allowed(
    value: Mapping[Any, Any], tools: Tools, service: Service
) -> tuple[ToolChoice, Sequence[FunctionTool]]:
    mode, allowed = value.get("mode", "auto"), value.get("tools")
    if mode not in ("auto", "required") or not isinstance(allowed, list) or not allowed:
        raise InvalidValue(_CHOICES, param="tool_choice")
    names = set()
    for at, tool in enumerate(allowed):
        name = _name(tool, service)
        if name not in tools.places:
            raise InvalidValue(
                f"'tool_choice.tools[{at}]' is none of the tools of this request.", param=f"tool_choice.tools[{at}]"
            )
        names.add(name)
    # A tool that isn't strict leaves the turn free, and the model could call any other too. An object of any kind,
    # strictly, is all that it may be given without being strict.
    functions = [tool if tool.strict else FunctionTool(tool.name, None, True) for tool in tools.functions]
    return ("required" if mode == "required" else "auto"), [tool for tool in functions if tool.name in names]


def _name(tool: object, service: Service) -> str | None:
    """The name of the function that ``{"type": "function", "name": ...}`` or a hosted tool's type stands for."""
    if not isinstance(tool, Mapping):
        return None
    kind, name = tool.get("type"), tool.get("name")
    if kind == "function":
        return name if isinstance(name, str) else None
    hosted = service.hosted_tools.get(kind) if isinstance(kind, str) else None
    return None if hosted is None else str(hosted.function["name"])
