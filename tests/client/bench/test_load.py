"""Agents in a closed loop, and the search for how many of them an objective allows."""

from __future__ import annotations

import asyncio
import itertools
import math

import pytest
from caesura.client.bench.driver import BenchError
from caesura.client.bench.load import Objective, Search, closed_loop, largest
from caesura.client.bench.records import LoadRecord, RunRecord, ServerTurn, TurnRecord
from hypothesis import given
from hypothesis import strategies as st
from played_drivers import ScriptedDriver, script

SCRIPTS = [script([0], [0], name="s0"), script([0], name="s1")]


class Loop:
    """A closed loop with drivers that can be looked at."""

    def __init__(self, agents: int, *drivers: ScriptedDriver, **settings: float) -> None:
        self.drivers = [*drivers, *(ScriptedDriver() for _ in range(agents - len(drivers)))]
        given_out = iter(self.drivers)
        nonces = map(str, itertools.count())
        self.record, self.played = asyncio.run(
            closed_loop(
                "d",
                lambda: next(given_out),
                SCRIPTS,
                agents,
                make_nonce=lambda: next(nonces),
                max_session_seconds=30,
                **settings,  # type: ignore[arg-type]
            )
        )


@pytest.mark.parametrize(("agents", "sessions"), [(1, 1), (3, 2), (2, 5)])
def test_each_agent_plays_its_sessions_over_its_own_connection(agents: int, sessions: int) -> None:
    loop = Loop(agents, min_sessions=sessions)
    assert [driver.opened for driver in loop.drivers] == [1] * agents
    assert not any(driver.is_open for driver in loop.drivers)
    for agent in range(agents):
        runs = [run for run in loop.record.runs if run.agent == agent]
        assert [run.repeat for run in runs] == list(range(sessions))
        assert [run.script for run in runs] == [f"s{(agent + number) % 2}" for number in range(sessions)]
        assert [run.connect_ns > 0 for run in runs] == [True] + [False] * (sessions - 1)
    assert loop.record.runs == [one.run for one in loop.played]
    assert (loop.record.design, loop.record.agents, loop.record.meets) == ("d", agents, None)


def test_every_session_has_a_nonce_of_its_own() -> None:
    loop = Loop(3, min_sessions=4)
    nonces = [nonce for driver in loop.drivers for nonce in driver.nonces]
    assert len(set(nonces)) == len(nonces) == 12


def test_agents_go_on_until_the_time_is_up() -> None:
    record = Loop(2, min_seconds=0.01).record
    for agent in range(2):
        *earlier, last = [run for run in record.runs if run.agent == agent]
        assert all(run.began - record.began < 0.01e9 for run in (*earlier, last))
        assert last.ended - record.began >= 0.01e9
    assert record.ended >= max(run.ended for run in record.runs)


def test_an_agent_whose_session_fails_plays_no_other() -> None:
    loop = Loop(2, ScriptedDriver(fails_at=1), min_sessions=3)
    assert [run.error for run in loop.record.runs if run.agent == 0] == ["the connection broke"]
    assert [run.error for run in loop.record.runs if run.agent == 1] == [None] * 3
    assert not any(driver.is_open for driver in loop.drivers)


def test_a_connection_that_cannot_be_opened() -> None:
    class Closed(ScriptedDriver):
        async def open(self) -> None:
            raise BenchError("nobody there")

    other = ScriptedDriver()
    with pytest.raises(BenchError, match="nobody there"):
        Loop(2, other, Closed())
    assert other.opened == 1
    assert not other.is_open


def _load(*first_token_ms: float, last_ms: float = 0, error: str | None = None) -> LoadRecord:
    turns = [TurnRecord(0, 0, 0, int(ms * 1e6), int((ms + last_ms) * 1e6), 0, 0, 0, 0) for ms in first_token_ms]
    run = RunRecord("d", "s0", 0, 0, 0, 0, turns, error=error)
    return LoadRecord("d", 1, 0, 0, [run])


