"""The context that an engine computes on, real or simulated, by the engine's settings."""

from __future__ import annotations

from .cost_model import CostModel
from .filler import ordinary_tokens
from .llama_context import LlamaContext
from .model import Model
from .simulated_context import SimulatedContext

PREFILL_CHUNK = 64
IDLE_PREFILL_CHUNK = 128
"""See `Scheduler`."""

EngineContext = LlamaContext | SimulatedContext


def batch_size(sequences: int, prefill_chunk: int = PREFILL_CHUNK, idle_prefill_chunk: int = IDLE_PREFILL_CHUNK) -> int:
    """Tokens that a step of an engine has at most."""
    return sequences + max(prefill_chunk, idle_prefill_chunk)


def make_context(
    model: Model,
    *,
    context_length: int,
    sequences: int,
    batch_size: int,
    threads: int = 1,
    flash_attention: bool = False,
    cost_model: CostModel | None = None,
) -> EngineContext:
    """In the thread that will use it. With `cost_model` it is a simulated one, and no weights are needed.

    Raises EngineStartFailed.
    """
    if cost_model is None:
        return LlamaContext(
            model.llama,
            context_length=context_length,
            sequences=sequences,
            threads=threads,
            batch_size=batch_size,
            flash_attention=flash_attention,
        )
    return SimulatedContext(
        cost_model,
        vocab_size=model.vocab.size,
        token=ordinary_tokens(model.vocab)[0],
        stop_tokens=model.stop_tokens,
        context_length=context_length,
        sequences=sequences,
        batch_size=batch_size,
        can_trim=model.llama.kv_bytes_per_token() > 0,
    )
