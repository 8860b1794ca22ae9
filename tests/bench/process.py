"""What the process boundary costs: `ProcessEngine` against `LlamaEngine`, same model, settings and prompt, greedy.

    python tests/bench/process.py [--model PATH|demo] [--tokens N] [--repeats N] [--json FILE]

Both arms run in turn, `repeats` times. "us cpu" is processor time a token, all threads of both processes, of the best
run, which other processes move least, "server" the part of it in the process that has the event loop; "tok/s" is the
best run by the clock. "busy" rows add so many microseconds of
Python a token in the event loop, as a server's own work: in one process that and the engine's thread share the GIL.
"latency" is from the token's sampling to the event loop, "resume" from `extend` + `sample` to the first token: medians.
"recovery" is from a SIGKILL in the middle of sampling to the next token; "start" includes loading the model. Memory
is of an idle engine that has sampled a little: resident, and proportional (PSS, shared pages count in part).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from caesura.sampler.engine import SamplingParams, TokenSequence
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import load_model
from caesura.sampler.process_engine import ProcessEngine

CONTEXT_LENGTH = 2048
RESUME_CONTEXT = 1024
RESUME_TOKENS = 32
BUSY_MICROSECONDS = 100
ARMS = ("thread", "process")
AnyEngine = LlamaEngine | ProcessEngine


def make_engine(arm: str, model: str, sequences: int) -> AnyEngine:
    settings = {"context_length": CONTEXT_LENGTH, "sequences": sequences, "threads": 1}
    if arm == "thread":
        return LlamaEngine(load_model(model), **settings)
    return ProcessEngine(load_model(model, vocab_only=True), **settings)


def cpu_seconds(engine: AnyEngine) -> float:
    seconds = time.process_time()
    if isinstance(engine, ProcessEngine):
        seconds += time.clock_gettime((~engine.pid << 3) | 2)  # what clock_getcpuclockid(3) gives
    return seconds


def spin(microseconds: int) -> None:
    end = time.thread_time_ns() + microseconds * 1000
    while time.thread_time_ns() < end:
        pass


async def decode(engine: AnyEngine, sequences: int, tokens: int, busy: int) -> dict[str, float]:
    """All sequences sample at once, each consumed by a task of its own."""
    prompt = list(range(100, 164))
    opened = [await engine.open(prompt) for _ in range(sequences)]
    latencies: list[int] = []

    async def consume(sequence: TokenSequence, count: int) -> None:
        async for sampled in sequence.sample(SamplingParams(temperature=0, max_tokens=count)):
            now = time.perf_counter_ns()
            for token in sampled:
                latencies.append(now - token.sampled_at)
                if busy:
                    spin(busy)

    await asyncio.gather(*(consume(sequence, 1) for sequence in opened))  # the prefill, not counted
    latencies.clear()
    wall, cpu, server = time.perf_counter(), cpu_seconds(engine), time.process_time()
    await asyncio.gather(*(consume(sequence, tokens) for sequence in opened))
    wall, cpu, server = time.perf_counter() - wall, cpu_seconds(engine) - cpu, time.process_time() - server
    await asyncio.gather(*(sequence.close() for sequence in opened))
    return {"wall": wall, "cpu": cpu, "server": server, "latency": statistics.median(latencies)}


async def resume(engine: AnyEngine, repeats: int) -> float:
    """Milliseconds, median."""
    sequence = await engine.open([1] * RESUME_CONTEXT)
    params = SamplingParams(temperature=0, max_tokens=1)
    samples = []
    for _ in range(min(repeats, (CONTEXT_LENGTH - RESUME_CONTEXT) // RESUME_TOKENS - 1)):
        async for _ in sequence.sample(params):
            pass
        await asyncio.sleep(0.002)  # let both sides go to sleep, as they do while a tool runs
        began = time.perf_counter()
        sequence.extend([1] * (RESUME_TOKENS - 1))
        async for _ in sequence.sample(params):
            samples.append((time.perf_counter() - began) * 1e3)
    await sequence.close()
    return statistics.median(samples)


async def recovery(engine: ProcessEngine, context: int) -> float:
    """Milliseconds from the kill to the next token."""
    sequence = await engine.open([1] * context)
    stream = sequence.sample(SamplingParams(temperature=0))
    await anext(stream)
    began = time.perf_counter_ns()
    os.kill(engine.pid, signal.SIGKILL)
    async for sampled in stream:
        if sampled[-1].sampled_at > began + 10**7:  # what was on its way doesn't count; no child starts in 10 ms
            break
    milliseconds = (time.perf_counter_ns() - began) / 1e6
    await sequence.close()
    return milliseconds


def start(arm: str, model: str, repeats: int) -> float:
    """Milliseconds to load the model and start the engine, median."""
    samples = []
    for _ in range(repeats):
        began = time.perf_counter()
        engine = make_engine(arm, model, 8)
        samples.append((time.perf_counter() - began) * 1e3)
        asyncio.run(engine.close())
    return statistics.median(samples)


def memory_of(pid: int) -> dict[str, float]:
    """Mebibytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return {"resident_mib": kibibytes["Rss"] / 1024, "proportional_mib": kibibytes["Pss"] / 1024}


