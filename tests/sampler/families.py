"""A small model of every family: the demo model's tokenizer, with the family's special tokens and such a template."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from caesura.sampler.model import Model, load_model
from caesura.sampler.random_model import SHAPES, Chat, write_random_model

TEMPLATES = Path(__file__).parent / "templates"


def _chat(template: str, *tokens: str, bos: str | None = None, eos: str | None = None) -> Chat:
    return Chat((TEMPLATES / f"{template}.jinja").read_text(), tokens, bos, eos)


_HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>")
_HARMONY = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|return|>")
_TOOLS = ("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")
_V11 = ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[ARGS]", "[CALL_ID]", "[TOOL_CONTENT]", "[THINK]", "[/THINK]")

FAMILIES = {
    "qwen3": _chat("qwen3", "<think>", "</think>"),
    "always_thinking": _chat("always_thinking", "<think>", "</think>"),
    "llama3": _chat("llama3", "<|begin_of_text|>", *_HEADERS, bos="<|begin_of_text|>", eos="<|eot_id|>"),
    "mistral": _chat("mistral", "<s>", "</s>", "[INST]", "[/INST]", *_TOOLS, bos="<s>", eos="</s>"),
    "mistral_v11": _chat("mistral_v11", "<s>", "</s>", "[INST]", "[/INST]", *_TOOLS, *_V11, bos="<s>", eos="</s>"),
    "harmony": _chat("harmony", *_HARMONY, eos="<|return|>"),
}


def load_family(family: str, folder: Path) -> Model:
    """The model's name is the family's."""
    path = folder / f"{family}.gguf"
    if not path.exists():
        write_random_model(path, SHAPES["tiny"], chat=FAMILIES[family])
    return dataclasses.replace(load_model(path, vocab_only=True), name=family)
