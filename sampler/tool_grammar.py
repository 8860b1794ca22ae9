"""The grammar of one assistant turn: which tools it may call, with which arguments, and what else it may say.

    turn:  [reasoning] (text | [text] calls | JSON text)

A call begins where the syntax says: with a special token or a tag, anywhere in the text; or, for models that write
a call as bare JSON, with the turn's first character that isn't white space. Text is free up to there, and can't
contain that beginning, since a parser would take it for one. From there on the tools' names and schemas hold.

JSON is written on one line, with an optional space after `,` and `:` and no white space elsewhere: models were trained
on either, and one that is lost can't go on with spaces for ever. Of the escapes, those with `u` aren't allowed: they
would let an unlisted property spell the name of a listed one, and get round patterns. What has no other form (a few
control characters) can't be written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .errors import InvalidGrammar, InvalidToolChoice
from .lark_text import ANY_TEXT, Parts, SpecialTokens, sequence, text_until, text_without
from .strict_schema import rewrite_schema
from .tool_format import Reasoning, ToolFormat
from .vocabulary import Vocabulary

_JSON_OPTIONS = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "json_allowed_escapes": 'nrbtf\\"',
}
_TAG = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that the model may call.

    parameters: the JSON schema of its arguments, an object; None for any.
    strict:     the arguments will validate against `parameters`. Else they are some JSON object.
    """

    name: str
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class NamedFunction:
    """The tool choice that is one function."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedFunction


def turn_grammar(
    vocab: Vocabulary,
    tool_format: ToolFormat,
    tools: Sequence[FunctionTool],
    *,
    tool_choice: ToolChoice = "auto",
    parallel_tool_calls: bool = True,
    text_schema: Mapping[str, Any] | None = None,
    in_reasoning: bool = False,
) -> str | None:
    """The grammar for `SamplingParams.grammar`, or None where nothing needs to be constrained.

    tools:       those that the model was told of.

    tool_choice: "none" constrains nothing, it only allows what `text_schema` says; "required" and a named function
                 leave no text before the call, reasoning apart. With "auto", free text or calls, until one begins.
    parallel_tool_calls: False ends the turn after its first call. A named function is called once.
    text_schema: text is JSON that validates against this schema, instead of free; `{"type": "object"}` for any object.
    in_reasoning: the prompt has begun the turn's reasoning already (`ToolFormat.begins_in_reasoning`).

    Where a format announces its text (`text_begin`), text comes instead of calls, not before them.

    Raises InvalidToolChoice: a tool must be called and there is none, or none of that name. Raises InvalidGrammar: a
    schema isn't valid or not supported; what only llguidance finds out is raised when the grammar is compiled.
    """
    called = _called(tools, tool_choice)
    free = tool_choice == "auto" and parallel_tool_calls and not any(tool.strict for tool in called)
    if text_schema is None and (free or not called):
        return None
    special = SpecialTokens(vocab)
    rules = [ANY_TEXT]
    bodies = []
    if called:
        many = parallel_tool_calls and not isinstance(tool_choice, NamedFunction)
        calls = _Calls(special, tool_format)
        rules += calls.rules(called, many=many)
        if tool_choice == "auto" and text_schema is None:
            rules += calls.text_rules()
            bodies.append("text_or_calls")
        else:
            bodies.append("calls")
    if text_schema is not None and tool_choice in ("auto", "none"):
        schema = _schema("the text's JSON schema", text_schema)
        rules.append(f"json_text: {special.sequence(tool_format.text_begin)} {_json(schema)}")
        bodies.append("json_text")
    rules.append(f"body: {' | '.join(bodies)}")
    if tool_format.reasoning is None:
        rules.append("start: body")
    else:
        rules += _reasoning_rules(special, tool_format, tool_format.reasoning, begun=in_reasoning)
    return "\n".join(rules) + "\n"


class _Calls:
    """The rules of a turn's calls: `calls` for all of them, `calls_after_trigger` for what follows the first tag."""

    def __init__(self, special: SpecialTokens, tool_format: ToolFormat) -> None:
        self._special = special
        self._format = tool_format
        self._syntax = syntax = tool_format.syntax
        opening = special.split(syntax.begin + syntax.before_name)
        self._trigger: Parts = []
        self._rest = opening
        if opening and isinstance(opening[0], int):
            self._trigger, self._rest = opening[:1], opening[1:]
        elif opening and isinstance(opening[0], str) and (tag := _TAG.match(opening[0])):
            self._trigger, self._rest = [tag[0]], [opening[0][tag.end() :], *opening[1:]]

    def rules(self, tools: Sequence[FunctionTool], *, many: bool) -> list[str]:
        syntax, special = self._syntax, self._special
        after, last = special.without_stop(syntax.after_arguments)
        end, _ = special.without_stop(syntax.end)
        again = ""
        if many and syntax.parallel and not last:
            between = sequence([*after, *special.split(syntax.separator + syntax.before_name)])
            again = f"({between} function)*"
        return [
            *self._function_rules(tools),
            f"calls_after_trigger: {sequence(self._rest)} function {again} {sequence([*after, *end])}",
            f"calls: {sequence(self._trigger)} calls_after_trigger",
        ]

    def _function_rules(self, tools: Sequence[FunctionTool]) -> list[str]:
        before = self._special.split(self._syntax.before_arguments)
        rules = [f"function: {' | '.join(f'function_{index}' for index in range(len(tools)))}"]
        if not all(tool.strict for tool in tools):
            rules.append(f"any_object: {_json(_ANY_OBJECT)}")
        for index, tool in enumerate(tools):
            # Nothing in a name becomes a special token, whatever it looks like.
            name = json.dumps(tool.name, ensure_ascii=False)[1:-1] if self._syntax.name_in_json else tool.name
            arguments = _json(_parameters(tool)) if tool.strict else "any_object"
            rules.append(f"function_{index}: {sequence([name, *before])} {arguments}")
        return rules

    def text_rules(self) -> list[str]:
        """Free text, calls, or text and then calls.

        The parser reads bytes: text that spells one of its marks would be one to it, so there is none.
        """
        begin = self._special.sequence(self._format.text_begin)
        marks = set(self._format.structure)
        if not self._trigger:
            first = (self._syntax.begin + self._syntax.before_name).lstrip()[:1]
            # A class of one character, which may be one with a meaning in a class.
            bare = f"[^ \\t\\r\\n\\u{{{ord(first):x}}}]" if first else "."
            return [
                text_without("FREE_TEXT", marks, pattern=f"[ \\t\\r\\n]*({bare}(?s:.*))?"),
                f"text_or_calls: {begin} FREE_TEXT? | calls",
            ]
        trigger = self._trigger[0]
        text = trigger if isinstance(trigger, str) else self._special.texts[trigger]
        rules = [text_without("FREE_TEXT", {text, *marks})]
        if begin:
            return [*rules, f"text_or_calls: {begin} FREE_TEXT? | calls"]
        if isinstance(trigger, int):
            return [*rules, "text_or_calls: FREE_TEXT? calls?"]
        return [
            *rules,
            *text_until("text_and_trigger", trigger, marks),
            "text_or_calls: FREE_TEXT? | text_and_trigger calls_after_trigger",
        ]


