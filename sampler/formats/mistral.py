"""Mistral: `[TOOL_CALLS]` and a JSON list of calls, or `[TOOL_CALLS]name[ARGS]{...}`; `[THINK]...[/THINK]`.

Source: the tokenizer versions of mistral-common. v3 to v7 write the list, v11 `[TOOL_CALLS]name[CALL_ID]id[ARGS]{...}`,
v13 the same without the id. Reasoning models (Magistral, v13) think between `[THINK]` and `[/THINK]`.
"""

from __future__ import annotations

from ..tool_format import CallSyntax, Reasoning, ToolFormat
from .call_object import CallObject
from .json_value import JsonValue, Step
from .turn_parser import MarkScanner, TurnParser

_CALLS, _ID, _ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
_THINK, _END_THINK = "[THINK]", "[/THINK]"
_LONGEST_NAME = 1000


class MistralParser(TurnParser):
    """Both forms of calls, whichever the model writes.

    - Whitespace before `[TOOL_CALLS]` is not text.
    - What turns out to be no call before its name is known becomes text. After the name, the call is finished as
      incomplete, and the rest up to the next `[TOOL_CALLS]` is dropped.
    - `[THINK]` begins reasoning where no text or call came before; whitespace around the thought is dropped.
    """

    def __init__(self, *, in_reasoning: bool = False) -> None:
        super().__init__()
        self._fresh = False  # whitespace that comes now separates, and is no content
        self._raw: list[str] = []  # text, if this turns out to be no call
        self._begin_text()
        if in_reasoning:
            self._begin_reasoning()

    def _end(self) -> None:
        if self._state == self._in_text:
            rest = self._scanner.rest()
            if rest.strip() or not self._out.after_call:
                self._out.text(self._stripped(rest))
        elif self._state == self._in_reasoning:
            self._out.reasoning(self._stripped(self._scanner.rest()))
        elif self._state == self._in_object:
            self._out.text(self._call.give_up())
        elif self._state in (self._before_arguments, self._in_arguments):
            self._out.end_call(False, self._written_id())
        elif self._state in (self._after_mark, self._in_name, self._in_id):
            self._out.text("".join(self._raw) + self._scanner.rest())
        elif self._state == self._in_list and not self._listed:
            self._out.text("".join(self._raw))

    # Outside of calls.

    def _begin_text(self) -> None:
        self._scanner = MarkScanner(_CALLS, _THINK)
        self._state = self._in_text

    def _in_text(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        if mark == _CALLS:
            self._begin_mark("" if self._fresh or self._out.after_call else text)
        elif mark and not self._out.said:
            self._begin_reasoning()
        else:
            self._out.text(self._stripped(text + mark))

    def _begin_reasoning(self) -> None:
        self._fresh = True
        self._scanner = MarkScanner(_END_THINK)
        self._state = self._in_reasoning

    def _in_reasoning(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        if mark:
            self._fresh = True
            self._begin_text()
        else:
            self._out.reasoning(self._stripped(text))

    def _stripped(self, text: str) -> str:
        if self._fresh:
            text = text.lstrip()
            self._fresh = not text
        return text

    # Calls.

    def _begin_mark(self, space: str) -> None:
        self._raw = [space, _CALLS]
        self._name: list[str] = []
        self._id: list[str] = []
        self._fresh = self._listed = False
        self._scanner = MarkScanner(_ID, _ARGUMENTS, _CALLS, strip=False)
        self._state = self._after_mark

    def _after_mark(self, character: str) -> None:
        self._raw.append(character)
        if character == "[":
            self._state = self._in_list
        elif character == "{":
            self._raw.pop()
            self._begin_object(character)
        elif not character.isspace():
            self._raw.pop()
            self._state = self._in_name
            self._state(character)

    def _no_call(self, character: str) -> None:
        """Back to text. The bracket that seemed to begin a list may begin a mark."""
        text = "".join(self._raw)
        begun = text[-1:] if text.endswith("[") else ""
        self._begin_text()
        self._out.text(text.removesuffix("["))
        self._run(begun + character)

    def _in_list(self, character: str) -> None:
        if character == "{":
            self._begin_object(character)
        elif character == "]":
            self._begin_text()
            if not self._listed:
                self._out.text("".join(self._raw) + character)
        elif not character.isspace() and character != ",":
            if self._listed:
                self._begin_rest()
                self._state(character)
            else:
                self._no_call(character)
        elif not self._listed:
            self._raw.append(character)

    def _begin_object(self, character: str) -> None:
        self._call = CallObject(self._out, prefix="" if self._listed else "".join(self._raw))
        self._state = self._in_object
        self._state(character)

    def _in_object(self, character: str) -> None:
        step = self._call.feed(character)
        if step is Step.LAST:
            self._listed = True
            self._state = self._in_list
        elif step is Step.BAD:
            raw = self._call.give_up()
            if raw:
                self._out.text(raw)
                self._begin_text()
            else:
                self._begin_rest()
            self._state(character)

    def _in_name(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        if mark == _CALLS or character == "\n" or len(self._name) > _LONGEST_NAME:
            self._out.text("".join(self._raw) + ("" if mark else text))
            if mark:
                self._begin_mark("")
            else:
                self._begin_text()
            return
        self._raw.append(text + mark)
        if text.endswith("{"):
            self._name.append(text[:-1])
            self._begin_arguments()
            if self._state == self._before_arguments:
                self._state("{")
            return
        self._name.append(text)
        if mark == _ARGUMENTS:
            self._begin_arguments()
        elif mark == _ID:
            self._state = self._in_id

    def _in_id(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        self._raw.append(text + mark)
        self._id.append(text)
        if mark == _ARGUMENTS:
            self._begin_arguments()
        elif mark or len(self._id) > _LONGEST_NAME:
            self._out.text("".join(self._raw))
            self._begin_text()

    def _begin_arguments(self) -> None:
        name = "".join(self._name).strip()
        if not name:
            self._out.text("".join(self._raw))
            self._begin_text()
            return
        self._out.begin_call(name)
        self._value = JsonValue()
        self._state = self._before_arguments

    def _before_arguments(self, character: str) -> None:
        if not character.isspace():
            self._state = self._in_arguments
            self._state(character)

    def _in_arguments(self, character: str) -> None:
        step = self._value.feed(character)
        if step in (Step.PART, Step.LAST):
            self._out.arguments(character)
        if step in (Step.LAST, Step.AFTER):
            self._out.end_call(True, self._written_id())
            self._begin_text()
        elif step is Step.BAD:
            self._out.end_call(False, self._written_id())
            self._begin_rest()
        if step in (Step.AFTER, Step.BAD):
            self._state(character)

    def _written_id(self) -> str:
        return "".join(self._id).strip()

    def _begin_rest(self) -> None:
        self._scanner = MarkScanner(_CALLS)
        self._state = self._in_rest

    def _in_rest(self, character: str) -> None:
        _, mark = self._scanner.feed(character)
        if mark:
            self._begin_mark("")


_STRUCTURE = frozenset({_CALLS, _ID, _ARGUMENTS, _THINK, _END_THINK})
MISTRAL = ToolFormat(
    "mistral",
    lambda in_reasoning: MistralParser(in_reasoning=in_reasoning),
    CallSyntax(
        begin="[TOOL_CALLS][",
        before_name='{"name": "',
        before_arguments='", "arguments": ',
        after_arguments="}",
        separator=", ",
        end="]",
    ),
    _STRUCTURE,
)
MISTRAL_V11 = ToolFormat(
    "mistral-v11",
    lambda in_reasoning: MistralParser(in_reasoning=in_reasoning),
    CallSyntax(before_name="[TOOL_CALLS]", before_arguments="[ARGS]", after_arguments="", name_in_json=False),
    _STRUCTURE,
    Reasoning("[THINK]", "[/THINK]"),
)
