"""gpt-oss: harmony, in which a turn is several messages, each on a channel and perhaps to a recipient.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json
    <|message|>{...}<|call|>

(without the line break; the prompt ends with `<|start|>assistant`.) Source: OpenAI's harmony response format.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..tool_format import CallSyntax, Reasoning, ToolFormat
from .json_value import JsonValue, Step
from .turn_parser import MarkScanner, TurnParser

_START, _CHANNEL, _CONSTRAIN, _MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
_END, _CALL, _RETURN = "<|end|>", "<|call|>", "<|return|>"
_MARKS = (_START, _CHANNEL, _CONSTRAIN, _MESSAGE, _END, _CALL, _RETURN)
_NO_TOOLS = ("assistant", "user", "all", "system", "developer")
_RECIPIENT = re.compile(r"(?:^|\s)to=(\S+)")
_FUNCTIONS = "functions."
_BEFORE_CHANNEL = re.compile(r"\s{0,8}(?:t|to|to=\S{0,200}\s{0,8})?")
_BETWEEN = "\n\n"


class HarmonyParser(TurnParser):
    """Messages on `analysis` are reasoning, those to a recipient are calls, all others are text.

    - Of a recipient `functions.NAME`, NAME is called; any other (`python`, `browser.search`) by its full name.
    - Arguments are the JSON that the message begins with, `{}` if it is empty; what follows up to its end is dropped.
      A mark inside of a JSON string is a part of the string.
    - Messages of one kind in a row are joined with a blank line.
    - A turn that has no header at all is text.
    """

    def __init__(self, *, in_reasoning: bool = False) -> None:
        super().__init__()
        self._first = True  # no mark has come yet
        self._joint = ""
        self._latest: object = None  # the kind of message that was written last
        self._begin_header()
        if in_reasoning:
            self._first = False
            self._begin_body(self._in_analysis)

    def _end(self) -> None:
        if self._state == self._in_header:
            if self._first:
                self._out.text("".join(self._header) + self._scanner.rest())
        elif self._state in (self._in_text, self._in_analysis):
            self._write(self._scanner.rest())
        elif self._state == self._before_arguments or self._state == self._in_arguments:
            self._out.end_call(False)

    # Headers.

    def _begin_header(self) -> None:
        self._header: list[str] = []
        self._channel: list[str] | None = None
        self._scanner = MarkScanner(*_MARKS, strip=False)
        self._state = self._in_header

    def _in_header(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        if text:
            self._header.append(text)
            if self._channel is not None:
                self._channel.append(text)
            if self._first and not _BEFORE_CHANNEL.fullmatch("".join(self._header)):
                self._first = False
                text = "".join(self._header) + self._scanner.rest()
                self._begin_body(self._in_text)
                self._run(text)
                return
        if mark:
            self._first = False
            self._header.append(" ")
            self._take_mark(mark)

    def _take_mark(self, mark: str) -> None:
        if mark == _MESSAGE:
            self._end_header()
        elif mark == _CHANNEL:
            if self._state != self._in_header:
                self._begin_header()
            self._channel = []
        elif mark != _CONSTRAIN:
            self._begin_header()
        elif self._channel is not None:
            self._channel.append(" ")

    def _end_header(self) -> None:
        recipient = _RECIPIENT.search("".join(self._header))
        address = recipient.group(1) if recipient else ""
        if address.removeprefix(_FUNCTIONS) and address not in _NO_TOOLS:
            self._latest = None
            self._out.begin_call(address.removeprefix(_FUNCTIONS))
            self._value = JsonValue()
            self._state = self._before_arguments
            return
        channel = "".join(self._channel or ()).split()
        self._begin_body(self._in_analysis if channel[:1] == ["analysis"] else self._in_text)

    # Bodies.

    def _begin_body(self, state: Callable[[str], None]) -> None:
        self._scanner = MarkScanner(*_MARKS, strip=False)
        self._joint = _BETWEEN if self._latest == state else ""
        self._state = state

    def _in_text(self, character: str) -> None:
        self._in_body(character)

    def _in_analysis(self, character: str) -> None:
        self._in_body(character)

    def _in_body(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        self._write(text)
        if mark and mark not in (_MESSAGE, _CONSTRAIN):
            self._take_mark(mark)

    def _write(self, text: str) -> None:
        if text:
            self._latest = self._state
            write = self._out.reasoning if self._state == self._in_analysis else self._out.text
            write(self._joint + text)
            self._joint = ""

    def _before_arguments(self, character: str) -> None:
        if character == "<":
            self._out.arguments("{}")
            self._end_call(True, character)
        elif not character.isspace():
            self._state = self._in_arguments
            self._state(character)

    def _in_arguments(self, character: str) -> None:
        step = self._value.feed(character)
        if step in (Step.PART, Step.LAST):
            self._out.arguments(character)
        if step is not Step.PART:
            self._end_call(step is not Step.BAD, "" if step is Step.LAST else character)

    def _end_call(self, complete: bool, character: str) -> None:
        self._out.end_call(complete)
        self._scanner = MarkScanner(*_MARKS)
        self._state = self._in_rest
        self._run(character)

    def _in_rest(self, character: str) -> None:
        _, mark = self._scanner.feed(character)
        if mark and mark not in (_MESSAGE, _CONSTRAIN):
            self._take_mark(mark)


HARMONY = ToolFormat(
    "harmony",
    lambda in_reasoning: HarmonyParser(in_reasoning=in_reasoning),
    CallSyntax(
        before_name="<|channel|>commentary to=functions.",
        before_arguments=" <|constrain|>json<|message|>",
        after_arguments="",
        end="<|call|>",
        parallel=False,
        name_in_json=False,
    ),
    frozenset(_MARKS),
    Reasoning("<|channel|>analysis<|message|>", "<|end|><|start|>assistant"),
    text_begin="<|channel|>final<|message|>",
    turn_ends=(_END,),
)
