"""What it costs to take up a paused sequence, by where its state was: kept in its slot, in memory, on disk, or nowhere.

"first token" is the time from `sample` to the first token after 16 appended ones, through the engine; "state" is that
less the same for a kept one, so what bringing the state back costs; "prefill" is what computing it again costs,
alone, and "part" what bringing it back is of that. Medians.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caesura.sampler import LlamaEngine, SamplingParams
from caesura.sampler.memory_plan import MemoryPlan
from caesura.sampler.model import Model
from caesura.sampler.state import Level
from serving import loop_factory

CONTEXTS = (256, 1024, 4096)
APPENDED = [100 + token % 700 for token in range(16)]
ONE_TOKEN = SamplingParams(temperature=0, max_tokens=1)


async def first_token_ms(sequence: Any) -> float:
    began = time.perf_counter()
    async for _ in sequence.sample(ONE_TOKEN):
        return (time.perf_counter() - began) * 1e3
    raise RuntimeError("no token")


async def settled(engine: LlamaEngine, level: Level, key: int) -> None:
    """Wait until a state has come to rest there."""
    while engine._residency.states[key].level is not level:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def measure_kind(model: Model, kind: Level, context: int, repeats: int, folder: Path) -> list[float]:
    """Milliseconds to the first token, each time with the state at that level."""
    size = model.llama.kv_bytes_per_token() * (context + repeats * 20) * 2
    plan = {
        Level.SLOT: MemoryPlan(0),
        Level.MEMORY: MemoryPlan(size),
        Level.DISK: MemoryPlan(0, folder, size),
        Level.NOWHERE: MemoryPlan(0),
    }[kind]
    engine = LlamaEngine(
        model,
        context_length=context + (repeats + 1) * 20,
        sequences=2 if kind is Level.SLOT else 1,
        plan=plan,
        share_prefixes=False,
    )
    # A random prompt: real text would do as well, but prefill doesn't look at it.
    sequence = await engine.open([100 + at * 7 % 700 for at in range(context)])
    await first_token_ms(sequence)
    samples = []
    for _ in range(repeats):
        other = await engine.open([5, 6])
        await first_token_ms(other)  # it takes the slot, if there is but one
        await other.close()
        await settled(engine, kind, sequence.key)
        sequence.extend(APPENDED)
        samples.append(await first_token_ms(sequence))
    await engine.close()
    return samples


async def prefill_ms(model: Model, context: int, repeats: int) -> float:
    engine = LlamaEngine(model, context_length=context + 8, sequences=1, plan=MemoryPlan(0), share_prefixes=False)
    samples = []
    for _ in range(repeats):
        sequence = await engine.open([100 + at * 7 % 700 for at in range(context)])
        samples.append(await first_token_ms(sequence))
        await sequence.close()
    await engine.close()
    return statistics.median(samples)


def measure(model: Model, *, contexts: Sequence[int] = CONTEXTS, repeats: int = 15) -> dict[str, Any]:
    rows = []
    with asyncio.Runner(loop_factory=loop_factory()) as runner, tempfile.TemporaryDirectory() as folder:
        for context in contexts:
            prefill = runner.run(prefill_ms(model, context, 3))
            medians = {
                kind: statistics.median(runner.run(measure_kind(model, kind, context, repeats, Path(folder))))
                for kind in (Level.SLOT, Level.MEMORY, Level.DISK)
            }
            medians[Level.NOWHERE] = statistics.median(
                runner.run(measure_kind(model, Level.NOWHERE, context, 3, Path(folder)))
            )
            for kind, median in medians.items():
                state = median - medians[Level.SLOT]
                rows.append(
                    {
                        "context": context,
                        "state": kind.value,
                        "first_token_ms": median,
                        "state_ms": state,
                        "prefill_ms": prefill,
                        "part": state / prefill,
                    }
                )
    return {"model": model.name, "bytes_per_token": model.llama.kv_bytes_per_token(), "rows": rows}


def table(result: dict[str, Any]) -> str:
    lines = [
        f"Taking up a paused sequence, {result['model']}, {result['bytes_per_token'] / 1024:.0f} KiB a token, ms",
        "",
        f"{'context':>10}{'state was':>12}{'first token':>14}{'state':>10}{'prefill':>10}{'part':>10}",
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['context']:>10}{row['state']:>12}{row['first_token_ms']:>14.2f}{row['state_ms']:>10.2f}"
            f"{row['prefill_ms']:>10.1f}{row['part']:>10.4f}"
        )
    return "\n".join(lines)
