"""All benchmarks: ``make bench``, or ``python tests/bench/run.py [--model PATH] [--json FILE] [--quick]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import boundary
import engine
import memory
import throughput
from caesura.sampler.model import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo", help="a GGUF file, or 'demo' (the default)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as data")
    parser.add_argument("--quick", action="store_true", help="fewer repeats: a look, not a measurement")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    few = {"repeats": 2} if arguments.quick else {}
    short = {"rollouts": 2, "boundaries": 10} if arguments.quick else {}
    results = {}
    for name, run, table in (
        ("memory", lambda: memory.measure(arguments.model), memory.table),
        ("boundary", lambda: boundary.measure(model, **short), boundary.table),
        ("throughput", lambda: throughput.measure(model, **few), throughput.table),
        ("engine", lambda: engine.measure(model, **few), engine.table),
    ):
        results[name] = run()
        print(table(results[name]), end="\n\n", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
