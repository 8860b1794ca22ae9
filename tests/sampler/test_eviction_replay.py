"""The simulation that the policies are compared by: its agents are those of the published trace, its books balance."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from caesura.sampler.eviction import POLICIES
from caesura.sampler.state import Level
from caesura.sampler.swap_space import MAX_TRANSFERS

AGENTS = 12


@pytest.fixture(scope="module")
def workload() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "bench"))
        import agent_workload

        return agent_workload


@pytest.fixture(scope="module")
def simulated(workload: ModuleType) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "bench"))
        import simulated_engine

        return simulated_engine


def quantiles(values: list[float]) -> tuple[float, float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[89], cuts[98]


def test_tool_times_are_those_of_the_trace(workload: ModuleType) -> None:
    """The quantiles within a tenth, the tail's part of all time within a tenth of it. The seed is fixed."""
    rng = random.Random(3)
    calls = [
        (tool, tool.seconds(rng)) for tool in rng.choices(workload.TOOLS, [t.share for t in workload.TOOLS], k=60_000)
    ]
    times = [seconds for _, seconds in calls]
    assert quantiles(times) == pytest.approx((0.3, 13.6, 216), rel=0.1)
    assert sum(seconds < 1 for seconds in times) / len(times) == pytest.approx(0.61, abs=0.02)
    assert sum(seconds > 60 for seconds in times) / len(times) == pytest.approx(0.04, abs=0.004)
    assert sum(seconds for seconds in times if seconds > 60) / sum(times) == pytest.approx(0.85, rel=0.1)
    for name, median in (("read", 0.036), ("edit", 0.095), ("shell", 0.409)):
        assert statistics.median(seconds for tool, seconds in calls if tool.name == name) == pytest.approx(
            median, rel=0.1
        )


def test_steps_calls_and_people_are_those_of_the_trace(workload: ModuleType) -> None:
    rng = random.Random(4)
    calls = [len(workload.tool_pause(rng)[1]) for _ in range(20_000)]
    assert quantiles([float(count) for count in calls]) == (1, 2, 4)
    gaps = quantiles([workload.human_gap(rng) for _ in range(20_000)])
    assert gaps[:2] == pytest.approx((84, 21 * 60), rel=0.15)
    assert gaps[2] == pytest.approx(14 * 3600, rel=0.25)


def test_an_agent_does_the_same_each_time(workload: ModuleType) -> None:
    one, other = ([list(session) for session in workload.Agent(7, 5.0, 3, 20)] for _ in range(2))
    assert one == other
    assert one != [list(session) for session in workload.Agent(8, 5.0, 3, 20)]


def some_agents(workload: ModuleType) -> list[Any]:
    return [workload.Agent(seed, 8.0, sessions=2, steps=6) for seed in range(AGENTS)]


def simulation(workload: ModuleType, simulated: ModuleType, policy: str | None, memory: float, disk: float) -> Any:
    agents = some_agents(workload)
    setting = simulated.Setting(AGENTS, 3, memory, disk)
    return simulated.Simulation(setting, agents, POLICIES[policy]() if policy else None)


@pytest.mark.parametrize("policy", [*POLICIES, None])
@pytest.mark.parametrize(("memory", "disk"), [(0.0, 0.0), (0.2, 0.0), (0.2, 0.3), (0.0, 9.0), (9.0, 0.0)])
def test_all_agents_finish_within_the_budgets(
    workload: ModuleType, simulated: ModuleType, policy: str | None, memory: float, disk: float
) -> None:
    replay = simulation(workload, simulated, policy, memory, disk)
    residency = replay.residency
    largest = workload.CONTEXT * simulated.SMALL.bytes_per_token
    batches = 0

    def check(at_this_moment: object) -> None:
        nonlocal batches
        batches += 1
        slots = [state.slot for state in residency.states.values() if state.level is Level.SLOT]
        assert len(slots) == len(set(slots)) <= residency.slots
        assert len(replay.active) <= residency.slots
        # What was read from the disk may wait in memory for its slot.
        assert residency.swap.memory_used <= residency.swap.memory + MAX_TRANSFERS * largest * bool(disk)
        assert residency.swap.disk_used <= residency.swap.disk

    figures = replay.run(check=check)
    agents = some_agents(workload)
    steps = sum(len(list(session)) for agent in agents for session in agent)
    assert figures.turns == steps
    assert batches > steps / AGENTS
    assert not replay.active
    assert not replay.waiting
    assert not residency.states
    assert residency.swap.memory_used == residency.swap.disk_used == 0
    if memory > 1 or disk > 1:
        assert figures.rebuilt == figures.found["nowhere"] == 0
    elif not disk:
        assert figures.found["disk"] == 0


def test_who_knows_when_pauses_end_moves_and_computes_no_more_than_who_does_not(
    workload: ModuleType, simulated: ModuleType
) -> None:
    def cost(policy: str | None) -> float:
        figures = [
            simulation(workload, simulated, policy, memory, disk).run()
            for memory, disk in ((0.2, 0.0), (0.4, 0.0), (0.2, 0.3), (9.0, 0.0))
        ]
        return sum(each.moved + each.rebuilt * simulated.SMALL.bytes_per_token for each in figures)

    assert cost(None) <= cost("lru")
