"""Many agents at once, in a closed loop; and how many of them a server takes while it meets an objective."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .agent import Played, play
from .driver import BenchError, Driver
from .records import LoadRecord
from .script import Script


async def closed_loop(
    design: str,
    make_driver: Callable[[], Driver],
    scripts: Sequence[Script],
    agents: int,
    *,
    make_nonce: Callable[[], str],
    min_seconds: float = 0.0,
    min_sessions: int = 1,
    max_session_seconds: float | None = None,
) -> tuple[LoadRecord, list[Played]]:
    """Let ``agents`` agents play session after session, each over a connection of its own.

    All connect first; then the clock starts. An agent begins another session until it has had ``min_sessions`` and
    ``min_seconds`` have passed, and ends what it has begun. So the last ones have less company: with long sessions take
    ``min_seconds`` much longer than these. Agent i begins with script i, and goes on in turn.

    An agent whose session fails plays no other; the record of that session says why.

    :param make_nonce: gives another one each time.
    :return: the record, and the same runs with the Responses of their turns, for :func:`.servers.add_spans`.
    :raises BenchError: a connection could not be opened.
    """
    drivers = [make_driver() for _ in range(agents)]
    played: list[Played] = []
    try:
        connect_ns = await _open_all(drivers)
        began = time.perf_counter_ns()

        async def agent(number: int) -> None:
            sessions = 0
            while sessions < min_sessions or time.perf_counter_ns() - began < min_seconds * 1e9:
                one = await play(
                    drivers[number],
                    scripts[(number + sessions) % len(scripts)],
                    make_nonce(),
                    design=design,
                    repeat=sessions,
                    order=sessions,
                    agent=number,
                    connect_ns=connect_ns[number] if sessions == 0 else 0,
                    max_seconds=max_session_seconds,
                )
                played.append(one)
                sessions += 1
                if one.run.error is not None:
                    return

        async with asyncio.TaskGroup() as group:
            for number in range(agents):
                group.create_task(agent(number))
        ended = time.perf_counter_ns()
    finally:
        await asyncio.gather(*(driver.close() for driver in drivers), return_exceptions=True)
    return LoadRecord(design, agents, began, ended, [one.run for one in played]), played


async def _open_all(drivers: Sequence[Driver]) -> list[int]:
    """Nanoseconds that each took. All have an end before one that failed is told: no opening goes on behind a close."""
    results = await asyncio.gather(*map(_open, drivers), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, int)]


async def _open(driver: Driver) -> int:
    began = time.perf_counter_ns()
    await driver.open()
    return time.perf_counter_ns() - began


@dataclass(frozen=True, slots=True)
class Objective:
    """What a server under load must keep to (a service level objective).

    :ivar first_token_ms: time to first token of a turn, from when its request could be made.
    :ivar per_token_ms: time per output token of a turn after its first.
    :ivar percentile: which part of the turns must keep to it, in percent: each of the two bounds for itself.
    """

    first_token_ms: float | None = None
    per_token_ms: float | None = None
    percentile: float = 99.0

    def __post_init__(self) -> None:
        """:raises BenchError: it asks for nothing, or for nonsense."""
        bounds = [bound for bound in (self.first_token_ms, self.per_token_ms) if bound is not None]
        if not bounds or not all(0 < bound < math.inf for bound in bounds) or not 0 < self.percentile <= 100:
            raise BenchError("an objective needs a bound above 0 ms and a percentile above 0, 100 at most")

    def __str__(self) -> str:
        parts = [("time to first token", self.first_token_ms), ("time per output token", self.per_token_ms)]
        return " and ".join(f"p{self.percentile:g} of {name} <= {ms:g} ms" for name, ms in parts if ms is not None)

    def is_met(self, load: LoadRecord, scripts: Sequence[Script]) -> bool:
        """Whether a load kept to it. A session that failed does not."""
        if any(run.error is not None for run in load.runs):
            return False
        tokens = {script.name: [turn.output_tokens for turn in script.turns] for script in scripts}
        return self._keeps(self.first_token_ms, first_token_times(load)) and self._keeps(
            self.per_token_ms, per_token_times(load, tokens)
        )

    def _keeps(self, bound_ms: float | None, times_ns: Iterable[float]) -> bool:
        if bound_ms is None:
            return True
        ordered = sorted(times_ns)
        if not ordered:
            return False
        return ordered[max(0, math.ceil(len(ordered) * self.percentile / 100) - 1)] <= bound_ms * 1e6


def first_token_times(load: LoadRecord) -> list[float]:
    """Nanoseconds, of every turn."""
    return [turn.first_token - turn.began for run in load.runs for turn in run.turns]


def per_token_times(load: LoadRecord, tokens: Mapping[str, Sequence[int]]) -> list[float]:
    """Nanoseconds, of every turn of two tokens or more. ``tokens``: of each turn, by script, where the server has not
    said how many it sampled."""
    times = []
    for run in load.runs:
        for turn, asked in zip(run.turns, tokens[run.script], strict=False):
            count = asked if turn.server is None else turn.server.sampled
            if count > 1:
                times.append((turn.last_event - turn.first_token) / (count - 1))
    return times


@dataclass(slots=True)
class Search:
    """``agents``: the largest number that met the objective; 0 if one agent was too many. ``tried``: every load, in
    order; ``meets`` says of each how it went. ``bounded``: not even ``max_agents`` were too many."""

    agents: int
    tried: list[LoadRecord]
    bounded: bool


async def largest(
    measure: Callable[[int], Awaitable[LoadRecord]],
    is_met: Callable[[LoadRecord], bool],
    *,
    max_agents: int,
    repeats: int = 1,
) -> Search:
    """The largest number of agents for which ``is_met``: doubled until one fails, then bisected.

    That is right if more agents never do better. Noise breaks this rule: with ``repeats`` a number must meet the
    objective that many times in a row, so that the answer errs on the low side.

    :param measure: a load with so many agents.
    """
    tried: list[LoadRecord] = []

    async def meets(agents: int) -> bool:
        for _ in range(repeats):
            load = await measure(agents)
            load.meets = is_met(load)
            tried.append(load)
            if not load.meets:
                return False
        return True

    good, bad = 0, max_agents + 1
    while good < max_agents and bad > max_agents:
        following = min(max(1, 2 * good), max_agents)
        if await meets(following):
            good = following
        else:
            bad = following
    while bad - good > 1:
        middle = (good + bad) // 2
        if await meets(middle):
            good = middle
        else:
            bad = middle
    return Search(good, tried, good == max_agents)
