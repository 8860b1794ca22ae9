"""What is played in an experiment, and in which order: every design, every peer and the engine alone."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from .agent import Played, play
from .cpu import CpuMeter, listening_pid
from .driver import BenchError, Driver
from .drivers import Peer, make_driver, make_peer_driver
from .load import Objective, closed_loop, largest
from .noise import Probe
from .plan import LIMIT, Plan
from .records import LimitRecord, LoadRecord, Results, RunRecord, ServerTurn
from .script import NONCE_DIGITS, Script
from .servers import Server, add_spans, fetch_spans
from .yardstick import Yardstick

Say = Callable[[str], None]

CALIBRATING = "e"
"""The design that is played first, to see how many tokens each turn of a script comes to in the engine."""

WARM_UP = "warm-up"
_WARM_UP_TURNS = 2

LOADS = 3
"""How often a load is measured, that counts."""


def warm_up(script: Script) -> Script:
    """The beginning of a session, and its end."""
    turns = [*script.turns[: min(_WARM_UP_TURNS, len(script.turns) - 1)], script.turns[-1]]
    return _without_waiting(replace(script, name=WARM_UP, turns=tuple(turns)))


def _without_waiting(script: Script) -> Script:
    turns = [replace(turn, calls=tuple(replace(call, seconds=0.0) for call in turn.calls)) for turn in script.turns]
    return replace(script, turns=tuple(turns))


@dataclass(slots=True)
class Schedule:
    """Fills in the records of ``results``.

    url: of the server, as far away as the plan says; ``far`` has the peers so, by name.
    """

    plan: Plan
    results: Results
    scripts: Sequence[Script]
    yardstick: Yardstick
    server: Server
    url: str
    peers: Sequence[Peer]
    far: dict[str, Peer]
    probe: Probe
    say: Say
    order: int = 0
    limits: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    nonces: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        # Not by the seed: a peer that goes on running must not know them from another experiment.
        rng = random.SystemRandom()
        self.nonces = iter(lambda: str(rng.randrange(10 ** (NONCE_DIGITS - 1), 10**NONCE_DIGITS)), "")

    async def run(self) -> None:
        """Raises BenchError and OSError, also in the middle: then the records are those until there."""
        names = [*self.plan.designs, *(peer.name for peer in self.peers)]
        for script in self.scripts:
            await self._calibrate(script)
        if self.plan.warm_up:
            for name in names:
                await self._warm_up(name)
        rng = random.Random(self.plan.seed)
        if self.plan.agents > 1:
            await self._loads(names, rng)
            return
        for repeat in range(self.plan.repeats):
            entries = [*names, LIMIT]
            rng.shuffle(entries)
            for name in entries:
                for script in self.scripts:
                    self.probe()
                    gc.collect()
                    if name == LIMIT:
                        self._limit(script, repeat)
                    else:
                        await self._play(name, script, repeat)
                    self.order += 1

    # --- one session after the other --------------------------------------------------------------------------------

    async def _calibrate(self, script: Script) -> None:
        """The tokens of each turn, with all that the template adds, from what the server says of one session."""
        played = await self._played(CALIBRATING, _without_waiting(script), 0)
        if played.run.error is not None:
            raise BenchError(f"the session {script.name} can't be played: {played.run.error}")
        computed, turns = 0, []
        for turn in _served(played.run):
            turns.append((computed, turn.given - computed, turn.sampled))
            computed = turn.given + turn.sampled - 1  # the last one is computed with what follows it
        self.limits[script.name] = turns

    async def _warm_up(self, name: str) -> None:
        played = await self._played(name, warm_up(self.scripts[0]), 0)
        if played.run.error is not None:
            self.say(f"warm-up of {name}: {played.run.error}")

    def _limit(self, script: Script, repeat: int) -> None:
        turns = self.yardstick.limit(self.limits[script.name])
        self.results.limits.append(LimitRecord(script.name, repeat, self.order, turns))
        seconds = sum(turn.prefill_ns + turn.decode_ns for turn in turns) / 1e9
        self.say(f"repeat {repeat + 1} of {self.plan.repeats}: engine alone, {script.name}: {seconds:.2f} s")

    async def _play(self, name: str, script: Script, repeat: int) -> None:
        played = await self._played(name, script, repeat)
        run = played.run
        self.results.runs.append(run)
        outcome = run.error or f"{(run.ended - run.began) / 1e9:.2f} s"
        self.say(f"repeat {repeat + 1} of {self.plan.repeats}: {name}, {script.name}: {outcome}")

    async def _played(self, name: str, script: Script, repeat: int) -> Played:
        driver, meter = self._driver(name), self._meter(name)
        try:
            began = time.perf_counter_ns()
            await driver.open()
            connect_ns = time.perf_counter_ns() - began
            meter.start()
            played = await play(
                driver, script, next(self.nonces), design=name, repeat=repeat, order=self.order, connect_ns=connect_ns
            )
            played.run.cpu_ns = meter.stop()
        except BenchError as error:
            now = time.perf_counter_ns()
            return Played(RunRecord(name, script.name, repeat, self.order, now, now, [], error=str(error)))
        finally:
            await driver.close()
        self._add_spans([played])
        return played

    # --- many at once -----------------------------------------------------------------------------------------------

    async def _loads(self, names: list[str], rng: random.Random) -> None:
        if self.plan.objective is not None:
            for name in names:
                await self._search(name, self.plan.objective)
            return
        for _ in range(min(LOADS, self.plan.repeats)):
            rng.shuffle(names)
            for name in names:
                self.results.loads.append(await self._measure(name, self.plan.agents))

    async def _search(self, name: str, objective: Objective) -> None:
        """The largest number of agents. It is measured some more: by one measurement nobody knows how it scatters."""
        search = await largest(
            lambda agents: self._measure(name, agents),
            lambda load: objective.is_met(load, self.scripts),
            max_agents=self.plan.agents,
        )
        self.results.loads += search.tried
        more = " at least" if search.bounded else ""
        self.say(f"{name}: {search.agents} agents{more} meet {objective}")
        for _ in range(LOADS - 1 if search.agents else 0):
            load = await self._measure(name, search.agents)
            load.meets = objective.is_met(load, self.scripts)
            self.results.loads.append(load)

    async def _measure(self, name: str, agents: int) -> LoadRecord:
        self.probe()
        gc.collect()
        meter = self._meter(name)
        meter.start()
        load, played = await closed_loop(
            name,
            lambda: self._driver(name),
            self.scripts,
            agents,
            make_nonce=lambda: next(self.nonces),
            min_seconds=self.plan.load_seconds,
        )
        load.cpu_ns = meter.stop()
        self._add_spans(played)
        failed = sum(run.error is not None for run in load.runs)
        self.say(f"{name}: {agents} agents: {len(load.runs)} sessions, {failed} failed")
        return load

    # --- what both need ---------------------------------------------------------------------------------------------

    def _driver(self, name: str) -> Driver:
        peer = self.far.get(name)
        if peer is None:
            return make_driver(name, self.url, self.server.model, timeout=self.plan.timeout)
        return make_peer_driver(peer, stop_tokens=self.yardstick.info.stop_tokens, timeout=self.plan.timeout)

    def _meter(self, name: str) -> CpuMeter:
        peer = next((peer for peer in self.peers if peer.name == name), None)
        if peer is None:
            return CpuMeter(self.server.pid)
        return CpuMeter(listening_pid(peer.address.http_url), engine=False)

    def _add_spans(self, played: Sequence[Played]) -> None:
        played = [one for one in played if one.run.design not in self.far]
        if not played:
            return
        wanted = {response_id for one in played for response_id in one.response_ids if response_id is not None}
        spans = fetch_spans(self.server.url, wanted if all(one.run.error is None for one in played) else ())
        for one in played:
            add_spans(one, spans)


def _served(run: RunRecord) -> list[ServerTurn]:
    turns = [turn.server for turn in run.turns if turn.server is not None]
    if len(turns) < len(run.turns):
        raise BenchError("the server has no spans of a session that it has just played")
    return turns
