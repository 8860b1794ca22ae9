"""The engine against llama.cpp's bare decode loop: same model, threads, context and prompt, greedy.

    python tests/bench/engine.py [--model PATH|demo|SHAPE] [--tokens N] [--repeats N] [--json FILE]

The bare loop is what the engine can't beat: put the next tokens into the batch, llama_decode, argmax, nothing else.
Both arms run in turn, `repeats` times. Rates are those of the best run: other processes move it least. "cost" is the
engine's processor time over the bare loop's, "outside" what the engine spends outside of llama_decode (argmax and
clocks included, which the bare loop has too) as a part of all: medians of the pairs and runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import caesura.sampler.llama_context as llama_context
from caesura.sampler import LlamaEngine, SamplingParams
from caesura.sampler.llama_context import LlamaContext
from caesura.sampler.llama_engine import LlamaSequence
from caesura.sampler.memory_plan import MemoryPlan
from caesura.sampler.model import Model, load_model
from caesura.sampler.random_model import SHAPES, write_random_model
from serving import loop_factory

BATCH_SIZE = 256
CONTEXT_LENGTH = 1024
COUNTS = (1, 2, 4, 8, 16, 32, 64)
PROMPT = [100 + token % 700 for token in range(64)]


class DecodeTime:
    """Processor time of the thread that is inside of llama_decode, while it is installed."""

    def __init__(self) -> None:
        self.ns = self.calls = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        library = llama_context.library
        decode, clock = library.llama_decode, time.thread_time_ns

        def timed(context: object, batch: object) -> int:
            began = clock()
            status = int(decode(context, batch))
            self.ns += clock() - began
            self.calls += 1
            return status

        library.llama_decode = timed
        try:
            yield
        finally:
            library.llama_decode = decode

    def reset(self) -> None:
        self.ns = self.calls = 0


def bare_run(context: LlamaContext, sequences: int, steps: int) -> tuple[float, float]:
    """Wall and cpu seconds of a loop of decode and argmax over all sequences."""
    for slot in range(sequences):
        context.clear(slot)
        context.decode([(slot, 0, PROMPT, True)])
    context.decode([(slot, len(PROMPT), [5], True) for slot in range(sequences)])
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        context.decode_next(context.logits(sequences).argmax(axis=1))
    return time.perf_counter() - wall, time.process_time() - cpu


async def engine_run(engine: LlamaEngine, sequences: int, steps: int, decode: DecodeTime) -> tuple[float, float, float]:
    """The same through the engine, every token delivered to a task of its sequence; and the part outside of decode."""
    opened = [await engine.open(PROMPT) for _ in range(sequences)]

    async def consume(sequence: LlamaSequence, tokens: int) -> None:
        async for _ in sequence.sample(SamplingParams(temperature=0, max_tokens=tokens)):
            pass

    await asyncio.gather(*(consume(sequence, 1) for sequence in opened))  # the prefill, not counted
    decode.reset()
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(consume(sequence, steps) for sequence in opened))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    for sequence in opened:
        await sequence.close()
    return wall, cpu, (cpu - decode.ns / 1e9) / cpu


def measure(model: Model, *, tokens: int = 150, repeats: int = 15, counts: Sequence[int] = COUNTS) -> dict[str, Any]:
    """A row for each number of sequences."""
    result: dict[str, Any] = {"model": model.name, "parameters": model.llama.parameters, "decode": []}
    for count in counts:
        steps = max(20, tokens if count < 8 else tokens * 8 // count)
        settings = {"context_length": CONTEXT_LENGTH, "sequences": count, "threads": 1}
        context = LlamaContext(model.llama, batch_size=BATCH_SIZE, **settings)
        engine = LlamaEngine(model, plan=MemoryPlan(0), share_prefixes=False, **settings)
        bare, through, decode = [], [], DecodeTime()
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            for _ in range(repeats):
                bare.append(bare_run(context, count, steps))
                with decode.installed():
                    through.append(runner.run(engine_run(engine, count, steps, decode)))
            runner.run(engine.close())
        context.close()
        bare_cpu, engine_cpu = (min(run[1] for run in runs) / steps for runs in (bare, through))
        pairs = [engine_run[1] / bare_run[1] for bare_run, engine_run in zip(bare, through, strict=True)]
        result["decode"].append(
            {
                "sequences": count,
                "bare_tokens_per_s": count * steps / min(run[0] for run in bare),
                "engine_tokens_per_s": count * steps / min(run[0] for run in through),
                "bare_tokens_per_cpu_s": count / bare_cpu,
                "engine_tokens_per_cpu_s": count / engine_cpu,
                "cost": statistics.median(pairs) - 1,
                "outside": statistics.median(run[2] for run in through),
            }
        )
    return result


def table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['model']}, {result['parameters'] / 1e6:.1f} M parameters, one thread, greedy, best of the runs",
        "",
    ]
    heads = ("sequences", "bare tok/s", "engine tok/s", "bare/cpu-s", "engine/cpu-s", "cost", "outside")
    lines.append("".join(f"{head:>14}" for head in heads))
    for row in result["decode"]:
        *rates, cost, outside = row.values()
        lines.append("".join(f"{rate:>14.0f}" for rate in rates) + f"{cost:>14.1%}{outside:>14.1%}")
    return "\n".join(lines)


@contextmanager
def model_named(name: str, *, quantization: str = "f16") -> Iterator[Model]:
    """A GGUF by path, `demo`, or a random-weight model of a shape such as `135m`."""
    if name not in SHAPES:
        yield load_model(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield load_model(write_random_model(Path(folder) / f"{name}.gguf", SHAPES[name], quantization=quantization))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="a GGUF file, 'demo' (the default), or a shape such as 135m")
    parser.add_argument("--tokens", type=int, default=150, help="tokens a sequence and run (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=15, help="runs of each arm (default: %(default)s)")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of sequences")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as data")
    arguments = parser.parse_args()
    with model_named(arguments.model) as model:
        result = measure(model, tokens=arguments.tokens, repeats=arguments.repeats, counts=arguments.counts)
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
