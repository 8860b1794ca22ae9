"""Where bits stay the same: the largest difference of any logit when the same tokens are computed in other company.

    python tests/bench/exactness.py [--models demo 135m:q8_0 ...] [--threads 1 2]

- cut:    a prefill of 300 tokens in one batch, against other cuts of it.
- shared: 24 decoded tokens of one sequence alone, against the same with 1 to 7 neighbours, and beside a prefill.
- kept:   the same after the state went through memory into another slot.

0 means equal to the last bit. A model is a name that `engine.py` takes, with `:f16`, `:q8_0` or `:f32` after a shape.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from caesura.sampler.llama_context import LlamaContext, Logits, Row
from caesura.sampler.model import Model
from engine import model_named

PROMPT = 300
STEPS = 24
SLOT = 2
CUTS = ([150, 150], [64, 64, 64, 64, 44], [298, 2], [299, 1], [100, 100, 99, 1], [1] * 300)
NEIGHBOURS = ([3], [5], [1, 3], [1, 3, 4, 5], [0, 1, 3, 4, 5, 6, 7])
MODELS = ("demo", "3m:q8_0", "135m:f16", "135m:q8_0")


class Bench:
    def __init__(self, model: Model, threads: int, flash_attention: bool) -> None:
        self.context = LlamaContext(
            model.llama,
            context_length=512,
            sequences=8,
            threads=threads,
            batch_size=PROMPT + 8,
            flash_attention=flash_attention,
        )
        random = np.random.default_rng(0)
        limit = min(model.vocab.size, 1000)
        self.prompt: list[int] = random.integers(10, limit, PROMPT).tolist()
        self.steps: list[int] = random.integers(10, limit, STEPS).tolist()

    def prefill(self, slot: int, cut: Sequence[int]) -> Logits:
        self.context.clear(slot)
        position = 0
        for size in cut:
            self.context.decode([(slot, position, self.prompt[position : position + size], True)])
            position += size
        return self.context.logits(1)[0].copy()

    def decode(self, neighbours: Sequence[int], chunk: int = 0) -> list[Logits]:
        """Logits of each step of one sequence, beside others and a chunk of prefill a step."""
        for slot in neighbours:
            self.prefill(slot, [20 + slot])
        if chunk:
            self.context.clear(0)
        found = []
        for step, token in enumerate(self.steps):
            rows: list[Row] = [(SLOT, PROMPT + step, [token], True)]
            rows += [(slot, 20 + slot + step, [token], True) for slot in neighbours]
            if chunk and (step + 1) * chunk <= PROMPT:
                rows.append((0, step * chunk, self.prompt[step * chunk : (step + 1) * chunk], True))
            rows.sort()
            self.context.decode(rows)
            index = [slot for slot, *_ in rows].index(SLOT)
            found.append(self.context.logits(len(rows))[index].copy())
        return found

    def run(self) -> dict[str, float]:
        whole = self.prefill(0, [PROMPT])
        cut = max(difference([whole], [self.prefill(1, sizes)]) for sizes in CUTS)
        self.prefill(SLOT, [PROMPT])
        alone = self.decode([])
        shared = []
        for neighbours, chunk in [*((each, 0) for each in NEIGHBOURS), ([], 10), ([3, 4], 12)]:
            self.prefill(SLOT, [PROMPT])
            shared.append(difference(alone, self.decode(neighbours, chunk)))
        self.prefill(SLOT, [PROMPT])
        buffer = np.empty(self.context.saved_size(SLOT), np.uint8)
        length = self.context.save(SLOT, buffer)
        self.decode([3])
        self.context.clear(SLOT)
        assert self.context.load(SLOT, buffer[:length])
        kept = difference(alone, self.decode([]))
        self.context.close()
        return {"cut": cut, "shared": max(shared), "kept": kept}


def difference(one: Sequence[Logits], other: Sequence[Logits]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def measure(
    models: Sequence[str] = MODELS, *, threads: Sequence[int] = (1,), flash_attention: bool = False
) -> list[dict[str, Any]]:
    rows = []
    for name in models:
        shape, _, quantization = name.partition(":")
        with model_named(shape, quantization=quantization or "f16") as model:
            for count in threads:
                rows.append({"model": name, "threads": count, **Bench(model, count, flash_attention).run()})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["Largest difference of a logit (0: the same bits)", ""]
    lines.append(f"{'model':>14}{'threads':>10}{'cut':>12}{'shared':>12}{'kept':>12}")
    for row in rows:
        figures = "".join(f"{row[name]:>12.2g}" for name in ("cut", "shared", "kept"))
        lines.append(f"{row['model']:>14}{row['threads']:>10}{figures}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--flash-attention", action="store_true")
    arguments = parser.parse_args()
    print(table(measure(arguments.models, threads=arguments.threads, flash_attention=arguments.flash_attention)))


if __name__ == "__main__":
    main()