def memory(arm: str, model: str) -> dict[str, dict[str, float]]:
    """Of a fresh process with an engine of 8 sequences, and of its child."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import process; process.report_memory(sys.argv[2], sys.argv[3])"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), arm, model]
    result: dict[str, dict[str, float]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return result


def report_memory(arm: str, model: str) -> None:
    engine = make_engine(arm, model, 8)

    async def use() -> None:
        await decode(engine, 1, 8, 0)
        result = {"server": memory_of(os.getpid())}
        if isinstance(engine, ProcessEngine):
            result["child"] = memory_of(engine.pid)
        await engine.close()
        print(json.dumps(result))

    asyncio.run(use())


def measure(model: str, *, tokens: int = 400, repeats: int = 7) -> dict[str, Any]:
    logging.getLogger("caesura").setLevel(logging.ERROR)  # each crash is a warning
    result: dict[str, Any] = {"model": load_model(model, vocab_only=True).name, "decode": [], "resume_ms": {}}
    for sequences, busy in ((1, 0), (8, 0), (8, BUSY_MICROSECONDS)):
        engines = {arm: make_engine(arm, model, sequences) for arm in ARMS}
        runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}

        async def run(engines: dict[str, AnyEngine], runs: Any, sequences: int, busy: int) -> None:
            for _ in range(repeats):
                for arm, engine in engines.items():
                    runs[arm].append(await decode(engine, sequences, tokens, busy))
            for engine in engines.values():
                await engine.close()

        asyncio.run(run(engines, runs, sequences, busy))
        row: dict[str, Any] = {"sequences": sequences, "busy_us": busy}
        for arm in ARMS:
            row[arm] = {
                "cpu_us_per_token": min(run["cpu"] for run in runs[arm]) / tokens / sequences * 1e6,
                "server_cpu_us_per_token": min(run["server"] for run in runs[arm]) / tokens / sequences * 1e6,
                "tokens_per_s": tokens * sequences / min(run["wall"] for run in runs[arm]),
                "latency_us": statistics.median(run["latency"] for run in runs[arm]) / 1e3,
            }
        result["decode"].append(row)
    for arm in ARMS:
        engine = make_engine(arm, model, 1)

        async def run_resume(engine: AnyEngine) -> float:
            milliseconds = await resume(engine, 30)
            await engine.close()
            return milliseconds

        result["resume_ms"][arm] = asyncio.run(run_resume(engine))
    child = make_engine("process", model, 1)
    assert isinstance(child, ProcessEngine)

    async def run_recovery(engine: ProcessEngine) -> dict[str, float]:
        figures = {
            str(context): statistics.median([await recovery(engine, context) for _ in range(repeats)])
            for context in (64, RESUME_CONTEXT)
        }
        await engine.close()
        return figures

    result["recovery_ms"] = asyncio.run(run_recovery(child))
    result["start_ms"] = {arm: start(arm, model, repeats) for arm in ARMS}
    result["memory"] = {arm: memory(arm, model) for arm in ARMS}
    return result


def table(result: dict[str, Any]) -> str:
    lines = [f"{result['model']}: engine in a thread / in a process", ""]
    lines.append(f"{'sequences':>10}{'busy us':>9}{'us cpu/token':>16}{'server':>14}{'tok/s':>18}{'latency us':>14}")
    for row in result["decode"]:
        columns = [
            " / ".join(f"{row[arm][key]:.0f}" for arm in ARMS)
            for key in ("cpu_us_per_token", "server_cpu_us_per_token", "tokens_per_s", "latency_us")
        ]
        cells = "".join(f"{column:>{width}}" for column, width in zip(columns, (16, 14, 18, 14), strict=True))
        lines.append(f"{row['sequences']:>10}{row['busy_us']:>9}{cells}")
    resumes = " / ".join(f"{result['resume_ms'][arm]:.2f}" for arm in ARMS)
    lines += ["", f"resume with {RESUME_TOKENS} tokens at a context of {RESUME_CONTEXT}: {resumes} ms"]
    for context, milliseconds in result["recovery_ms"].items():
        lines.append(f"recovery from SIGKILL at a context of {context}: {milliseconds:.0f} ms")
    lines.append("start: " + " / ".join(f"{result['start_ms'][arm]:.0f}" for arm in ARMS) + " ms")
    for arm, processes in result["memory"].items():
        for name, row in processes.items():
            resident, proportional = row["resident_mib"], row["proportional_mib"]
            figures = f"{resident:.0f} MiB resident, {proportional:.0f} MiB proportional"
            lines.append(f"idle memory, {arm}, {name}: {figures}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="a GGUF file, or demo (default)")
    parser.add_argument("--tokens", type=int, default=400, help="tokens a sequence and run (default 400)")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each arm (default 7)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    result = measure(options.model, tokens=options.tokens, repeats=options.repeats)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    main()
