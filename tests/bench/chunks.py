"""What a chunk of prefill does to those who decode: a step of 8 decoding sequences with a chunk of each size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from caesura.sampler.llama_context import LlamaContext, Row
from caesura.sampler.model import Model

CHUNKS = (0, 16, 32, 64, 128)
DECODING = 8
CONTEXT = 300


def measure(model: Model, *, chunks: Sequence[int] = CHUNKS, repeats: int = 40) -> dict[str, Any]:
    """Median milliseconds of processor time a step, and what a prefilled token adds."""
    context = LlamaContext(model.llama, context_length=1024, sequences=DECODING + 1, threads=1, batch_size=256)
    tokens = [100 + at * 7 % 700 for at in range(CONTEXT)]
    for slot in range(DECODING):
        for begin in range(0, CONTEXT, 100):
            context.decode([(slot, begin, tokens[begin : begin + 100], True)])
    samples: dict[int, list[float]] = {chunk: [] for chunk in chunks}
    for _ in range(repeats):
        for chunk in chunks:
            context.clear(DECODING)
            rows: list[Row] = [(slot, CONTEXT, [5], True) for slot in range(DECODING)]
            if chunk:
                rows.append((DECODING, 0, tokens[:chunk], True))
            began = time.process_time()
            context.decode(rows)
            context.logits(len(rows)).argmax(axis=1)
            samples[chunk].append((time.process_time() - began) * 1e3)
            for slot in range(DECODING):
                context.trim(slot, CONTEXT)
    context.close()
    steps = {chunk: statistics.median(sample) for chunk, sample in samples.items()}
    rows_out = [
        {"chunk": chunk, "step_ms": step, "ms_per_prefilled_token": (step - steps[0]) / chunk if chunk else 0.0}
        for chunk, step in steps.items()
    ]
    return {"model": model.name, "decoding": DECODING, "context": CONTEXT, "rows": rows_out}


def table(result: dict[str, Any]) -> str:
    lines = [
        f"A step of {result['decoding']} decoding sequences at {result['context']} tokens, with a chunk of prefill",
        "",
        f"{'chunk':>10}{'step ms':>12}{'a token ms':>14}",
    ]
    for row in result["rows"]:
        lines.append(f"{row['chunk']:>10}{row['step_ms']:>12.2f}{row['ms_per_prefilled_token']:>14.3f}")
    return "\n".join(lines)
