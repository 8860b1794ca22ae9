"""Tokens in, tokens out: models, engine, chat templates, tool-call parsing.

Knows nothing of the protocol. Importing this package loads neither llama.cpp nor a model; `load_model` does.

    model = load_model("demo")
    engine = LlamaEngine(model, context_length=4096, sequences=8)
    sequence = await engine.open(model.chat_template.encode_prompt(messages, tools))
    async for tokens in sequence.sample(SamplingParams(temperature=0, stop_tokens=model.stop_tokens)):
        ...

Where things are: `engine` the interface, `llama_engine` and `scheduler` the local engine, `model` and `vocabulary`
the file, `chat_template` messages to tokens, `formats` tokens to calls, `replay` recorded turns, `errors` the tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .engine import Engine, FinishReason, SampledToken, SampleStream, SamplingParams, TokenSequence
from .errors import SamplerError

if TYPE_CHECKING:
    from .llama_engine import LlamaEngine
    from .model import Model, load_model

__all__ = [
    "Engine",
    "FinishReason",
    "LlamaEngine",
    "Model",
    "SampleStream",
    "SampledToken",
    "SamplerError",
    "SamplingParams",
    "TokenSequence",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name == "LlamaEngine":
        from .llama_engine import LlamaEngine

        return LlamaEngine
    if name in ("Model", "load_model"):
        from . import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
