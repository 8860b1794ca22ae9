"""A thousand open Responses of 1k tokens with a KV cache for eight: what each takes, and how fast one goes on.

All are prefilled, then taken up one by one in random order, so nearly every resume finds its state in memory and all
slots taken: at once after the one before, when the state that gives way has to be copied out first, and 20 ms after
it, when the engine has had time to do so. "prefill" is what a resume replaces, measured on the same engine; memory is
resident memory over what the process had with the engine running and nothing open.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from pathlib import Path
from typing import Any

from caesura.sampler import LlamaEngine, SamplingParams
from caesura.sampler.memory_plan import MemoryPlan
from caesura.sampler.model import Model
from caesura.sampler.state import Level
from serving import loop_factory

ONE_TOKEN = SamplingParams(temperature=0, max_tokens=1)
APPENDED = [100 + token % 700 for token in range(16)]


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


class SwapTimes:
    """Milliseconds of processor time of each copy of a state out of its slot, and into one."""

    def __init__(self, engine: LlamaEngine) -> None:
        self.out: list[float] = []
        self.into: list[float] = []
        storage: Any = engine._residency.storage
        storage.save = self._timed(storage.save, self.out)
        storage.load = self._timed(storage.load, self.into)

    @staticmethod
    def _timed(call: Any, samples: list[float]) -> Any:
        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            result = call(*arguments)
            samples.append((time.thread_time() - began) * 1e3)
            return result

        return timed


async def timed_sample(sequence: Any) -> float:
    began = time.perf_counter()
    async for _ in sequence.sample(ONE_TOKEN):
        pass
    return (time.perf_counter() - began) * 1e3


async def run(model: Model, sequences: int, slots: int, tokens: int, resumes: int) -> dict[str, Any]:
    bytes_each = model.llama.kv_bytes_per_token() * tokens
    engine = LlamaEngine(
        model,
        context_length=tokens + 256,
        sequences=slots,
        plan=MemoryPlan(bytes_each * (sequences + 10) * 5 // 4),
        share_prefixes=False,
    )
    chooser = random.Random(0)
    # One prompt for all would be as good: without sharing, each is computed.
    prompt = [100 + at * 7 % 700 for at in range(tokens)]
    warm = await engine.open(prompt)
    await timed_sample(warm)
    await warm.close()
    before = resident_bytes()
    opened, prefills = [], []
    for number in range(sequences):
        sequence = await engine.open([number % 700 + 100, *prompt[1:]])
        prefills.append(await timed_sample(sequence))
        sequence.expect(["shell"])
        opened.append(sequence)
    taken = resident_bytes() - before
    states = engine._residency.states
    in_memory = sum(state.level is Level.MEMORY for state in states.values())
    resumed = {}
    times = SwapTimes(engine)
    for name, gap in (("at once", 0.0), ("after 20 ms", 0.02)):
        brought, kept = [], []
        while len(brought) < resumes:
            sequence = chooser.choice(opened)
            await asyncio.sleep(gap)
            level = states[sequence.key].level
            sequence.extend(APPENDED)
            taken_up = await timed_sample(sequence)
            if level is Level.MEMORY:
                brought.append(taken_up)
            await asyncio.sleep(gap)
            sequence.extend(APPENDED)  # it has its slot now: the same append without a swap
            kept.append(await timed_sample(sequence))
        median, kept_median = statistics.median(brought), statistics.median(kept)
        resumed[name] = {
            "resume_ms": median,
            "resume_p99_ms": sorted(brought)[int(len(brought) * 0.99)],
            "kept_ms": kept_median,
            "swap_ms": median - kept_median,
            "part_of_prefill": (median - kept_median) / statistics.median(prefills),
        }
    recomputed = sum(sequence.ledger.recomputed for sequence in opened)
    await engine.close()
    return {
        "model": model.name,
        "open": sequences,
        "slots": slots,
        "tokens": tokens,
        "in_memory": in_memory,
        "recomputed": recomputed,
        "bytes_per_parked": taken / in_memory,
        "kv_bytes": bytes_each,
        "prefill_ms": statistics.median(prefills),
        "copy_out_ms": statistics.median(times.out),
        "copy_in_ms": statistics.median(times.into),
        "resumed": resumed,
    }


def measure(
    model: Model, *, sequences: int = 1000, slots: int = 8, tokens: int = 1000, resumes: int = 300
) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(run(model, sequences, slots, tokens, resumes))


def table(row: dict[str, Any]) -> str:
    over = (row["bytes_per_parked"] - row["kv_bytes"]) / 1024
    return "\n".join(
        [
            f"{row['open']} open sequences of {row['tokens']} tokens, {row['slots']} slots, {row['model']}",
            "",
            f"parked in memory      {row['in_memory']}, tokens computed again: {row['recomputed']}",
            f"prefill               {row['prefill_ms']:.1f} ms",
            f"memory a sequence     {row['bytes_per_parked'] / 1024:.0f} KiB: "
            f"its KV bytes ({row['kv_bytes'] / 1024:.0f} KiB) and {over:.0f} KiB",
            f"processor time        {row['copy_in_ms']:.2f} ms to copy a state in "
            f"({row['copy_in_ms'] / row['prefill_ms']:.4f} of the prefill), {row['copy_out_ms']:.2f} ms out",
            *(
                f"gone on {name + ',':<14}{figures['resume_ms']:.2f} ms to the first token (p99 "
                f"{figures['resume_p99_ms']:.2f}), {figures['kept_ms']:.2f} ms if kept in its slot: swapping takes "
                f"{figures['swap_ms']:.2f} ms, {figures['part_of_prefill']:.4f} of the prefill"
                for name, figures in row["resumed"].items()
            ),
        ]
    )