def test_an_objective_of_first_tokens() -> None:
    hundred = [1.0] * 98 + [50.0, 90.0]
    for percentile, bound, met in [(98, 1, True), (99, 49, False), (99, 50, True), (100, 89, False), (100, 90, True)]:
        assert Objective(bound, percentile=percentile).is_met(_load(*hundred), SCRIPTS) is met


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=50), st.integers(1, 100), st.floats(0.001, 1000))
def test_so_many_turns_keep_to_a_bound(times: list[float], percentile: int, bound: float) -> None:
    kept = sum(int(ms * 1e6) <= bound * 1e6 for ms in times)
    assert Objective(bound, percentile=percentile).is_met(_load(*times), SCRIPTS) == (
        kept >= math.ceil(len(times) * percentile / 100)
    )


def test_an_objective_of_tokens_after_the_first() -> None:
    """Five tokens a turn, so four after the first; as many as the server says, if it does."""
    load = _load(1.0, last_ms=8)
    assert Objective(per_token_ms=2).is_met(load, SCRIPTS)
    assert not Objective(per_token_ms=1.9).is_met(load, SCRIPTS)
    assert not Objective(first_token_ms=0.5, per_token_ms=2).is_met(load, SCRIPTS)
    load.runs[0].turns[0].server = ServerTurn(0, 0, 0, 0, 0, 0, 0, {}, 0, 0, 0, 0, sampled=9)
    assert Objective(per_token_ms=1).is_met(load, SCRIPTS)


def test_a_failed_session_or_none_meets_nothing() -> None:
    assert not Objective(1000).is_met(_load(1, error="broke"), SCRIPTS)
    assert not Objective(1000).is_met(_load(), SCRIPTS)


def test_an_objective_in_words() -> None:
    assert str(Objective(200, 50, 95)) == (
        "p95 of time to first token <= 200 ms and p95 of time per output token <= 50 ms"
    )


@pytest.mark.parametrize("bounds", [{}, {"first_token_ms": 0}, {"per_token_ms": math.inf}, {"percentile": 101}])
def test_an_objective_without_sense(bounds: dict[str, float]) -> None:
    with pytest.raises(BenchError, match="an objective needs a bound"):
        Objective(**({"first_token_ms": 1} | bounds if "percentile" in bounds else bounds))


def _search(threshold: int, max_agents: int, repeats: int) -> tuple[Search, list[int]]:
    asked = []

    async def measure(agents: int) -> LoadRecord:
        asked.append(agents)
        return LoadRecord("d", agents, 0, 0, [])

    found = asyncio.run(largest(measure, lambda load: load.agents <= threshold, max_agents=max_agents, repeats=repeats))
    return found, asked


@given(st.integers(0, 300), st.integers(1, 200), st.integers(1, 3))
def test_the_search_finds_every_threshold(threshold: int, max_agents: int, repeats: int) -> None:
    found, asked = _search(threshold, max_agents, repeats)
    assert found.agents == min(threshold, max_agents)
    assert found.bounded == (threshold >= max_agents)
    assert [load.agents for load in found.tried] == asked
    assert all(load.meets == (load.agents <= threshold) for load in found.tried)
    assert max(asked) <= max_agents
    assert len(set(asked)) <= 2 * math.log2(max_agents) + 2
    for agents in asked:
        assert asked.count(agents) == (repeats if agents <= threshold else 1)


def test_all_repeats_must_meet_it() -> None:
    outcomes = iter([True, True, True, False])

    async def measure(agents: int) -> LoadRecord:
        return LoadRecord("d", agents, 0, 0, [])

    found = asyncio.run(largest(measure, lambda _: next(outcomes), max_agents=2, repeats=2))
    assert (found.agents, found.bounded) == (1, False)
    assert [load.meets for load in found.tried] == [True, True, True, False]
