"""How a family of models writes reasoning and tool calls. The families themselves are in `formats`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .tool_call_deltas import ToolCallParser


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """The text of a turn's calls: `begin`, the calls with `separator` between them, `end`. A call is
    `before_name + name + before_arguments + arguments + after_arguments`, where the arguments are a JSON object.

    The text of a special token in any of these parts stands for that token.
    parallel: whether a turn can hold several calls.
    name_in_json: the name stands inside a JSON string, so it is escaped as one.
    """

    before_name: str
    before_arguments: str
    after_arguments: str
    begin: str = ""
    separator: str = ""
    end: str = ""
    parallel: bool = True
    name_in_json: bool = True


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A turn that reasons begins with `begin`, the thought and `end`; its calls or its text come after that.

    As in `CallSyntax`, the text of a special token stands for the token.
    """

    begin: str
    end: str

    def is_open(self, generation_prompt: str) -> bool:
        """Whether the prompt of a turn already begins the thought, as some templates do."""
        return generation_prompt.rfind(self.begin.strip()) > generation_prompt.rfind(self.end.strip())


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One family's format.

    name:       as `--tool-format` takes it.
    parser:     makes a parser for one assistant turn; the argument says whether the turn begins inside reasoning.
    syntax:     what constrained decoding makes the model write.
    structure:  special tokens that the parser must see. All other control tokens are no part of what the model says.
    reasoning:  None if the family's models don't reason.
    text_begin: what stands before the text of a turn, after any reasoning.
    turn_ends:  further texts, besides the model's stop tokens, that a template ends an assistant turn with.
    """

    name: str
    parser: Callable[[bool], ToolCallParser]
    syntax: CallSyntax
    structure: frozenset[str]
    reasoning: Reasoning | None = None
    text_begin: str = ""
    turn_ends: tuple[str, ...] = ()

    def call_tokens(self, special_tokens: Mapping[str, int]) -> frozenset[int]:
        """The special token that begins a call, for those who don't want one; empty where a call begins with text that
        could be any."""
        begin = (self.syntax.begin + self.syntax.before_name).lstrip()
        return frozenset(
            special_tokens[text] for text in self.structure & special_tokens.keys() if begin.startswith(text)
        )

    def begins_in_reasoning(self, generation_prompt: str) -> bool:
        """Whether a turn after this prompt (`ChatTemplate.generation_prompt`) begins inside reasoning."""
        return self.reasoning is not None and self.reasoning.is_open(generation_prompt)
