"""The whole recipe in one command: `python -m caesura.sampler.train` (what `make model` runs).

It writes the demo's episodes, encodes the data, trains, exports, evaluates through llama.cpp, and writes the card.
Each stage leaves its files in the work folder and is skipped when they are there; training goes on from its last
checkpoint. The episodes come from `caesura.client.demo`, run as a program: sampler and client don't import each other.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from .card import read_report, write_card
from .data import write_shards
from .engine import Greedy
from .evaluate import demo_seeds, evaluate, table
from .export import export
from .train import train

EPISODES = [sys.executable, "-m", "caesura.client.demo.episodes"]
SIMULATOR = [sys.executable, "-m", "caesura.client.demo.simulation"]
NUM_CONVERSATIONS, NUM_EPISODES = 64_000, 34_000
FIRST_EPISODE, NUM_HELD_OUT_EPISODES = 1000, 100
STEPS = 7300


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train the demo model from scratch: about an hour and a half of one core."
    )
    parser.add_argument("--work", type=Path, default=Path("build/model"), help="folder for data and checkpoints")
    parser.add_argument(
        "--models", type=Path, default=Path(__file__).parent.parent / "models", help="where demo.gguf goes"
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--held-out", type=int, default=60, help="held-out conversations a family")
    parser.add_argument("--demo-seeds", type=int, default=100)
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # more threads would change the sums' order, and so the weights

    _episodes(work / "episodes.jsonl", FIRST_EPISODE, NUM_EPISODES)
    _episodes(work / "held-out.jsonl", 0, NUM_HELD_OUT_EPISODES)
    if not (work / "shards" / f"{NUM_CONVERSATIONS // 2000 - 1:04}.npz").exists():
        write_shards(work / "episodes.jsonl", work / "shards", NUM_CONVERSATIONS)
    checkpoint = work / "checkpoint.pt"
    train(work / "shards", checkpoint, options.steps)
    model = options.models / "demo.gguf"
    export(checkpoint, model)

    engine = Greedy(model)
    families, failures = evaluate(engine, work / "held-out.jsonl", options.held_out)
    fixed = demo_seeds(engine, work / "held-out.jsonl", SIMULATOR, options.demo_seeds)
    report = {"families": families, "demo_seeds": options.demo_seeds, "demo_fixed": fixed}
    (work / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (work / "failures.jsonl").write_text("".join(json.dumps(failure) + "\n" for failure in failures), encoding="utf-8")
    run = torch.load(checkpoint, weights_only=True)
    write_card(options.models / "README.md", model, run, read_report(work / "report.json"))
    print(table(families))
    print(f"demo: {len(fixed)} of {options.demo_seeds} repositories fixed")


def _episodes(path: Path, first_seed: int, count: int) -> None:
    if path.exists():
        return
    unfinished = path.with_suffix(".new")
    with unfinished.open("w", encoding="utf-8") as file:
        subprocess.run([*EPISODES, "--first-seed", str(first_seed), "--count", str(count)], stdout=file, check=True)
    unfinished.rename(path)


if __name__ == "__main__":
    main()
