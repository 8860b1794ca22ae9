"""Which paused sequence to evict: agents with heavy-tailed tool times on a simulated engine, under each policy.

    python tests/bench/eviction.py [--seeds N] [--json FILE]

Virtual time: the engine's own `Residency` and policies, on a model of what llama.cpp takes (`simulated_engine`). All
policies see the same agents (`agent_workload`), and have seen pauses before. "oracle" knows when each pause ends and
evicts the one that ends last; it shows what is left to gain. Figures are medians over the seeds. Columns:

    turns/s          steps of all agents that were completed
    mean, p99        milliseconds from the end of a pause to the first token
    slot ... none    where the state was when the pause ended
    moved            MB a turn, copied between KV cache and memory, written and read
    rebuilt          tokens a turn, computed again
    wasted           engine time a turn that goes into copies and into computing again
    load             part of the time in which the engine is busy
    to lru           mean of "wasted" over that of lru, and the seeds in which it was better and worse than lru
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import random
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent_workload import TOKEN_SCALE, Agent
from caesura.sampler.eviction import POLICIES, Parked
from simulated_engine import MEDIUM, SMALL, Figures, Setting, Simulation

EARLIER_PAUSES = 2000
FIRST_SEED = 1000
"""Smaller ones were used to choose between rules; these are for the comparison alone."""

SETTINGS = {
    "64 agents, 8 slots, memory 25%, no disk": Setting(64, 8, 0.25, horizon=600),
    "64 agents, 8 slots, memory 60%, no disk": Setting(64, 8, 0.6, horizon=600),
    "256 agents, 8 slots, memory for all": Setting(256, 8, 2.0, horizon=200),
    "256 agents, 32 slots, memory 60%, no disk": Setting(256, 32, 0.6, horizon=200),
    "256 agents, 32 slots, memory 25%, disk 50%": Setting(256, 32, 0.25, 0.5, horizon=200),
    "256 agents with people, 8 slots, memory 25%, disk 60%": Setting(256, 8, 0.25, 0.6, 30.0),
    "1000 agents with people, 32 slots, memory 10%, disk for all": Setting(1000, 32, 0.1, 2.0, 20.0, horizon=100),
    "8 agents, 4 slots, memory for all, 135 M model": Setting(8, 4, 2.0, 0.0, 0.0, MEDIUM, horizon=2000),
    "96 agents, 8 slots, memory 25%, no disk": Setting(96, 8, 0.25),
    "128 agents, 8 slots, memory 25%, no disk (overload)": Setting(128, 8, 0.25),
}
ORACLE = "oracle"
BASELINE = "lru"


def simulate(setting: Setting, policy: str, seed: int) -> Figures:
    """What `setting.horizon` seconds give. The policy has seen some thousand pauses before."""
    agents = [Agent(seed * 100_003 + number, setting.human_every) for number in range(setting.agents)]
    chosen = None if policy == ORACLE else POLICIES[policy]()
    if chosen is not None:
        rng = random.Random(seed)
        for _ in range(EARLIER_PAUSES):
            seconds, tools = agents[0].pause(rng)
            chosen.resumed(Parked(0, 0, 0.0, tools, 0), seconds)
    return Simulation(setting, agents, chosen).run(setting.horizon)


def summary(figures: Figures) -> dict[str, float]:
    found = sum(figures.found.values())
    return {
        "turns_per_s": figures.turns / figures.seconds,
        "mean_ms": statistics.fmean(figures.latencies) * 1e3,
        "p99_ms": statistics.quantiles(figures.latencies, n=100)[98] * 1e3,
        **{f"{level}_percent": 100 * count / found for level, count in figures.found.items()},
        "moved_mb_per_turn": figures.moved / figures.turns / 1e6,
        "rebuilt_tokens_per_turn": figures.rebuilt / figures.turns,
        "wasted_ms_per_turn": 1e3 * figures.wasted / figures.turns,
        "load_percent": 100 * figures.busy / figures.seconds,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(
    *, seeds: int = 4, settings: dict[str, Setting] = SETTINGS, policies: tuple[str, ...] = (*POLICIES, ORACLE)
) -> dict[str, Any]:
    """The same agents for all policies. The simulations are independent and run on all processors."""
    runs = [
        (name, policy, seed)
        for name in settings
        for policy in policies
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
    ]
    with concurrent.futures.ProcessPoolExecutor() as pool:
        figures = pool.map(
            simulate, *zip(*((settings[name], policy, seed) for name, policy, seed in runs), strict=True)
        )
        by_run = {run: summary(each) for run, each in zip(runs, figures, strict=True)}
    result: dict[str, Any] = {
        "seeds": seeds,
        "services": [asdict(service) for service in (SMALL, MEDIUM)],
        "settings": [],
    }
    for name, setting in settings.items():
        rows = {}
        for policy in policies:
            each = [by_run[name, policy, seed] for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
            rows[policy] = {column: _spread([row[column] for row in each]) for column in each[0]}
        wasted = {
            policy: [by_run[name, policy, seed]["wasted_ms_per_turn"] for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
            for policy in policies
        }
        for policy in policies:
            pairs = list(zip(wasted[policy], wasted[BASELINE], strict=True))
            # Of the sums: with one seed and no pressure nothing is wasted, and a ratio says nothing.
            rows[policy]["to_baseline"] = {
                "ratio": sum(wasted[policy]) / max(sum(wasted[BASELINE]), 1e-9),
                "seeds_better": sum(mine < other for mine, other in pairs),
                "seeds_worse": sum(mine > other for mine, other in pairs),
            }
        result["settings"].append({"name": name, **asdict(setting), "policies": rows})
    return result


COLUMNS = {
    "turns_per_s": ("turns/s", 2),
    "mean_ms": ("mean ms", 0),
    "p99_ms": ("p99 ms", 0),
    "slot_percent": ("slot %", 1),
    "memory_percent": ("memory %", 1),
    "disk_percent": ("disk %", 1),
    "nowhere_percent": ("none %", 2),
    "moved_mb_per_turn": ("moved", 2),
    "rebuilt_tokens_per_turn": ("rebuilt", 1),
    "wasted_ms_per_turn": ("wasted ms", 2),
    "load_percent": ("load %", 0),
}


def table(result: dict[str, Any]) -> str:
    lines = [f"virtual time; medians of {result['seeds']} seeds; token counts are 1/{TOKEN_SCALE} of the trace's"]
    lines += [", ".join(f"{key} {value}" for key, value in service.items()) for service in result["services"]]
    for setting in result["settings"]:
        lines += ["", setting["name"]]
        lines.append(f"{'':>16}" + "".join(f"{head:>10}" for head, _ in COLUMNS.values()) + f"{'to lru':>10}")
        for policy, row in setting["policies"].items():
            figures = (f"{row[column]['median']:>10.{digits}f}" for column, (_, digits) in COLUMNS.items())
            ratio = row["to_baseline"]
            against = f"{ratio['ratio']:>10.2f} ({ratio['seeds_better']} better, {ratio['seeds_worse']} worse)"
            lines.append(f"{policy:>16}" + "".join(figures) + against)
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="populations of agents (default 4)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    result = measure(seeds=options.seeds)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    main()
