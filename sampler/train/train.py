"""The training run: step-based, resumable, on one core. `python -m caesura.sampler.train.train --help`."""

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .data import MAX_LENGTH, Sample, read_shard
from .model import Model, Shape
from .optimizer import Optimizer

BUCKETS = (256, 512, 768, 896, 1024, 1152, 1280, 1536, 2048, 3072, MAX_LENGTH)
"""Padded lengths, so that torch compiles a layer once for each."""

BATCH_TOKENS = 6144
WARMUP_STEPS = 50
DECAY_FROM = 0.2
CHECKPOINT_EVERY = 250
WEIGHT_DECAY = 0.1
DECAY_WEIGHTS_FROM = 2750
"""Step. Without decay the matrices grow, attention hardens and learning slows: it should have been on from the start,
but the run that made the shipped weights got it here."""


def rate_factor(step: int, steps: int) -> float:
    """Warm up, stay, and from a fifth of the run on fall in a straight line to nearly 0."""
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    done = step / steps
    return 1.0 if done < DECAY_FROM else max(0.01, (1 - done) / (1 - DECAY_FROM))


def batches(folder: Path, seed: int) -> Iterator[list[Sample]]:
    """Batches of about `BATCH_TOKENS` tokens and similar length, shard by shard, each shard once.

    A missing shard is waited for, so that data can be made while training has begun.
    """
    shard = 0
    while True:
        path = folder / f"{shard:04}.npz"
        while not path.exists():
            time.sleep(5)
        buckets: dict[int, list[Sample]] = {bucket: [] for bucket in BUCKETS}
        for sample in read_shard(path):
            buckets[next(bucket for bucket in BUCKETS if len(sample[0]) <= bucket)].append(sample)
        made = []
        for bucket, samples in buckets.items():
            size = max(1, BATCH_TOKENS // bucket)
            made += [samples[start : start + size] for start in range(0, len(samples), size)]
        random.Random(f"{seed} {shard}").shuffle(made)
        yield from made
        shard += 1


def collate(batch: list[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [batch, bucket] and the mask of trained targets [batch, bucket]; always the bucket's full batch size."""
    longest = max(len(ids) for ids, _ in batch)
    bucket = next(bucket for bucket in BUCKETS if longest <= bucket)
    ids = np.zeros((max(1, BATCH_TOKENS // bucket), bucket), dtype=np.int64)
    mask = np.zeros(ids.shape, dtype=np.bool_)
    for row, (tokens, trained) in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = trained
    return torch.from_numpy(ids), torch.from_numpy(mask)


def loss_of(model: Model, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the trained targets; the output layer runs on those positions only."""
    hidden = model(ids)[:, :-1][mask[:, 1:]]
    return functional.cross_entropy(model.logits(hidden).float(), ids[:, 1:][mask[:, 1:]])


def train(
    folder: Path, checkpoint: Path, steps: int, layers: int = Shape.layers, seed: int = 0, stop_at: int | None = None
) -> None:
    """Train for `steps` steps, or go on from `checkpoint` where it exists."""
    torch.manual_seed(seed)
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.accumulated_recompile_limit = 256
    model = Model(Shape(layers=layers), seed)
    optimizer = Optimizer(model)
    model.bfloat16()
    model.cos, model.sin = model.cos.bfloat16().float(), model.sin.bfloat16().float()
    for layer in model.layers:
        layer.compile(dynamic=False)
    first, num_tokens, trained_s = 0, 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        optimizer.restore(saved["optimizer"])
        first, num_tokens, trained_s = saved["step"], saved["num_tokens"], saved["trained_s"]
    start, average = time.monotonic(), 0.0
    for step, batch in enumerate(batches(folder, seed)):
        if step == (stop_at or steps):
            break
        if step < first:  # already trained on
            continue
        ids, mask = collate(batch)
        loss = loss_of(model, ids, mask)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step(rate_factor(step, steps), WEIGHT_DECAY if step >= DECAY_WEIGHTS_FROM else 0.0)
        num_tokens += sum(len(tokens) for tokens, _ in batch)
        average = loss.item() if step == first else 0.98 * average + 0.02 * loss.item()
        done = step + 1
        elapsed = trained_s + time.monotonic() - start
        if done % 25 == 0:
            speed = f"{num_tokens / elapsed:,.0f}/s {elapsed / 60:.1f} min"
            print(f"step {done}/{steps} loss {average:.4f} tokens {num_tokens:,} {speed}", flush=True)
        if done % CHECKPOINT_EVERY == 0 or done == (stop_at or steps):
            state = {
                "optimizer": optimizer.state(),
                "step": done,
                "num_tokens": num_tokens,
                "trained_s": elapsed,
                "layers": layers,
                "steps": steps,
                "loss": average,
            }
            temporary = checkpoint.with_suffix(".new")
            torch.save(state, temporary)
            temporary.rename(checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--shards", type=Path, required=True, help="folder made by caesura.sampler.train.data")
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="written at intervals; continued where it exists"
    )
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--stop-at", type=int, help="end early, at this step of the schedule")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train(options.shards, options.checkpoint, options.steps, options.layers, stop_at=options.stop_at)


if __name__ == "__main__":
    main()
