"""All benchmarks: ``make bench``, or ``python tests/bench/run.py [--only NAME ...] [--json FILE] [--quick]``.

Some minutes; ``--quick`` about one. The figures of a machine that does other work meanwhile are of little use.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import append
import boundary
import chains
import chunks
import connections
import engine
import eviction
import exactness
import memory
import parked
import pauses
import process
import sampling
import throughput
from caesura.sampler.model import Model, load_model

Benchmark = tuple[Callable[[], Any], Callable[[Any], str]]


def benchmarks(name: str, model: Model, quick: bool) -> dict[str, Benchmark]:
    """What to run and how to print it, by name. ``quick``: fewer repeats, a look rather than a measurement."""

    def few(**settings: Any) -> dict[str, Any]:
        return settings if quick else {}

    return {
        "memory": (lambda: memory.measure(name), memory.table),
        "append": (lambda: append.measure(**few(repeats=2)), append.table),
        "boundary": (lambda: boundary.measure(model, **few(rollouts=2, boundaries=10)), boundary.table),
        "chains": (lambda: chains.measure(name, model, **few(turns=40, window=10)), chains.table),
        "connections": (
            lambda: connections.measure(name, **few(idle=100, active=10, turns=4)),
            connections.table,
        ),
        "throughput": (lambda: throughput.measure(model, **few(repeats=2)), throughput.table),
        "engine": (lambda: engine.measure(model, **few(repeats=2, counts=(1, 8))), engine.table),
        "chunks": (lambda: chunks.measure(model, **few(repeats=5)), chunks.table),
        "pauses": (lambda: pauses.measure(model, **few(repeats=3, contexts=(256, 1024))), pauses.table),
        "parked": (lambda: parked.measure(model, **few(sequences=50, resumes=30)), parked.table),
        "sampling": (lambda: sampling.measure(**few(repeats=20)), sampling.table),
        "process": (lambda: process.measure(name, **few(tokens=100, repeats=2)), process.table),
        "exactness": (lambda: exactness.measure(("demo", "3m:q8_0")), exactness.table),
        "eviction": (lambda: eviction.measure(**few(seeds=1)), eviction.table),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="a GGUF file, or 'demo' (the default)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as data")
    parser.add_argument("--quick", action="store_true", help="fewer repeats: a look, not a measurement")
    arguments = parser.parse_args()
    known = benchmarks(arguments.model, load_model(arguments.model), arguments.quick)
    if unknown := set(arguments.only or ()) - known.keys():
        parser.error(f"no benchmark {min(unknown)!r}; there are {', '.join(known)}")
    results = {}
    for name, (measure, table) in known.items():
        if arguments.only is None or name in arguments.only:
            results[name] = measure()
            print(table(results[name]), end="\n\n", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
