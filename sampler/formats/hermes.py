"""Hermes, Qwen2.5 and Qwen3: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, and `<think>...</think>`."""

from __future__ import annotations

from ..tool_format import CallSyntax, Reasoning, ToolFormat
from .call_object import CallObject
from .json_value import Step
from .turn_parser import MarkScanner, TurnParser

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_THINK, _END_THINK = "<think>", "</think>"


class HermesParser(TurnParser):
    """`<tool_call>` and JSON.

    - Whitespace before `<tool_call>` and between calls is not text, nor are brackets too many at the end of a call.
    - What turns out to be no call before its name is known becomes text. After the name, the call is finished as
      incomplete, and the rest up to `</tool_call>` is dropped.
    - With `reasons`, a `<think>` before anything else begins reasoning; later on it is text like any other. Whitespace
      at either end of the thought, and after it, is dropped.
    """

    def __init__(self, *, reasons: bool = False, in_reasoning: bool = False) -> None:
        super().__init__()
        self._marks = (_OPEN, _THINK) if reasons else (_OPEN,)
        self._fresh = False  # whitespace that comes now separates, and is no content
        self._state = self._in_text
        self._scanner = MarkScanner(*self._marks)
        if in_reasoning:
            self._begin_reasoning()

    def _end(self) -> None:
        if self._state in (self._in_text, self._in_reasoning):
            rest = self._scanner.rest()
            if self._state == self._in_reasoning:
                self._out.reasoning(self._stripped(rest))
            elif rest.strip() or not self._out.after_call:
                self._out.text(self._stripped(rest))
        elif self._state == self._in_call:
            self._out.text(self._call.give_up())

    # Outside of calls.

    def _in_text(self, character: str) -> None:
        text, mark = self._scanner.feed(character)
        if mark == _OPEN:
            self._begin_call("" if self._fresh else text)
        elif mark and not self._out.said:
            self._begin_reasoning()
        else:
            self._out.text(self._stripped(text + mark))

    def _begin_text(self) -> None:
        self._scanner = MarkScanner(*self._marks)
        self._state = self._in_text

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

    # Inside a call and after it.

    def _begin_call(self, space: str) -> None:
        self._call = CallObject(self._out, prefix=space + _OPEN)
        self._state = self._in_call

    def _in_call(self, character: str) -> None:
        step = self._call.feed(character)
        if step is Step.LAST:
            self._fresh = False
            self._scanner = MarkScanner(_CLOSE)
            self._state = self._after_object
        elif step is Step.BAD:
            raw = self._call.give_up()
            if raw:
                self._out.text(raw)
                self._fresh = False
                self._begin_text()
            else:
                self._scanner = MarkScanner(_OPEN, _CLOSE)
                self._state = self._in_rest
            self._state(character)

    def _after_object(self, character: str) -> None:
        """After the call's last brace: its end tag should follow."""
        text, mark = self._scanner.feed(character)
        if mark:
            self._begin_text()
        elif text and text.strip() not in ("}", "]"):  # small models close one bracket too many
            text += self._scanner.rest()  # the end tag was left out
            self._begin_text()
            self._run(text)

    def _in_rest(self, character: str) -> None:
        """After a malformed call: drop everything up to its end tag, or the next call."""
        _, mark = self._scanner.feed(character)
        if mark == _CLOSE:
            self._begin_text()
        elif mark:
            self._begin_call("")


_SYNTAX = CallSyntax(
    before_name='<tool_call>\n{"name": "',
    before_arguments='", "arguments": ',
    after_arguments="}\n</tool_call>",
    separator="\n",
)
HERMES = ToolFormat("hermes", lambda in_reasoning: HermesParser(), _SYNTAX, frozenset({_OPEN, _CLOSE}))
QWEN3 = ToolFormat(
    "qwen3",
    lambda in_reasoning: HermesParser(reasons=True, in_reasoning=in_reasoning),
    _SYNTAX,
    frozenset({_OPEN, _CLOSE, _THINK, _END_THINK}),
    Reasoning("<think>\n", "</think>\n\n"),
)
