"""The engine against llama.cpp's bare decode loop: same model, threads, context and prompt, greedy.

    python tests/bench/engine.py [--model PATH|demo] [--tokens N] [--repeats N] [--json FILE]

The bare loop is what the engine can't beat: fill a batch, llama_decode, argmax of each row, nothing else. Both arms
run in turn, `repeats` times. "tok/s" is the best run by the clock; "us cpu" is processor time a step, all threads,
of the best run: other processes move it least, and "ratio" (engine to bare, tokens per cpu-second) is made of it.
"resume" is the time from `extend` + `sample` to the first token, against a bare decode of the same tokens there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any

from caesura.sampler import LlamaEngine, SamplingParams
from caesura.sampler.llama_context import LlamaContext
from caesura.sampler.llama_engine import LlamaSequence
from caesura.sampler.model import Model, load_model

BATCH_SIZE = 512
CONTEXT_LENGTH = 2048
RESUME_CONTEXTS = (1024, 8192)
RESUME_TOKENS = 32


def bare_run(context: LlamaContext, prompt: list[int], sequences: int, steps: int) -> tuple[float, float]:
    """Wall and cpu seconds of a loop of decode and argmax over all sequences."""
    for slot in range(sequences):
        context.clear(slot)
        indices = context.decode([(slot, 0, prompt, True)])
    last = [int(context.logits(indices[0]).argmax())] * sequences
    wall, cpu = time.perf_counter(), time.process_time()
    for step in range(steps):
        rows = [(slot, len(prompt) + step, [token], True) for slot, token in enumerate(last)]
        last = [int(context.logits(index).argmax()) for index in context.decode(rows)]
    return time.perf_counter() - wall, time.process_time() - cpu


async def engine_run(engine: LlamaEngine, prompt: list[int], sequences: int, steps: int) -> tuple[float, float]:
    """The same through the engine, every token delivered to a task of its sequence."""
    opened = [await engine.open(prompt) for _ in range(sequences)]

    async def consume(sequence: LlamaSequence, tokens: int) -> None:
        async for _ in sequence.sample(SamplingParams(temperature=0, max_tokens=tokens)):
            pass

    await asyncio.gather(*(consume(sequence, 1) for sequence in opened))  # the prefill, not counted
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(consume(sequence, steps) for sequence in opened))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    for sequence in opened:
        await sequence.close()
    return wall, cpu


def bare_resume(context: LlamaContext, length: int, repeats: int) -> list[float]:
    """Milliseconds to decode RESUME_TOKENS at a context of `length` and take the argmax."""
    context.clear(0)
    for begin in range(0, length, BATCH_SIZE):
        context.decode([(0, begin, [1] * min(BATCH_SIZE, length - begin), True)])
    samples = []
    for repeat in range(repeats):
        began = time.perf_counter()
        indices = context.decode([(0, length + repeat * RESUME_TOKENS, [1] * RESUME_TOKENS, True)])
        context.logits(indices[0]).argmax()
        samples.append((time.perf_counter() - began) * 1e3)
    return samples


async def engine_resume(engine: LlamaEngine, length: int, repeats: int) -> list[float]:
    sequence = await engine.open([1] * length)
    params = SamplingParams(temperature=0, max_tokens=1)
    samples = []
    for repeat in range(repeats + 1):
        began = time.perf_counter()
        async for _ in sequence.sample(params):
            samples.append((time.perf_counter() - began) * 1e3)
        if repeat < repeats:
            await asyncio.sleep(0.002)  # let the engine's thread go to sleep, as it does while a tool runs
            sequence.extend([1] * (RESUME_TOKENS - 1))
    await sequence.close()
    return samples[1:]


def decode_figures(
    sequences: int, steps: int, bare: list[tuple[float, float]], through: list[tuple[float, float]]
) -> dict[str, float]:
    bare_cpu, engine_cpu = (min(cpu for _, cpu in runs) / steps * 1e6 for runs in (bare, through))
    bare_wall, engine_wall = (min(wall for wall, _ in runs) for runs in (bare, through))
    return {
        "sequences": sequences,
        "bare_tokens_per_s": sequences * steps / bare_wall,
        "engine_tokens_per_s": sequences * steps / engine_wall,
        "bare_cpu_us_per_step": bare_cpu,
        "engine_cpu_us_per_step": engine_cpu,
        "ratio": bare_cpu / engine_cpu,
    }


def resume_figures(model: Model, length: int, repeats: int) -> dict[str, float]:
    settings = {"context_length": length + (repeats + 2) * RESUME_TOKENS, "sequences": 1, "threads": 1}
    context = LlamaContext(model.llama, batch_size=BATCH_SIZE, **settings)
    bare = statistics.median(bare_resume(context, length, repeats))
    context.close()
    engine = LlamaEngine(model, **settings)
    through = statistics.median(asyncio.run(engine_resume(engine, length, repeats)))
    asyncio.run(engine.close())
    return {"context": length, "bare_ms": bare, "engine_ms": through, "overhead_ms": through - bare}


def measure(model: Model, *, tokens: int = 400, repeats: int = 7, counts: tuple[int, ...] = (1, 8)) -> dict[str, Any]:
    """Run everything. Rates in tokens a second, times in milliseconds."""
    prompt = [token % model.vocab.size for token in range(100, 164)]
    result: dict[str, Any] = {"model": model.name, "parameters": model.llama.parameters, "decode": []}
    for count in counts:
        settings = {"context_length": CONTEXT_LENGTH, "sequences": count, "threads": 1}
        context = LlamaContext(model.llama, batch_size=BATCH_SIZE, **settings)
        engine = LlamaEngine(model, **settings)
        bare, through = [], []
        for _ in range(repeats):
            bare.append(bare_run(context, prompt, count, tokens))
            through.append(asyncio.run(engine_run(engine, prompt, count, tokens)))
        asyncio.run(engine.close())
        context.close()
        result["decode"].append(decode_figures(count, tokens, bare, through))
    result["resume"] = [resume_figures(model, length, repeats * 8) for length in RESUME_CONTEXTS]
    return result


def table(result: dict[str, Any]) -> str:
    lines = [f"{result['model']}, {result['parameters'] / 1e6:.1f} M parameters, one thread, greedy", ""]
    heads = ("sequences", "bare tok/s", "engine tok/s", "bare us cpu", "engine us cpu", "ratio")
    lines.append("".join(f"{head:>14}" for head in heads))
    for row in result["decode"]:
        figures = list(row.values())
        lines.append("".join(f"{figure:>14.0f}" for figure in figures[:-1]) + f"{figures[-1]:>14.3f}")
    lines.append("")
    lines.append(f"{'context':>14}{'bare ms':>14}{'resume ms':>14}{'over ms':>14}   ({RESUME_TOKENS} tokens appended)")
    for row in result["resume"]:
        times = (row["bare_ms"], row["engine_ms"], row["overhead_ms"])
        lines.append(f"{row['context']:>14}" + "".join(f"{milliseconds:>14.2f}" for milliseconds in times))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="a GGUF file, or demo (default)")
    parser.add_argument("--tokens", type=int, default=400, help="tokens a sequence and run (default 400)")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each arm (default 7)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    result = measure(load_model(options.model), tokens=options.tokens, repeats=options.repeats)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    main()
