"""The families' formats of tool calls and reasoning, and which of them a model's file calls for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UnknownToolFormat
from ..tool_format import ToolFormat
from .harmony import HARMONY
from .hermes import HERMES, QWEN3
from .llama import LLAMA3
from .mistral import MISTRAL, MISTRAL_V11

if TYPE_CHECKING:
    from ..vocabulary import Vocabulary

FORMATS = {each.name: each for each in (HERMES, QWEN3, LLAMA3, MISTRAL, MISTRAL_V11, HARMONY)}
"""By the name that `--tool-format` takes."""


def named_format(name: str) -> ToolFormat:
    """Raises UnknownToolFormat, which lists the names."""
    try:
        return FORMATS[name]
    except KeyError:
        raise UnknownToolFormat(f"no tool format is called {name!r}: choose one of {', '.join(FORMATS)}") from None


def detect_format(template_source: str, vocab: Vocabulary) -> ToolFormat:
    """The format that a chat template writes; the first rule that fits decides.

    1. `<|channel|>` and `<|message|>` in the template: harmony.
    2. `[TOOL_CALLS]` in the template: mistral-v11 if `[ARGS]` is there too, else mistral.
    3. `<tool_call>` in the template: qwen3 if `<think>` is there too, else hermes.
    4. `<|python_tag|>` or `<|start_header_id|>` in the template: llama3.
    5. `[TOOL_CALLS]` in the vocabulary, the template writing no calls: mistral-v11 with `[ARGS]`, else mistral.
    6. Otherwise hermes, whose calls models write without having learnt a format of their own; qwen3, the same with
       reasoning, if `<think>` is in the template.

    The template comes first because a model that was trained further keeps its vocabulary: Hermes 3 has Llama's
    `<|python_tag|>` and writes `<tool_call>`.
    """
    if "<|channel|>" in template_source and "<|message|>" in template_source:
        return HARMONY
    if "[TOOL_CALLS]" in template_source:
        return MISTRAL_V11 if "[ARGS]" in template_source else MISTRAL
    thinks = "<think>" in template_source
    if "<tool_call>" in template_source:
        return QWEN3 if thinks else HERMES
    if "<|python_tag|>" in template_source or "<|start_header_id|>" in template_source:
        return LLAMA3
    if "[TOOL_CALLS]" in vocab.special_tokens:
        return MISTRAL_V11 if "[ARGS]" in vocab.special_tokens else MISTRAL
    return QWEN3 if thinks else HERMES