def _reasoning_rules(
    special: SpecialTokens, tool_format: ToolFormat, reasoning: Reasoning, *, begun: bool
) -> list[str]:
    end = special.split(reasoning.end)
    if isinstance(end[0], int):
        rules = [
            text_without("REASONING_TEXT", {special.texts[end[0]], *tool_format.structure}),
            f"reasoning: REASONING_TEXT? {sequence(end)}",
        ]
    else:
        # The parser takes the tag alone for the end, whatever stands around it.
        tag = _TAG.match(end[0])
        size = tag.end() if tag else len(end[0])
        rules = [
            *text_until("thought", end[0][:size], tool_format.structure),
            f"reasoning: thought {sequence([end[0][size:], *end[1:]])}",
        ]
    begin = special.sequence(reasoning.begin)
    rules.append("start: reasoning body" if begun else f"start: ({begin} reasoning)? body")
    return rules


def _called(tools: Sequence[FunctionTool], tool_choice: ToolChoice) -> Sequence[FunctionTool]:
    """The tools that the choice lets the model call."""
    if tool_choice == "none":
        return ()
    if isinstance(tool_choice, NamedFunction):
        named = [tool for tool in tools if tool.name == tool_choice.name][:1]
        if not named:
            raise InvalidToolChoice(f"tool_choice names the function {tool_choice.name[:60]!r}, which isn't in tools")
        return named
    if tool_choice == "required" and not tools:
        raise InvalidToolChoice("tool_choice is required, but there are no tools")
    return tools


def _parameters(tool: FunctionTool) -> Mapping[str, Any]:
    if tool.parameters is None:
        return _ANY_OBJECT
    what = f"the parameters of the function {tool.name[:60]!r}"
    schema = _schema(what, tool.parameters)
    if schema.setdefault("type", "object") != "object":
        raise InvalidGrammar(f"{what}: the schema's type must be object")
    return schema


def _schema(what: str, schema: object) -> dict[str, Any]:
    try:
        return rewrite_schema(schema)
    except InvalidGrammar as error:
        raise InvalidGrammar(f"{what}: {error}") from None


def _json(schema: Mapping[str, Any]) -> str:
    return "%json " + json.dumps({**schema, "x-guidance": _JSON_OPTIONS}, ensure_ascii=False)
