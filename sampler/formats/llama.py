"""Llama 3.x: a turn that is one or more JSON calls, or begins with `<|python_tag|>`.

Sources: Meta's prompt formats of Llama 3.1 to 3.3 (custom tools as `{"name": ..., "parameters": {...}}`, built-in tools
as `<|python_tag|>brave_search.call(query="...")`, the code interpreter as `<|python_tag|>` and code).
"""

from __future__ import annotations

import ast
import json
import re
import warnings

from ..tool_format import CallSyntax, ToolFormat
from ..utf8 import encode_utf8
from .call_object import CallObject
from .json_value import Step
from .turn_parser import MarkScanner, TurnParser

_TAG = "<|python_tag|>"
_KEYS = ("parameters", "arguments")
_BUILTIN = re.compile(r"\s*[A-Za-z_][\w.]*\.call\(")
_LONGEST_BUILTIN = 100_000

CODE_INTERPRETER = "code_interpreter"
"""The tool that code after the tag is a call to, with `{"code": ...}` as its arguments."""


class LlamaParser(TurnParser):
    """JSON calls and the python tag.

    - A turn whose first character is "{" is read as a call, further ones may follow after ";". It is one as soon as it
      has a name and parameters; an object without parameters is text, as is whatever follows it.
    - After the tag: JSON calls, or built-in calls with literal keyword arguments, which become JSON. Anything else is
      code. Both are known for what they are only at their end, so their arguments come in one piece.
    - After a call, only ";", another tag or text can follow. What follows a malformed call is dropped.
    """

    def __init__(self) -> None:
        super().__init__()
        self._scanner = MarkScanner(_TAG)
        self._state = self._at_start
        self._space: list[str] = []
        self._code: list[str] = []
        self._tagged = False

    def _end(self) -> None:
        if self._state == self._in_call:
            raw = self._call.give_up()
            if raw and self._tagged:
                self._write_code(raw)
            else:
                self._out.text(raw)
        elif self._state in (self._after_tag, self._in_code):
            self._end_code()
        elif self._state == self._at_start:
            self._out.text("".join(self._space))
        elif self._state == self._in_text:
            rest = self._scanner.rest()
            if rest.strip() or not self._out.after_call:
                self._out.text(rest)

    def _at_start(self, character: str) -> None:
        if character.isspace():
            self._space.append(character)
            return
        space = "".join(self._space)
        if character == "{":
            self._begin_call(space, tagged=False)
        else:
            self._begin_text()
            self._run(space)
        self._state(character)

    def _in_text(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        if mark:
            self._begin_tag()
        else:
            self._out.text(text)

    def _begin_text(self) -> None:
        self._scanner = MarkScanner(_TAG)
        self._state = self._in_text

    # A JSON call.

    def _begin_call(self, prefix: str, *, tagged: bool) -> None:
        self._tagged = tagged
        self._call = CallObject(self._out, prefix=prefix, keys=_KEYS, needs_arguments=True)
        self._state = self._in_call

    def _in_call(self, character: str) -> None:
        step = self._call.feed(character)
        if step is Step.LAST:
            self._scanner = MarkScanner(_TAG)
            self._state = self._after_call
        elif step is Step.BAD:
            raw = self._call.give_up()
            if raw and self._tagged:
                self._begin_tag()
                self._code.append(raw)
                self._state = self._in_code
            elif raw:
                self._out.text(raw)
                self._begin_text()
            else:
                self._scanner = MarkScanner(_TAG)
                self._state = self._in_rest
            self._state(character)

    def _after_call(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        visible = text.strip()
        if mark:
            self._begin_tag()
        elif visible == ";":
            self._state = self._after_separator
        elif visible and visible not in ("}", "]"):  # small models close one bracket too many
            text += self._scanner.rest()
            self._begin_text()
            self._run(text)

    def _after_separator(self, character: str) -> None:
        if character == "{":
            self._begin_call("", tagged=False)
        elif not character.isspace():
            self._begin_text()
        else:
            return
        self._state(character)

    def _in_rest(self, character: str) -> None:
        _, mark = self._scanner.feed(character)
        if mark:
            self._begin_tag()

    # What follows the tag.

    def _begin_tag(self) -> None:
        self._scanner = MarkScanner(_TAG, strip=False)
        self._code.clear()
        self._state = self._after_tag

    def _after_tag(self, character: str) -> None:
        if character == "{":
            self._begin_call("".join(self._code), tagged=True)
        elif character.isspace():
            self._code.append(character)
            return
        else:
            self._state = self._in_code
        self._state(character)

    def _in_code(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        self._code.append(text)
        if mark:
            self._end_code()
            self._begin_tag()

    def _end_code(self) -> None:
        code = "".join(self._code) + self._scanner.rest()
        if code.strip():
            calls = _builtin_calls(code)
            for name, arguments in calls:
                self._out.begin_call(name)
                self._out.arguments(arguments)
                self._out.end_call(True)
            if not calls:
                self._write_code(code)

    def _write_code(self, code: str) -> None:
        self._out.begin_call(CODE_INTERPRETER)
        self._out.arguments(json.dumps({"code": code}, ensure_ascii=False))
        self._out.end_call(True)


def _builtin_calls(code: str) -> list[tuple[str, str]]:
    """Names and JSON arguments, if the code is nothing but calls `name.call(key=literal)`."""
    if len(code) > _LONGEST_BUILTIN or not _BUILTIN.match(code):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of escapes that it doesn't know
            return [_builtin_call(statement) for statement in ast.parse(code.strip()).body]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return []


def _builtin_call(statement: ast.stmt) -> tuple[str, str]:
    """Raises ValueError."""
    match statement:
        case ast.Expr(ast.Call(func=ast.Attribute(value=owner, attr="call"), args=[], keywords=keywords)):
            values = {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}
            if None not in values:
                arguments = json.dumps(values, ensure_ascii=False, allow_nan=False)
                return ast.unparse(owner), encode_utf8(arguments).decode()
    raise ValueError("no call of a built-in tool")


LLAMA3 = ToolFormat(
    "llama3",
    lambda in_reasoning: LlamaParser(),
    CallSyntax(before_name='{"name": "', before_arguments='", "parameters": ', after_arguments="}", separator="; "),
    frozenset({_TAG}),
)
