"""An engine that takes no time: the real `Residency` and policies, and a model of what llama.cpp takes for the rest.

Discrete events on a virtual clock. Agents (`agent_workload`) pause, wait for a slot, are prefilled, sampled and pause
again; one thread does the computing, copies between KV cache and memory among it; a disk works beside it.
"""

from __future__ import annotations

import bisect
import contextlib
import heapq
import itertools
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from agent_workload import CONTEXT, PREFIX, Agent, Step
from caesura.sampler.eviction import EvictionPolicy, Parked
from caesura.sampler.residency import Residency
from caesura.sampler.state import Blob, Level, Outcome

WARM_UP = 0.2
"""Part of the time that isn't counted."""

MAX_BATCHES = 8
"""Batches with prefill that are taken as equal, though each token costs a little more than the one before."""


@dataclass(frozen=True)
class Service:
    """What the engine's operations take, in seconds and bytes: measured of a model with llama.cpp, one thread."""

    name: str
    bytes_per_token: int
    step: float  # each batch
    decode: float  # each sequence that decodes in it
    prefill: float  # each token of a prefill
    attention: float  # each token, per token of context before it
    save: float  # KV cache to memory, a token
    load: float
    write_bandwidth: float = 270e6
    read_bandwidth: float = 1.8e9
    prefill_chunk: int = 64
    idle_prefill_chunk: int = 512


SMALL = Service("3 M, f16", 1_000, 0.2e-3, 0.43e-3, 0.1e-3, 0.08e-6, 0.22e-6, 0.36e-6)
MEDIUM = Service("135 M, q8_0", 23_000, 18e-3, 7e-3, 2.8e-3, 1.9e-6, 3.7e-6, 3.7e-6)


@dataclass(frozen=True)
class Setting:
    """memory, disk: parts of what the states of all agents take, at the median context."""

    agents: int
    slots: int
    memory: float
    disk: float = 0.0
    human_every: float = 0.0
    service: Service = SMALL
    horizon: float = 400.0

    def size(self, part: float) -> int:
        return int(self.agents * PREFIX * self.service.bytes_per_token * part)


@dataclass(slots=True)
class Running:
    """A sequence that waits for a slot or is in it. `pending` tokens are to be computed, `left` to be sampled."""

    key: int
    agent: int
    step: Step
    steps: Iterator[Step]
    total: int
    resumed_at: float
    first: bool
    pending: int = 0
    left: int = 0
    position: int = 0
    rebuild_until: int = 0
    sources: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class Figures:
    turns: int = 0
    latencies: list[float] = field(default_factory=list)
    found: dict[str, int] = field(default_factory=lambda: {level.value: 0 for level in Level})
    moved: int = 0
    rebuilt: int = 0
    busy: float = 0.0
    wasted: float = 0.0
    seconds: float = 0.0


class SimulatedStorage:
    """A blob is as long as the real one would be, and empty. Copies take the engine's time, files that of a disk."""

    can_trim = True

    def __init__(self, service: Service, schedule: Callable[[float, tuple[str, int, Blob]], None]) -> None:
        self.service = service
        self.clock = 0.0
        self.seconds = 0.0
        self.moved = 0
        self.sizes: dict[int, int] = {}
        self.files: dict[int, Blob] = {}
        self._schedule = schedule
        self.disk_free_at = 0.0

    def state_size(self, slot: int, tokens: int) -> int:
        self.sizes[slot] = tokens * self.service.bytes_per_token
        return self.sizes[slot]

    def save(self, slot: int) -> Blob:
        return self._copy(range(self.sizes[slot]), self.service.save)

    def load(self, slot: int, blob: Blob) -> bool:
        self._copy(blob, self.service.load)
        return True

    def _copy(self, blob: Blob, a_token: float) -> Blob:
        self.seconds += len(blob) / self.service.bytes_per_token * a_token
        self.moved += len(blob)
        return blob

    def trim(self, slot: int, tokens: int) -> None:
        raise NotImplementedError("no agent forks")

    def clear(self, slot: int) -> None:
        self.sizes.pop(slot, None)

    def write(self, file: int, blob: Blob) -> None:
        self.files[file] = blob
        self._transfer("written", file, blob, self.service.write_bandwidth)

    def read(self, file: int) -> None:
        self._transfer("loaded", file, self.files[file], self.service.read_bandwidth)

    def delete(self, file: int) -> None:
        self.files.pop(file, None)

    def _transfer(self, what: str, file: int, blob: Blob, bandwidth: float) -> None:
        self.moved += len(blob)
        self.disk_free_at = max(self.clock, self.disk_free_at) + len(blob) / bandwidth
        self._schedule(self.disk_free_at, (what, file, blob))


class Oracle:
    """Evicts the sequence whose pause ends last."""

    name = "oracle"

    def __init__(self, ends: dict[int, float]) -> None:
        self.ends = ends

    def victim(self, candidates: Collection[Parked], now: float) -> Parked:
        return max(candidates, key=lambda parked: (self.ends[parked.key], parked.key))

    def resumed(self, parked: Parked, now: float) -> None:
        pass


class Simulation:
    """One setting, one policy. `run` may be called once."""

    def __init__(self, setting: Setting, agents: list[Agent], policy: EvictionPolicy | None) -> None:
        self.setting, self.service = setting, setting.service
        self.now = 0.0
        self.figures = Figures()
        self.ends: dict[int, float] = {}
        self.storage = SimulatedStorage(self.service, self._at)
        self.residency = Residency(
            setting.slots,
            setting.size(setting.memory),
            setting.size(setting.disk),
            policy or Oracle(self.ends),
            self.storage,
            keep_closed=False,
        )
        self.active: list[Running] = []
        self.waiting: list[Running] = []
        self.events: list[tuple[float, int, tuple[str, int, Any]]] = []
        self.order = itertools.count()
        self.keys = itertools.count()
        self.sessions = [iter(agent) for agent in agents]
        first = [(agent, *self._begin(agent)) for agent in range(len(agents))]
        for agent, steps, step in sorted(first, key=lambda item: -item[2].elapsed):
            self._place(agent, steps, step)

    def _at(self, when: float, event: tuple[str, int, Any]) -> None:
        heapq.heappush(self.events, (when, next(self.order), event))

    def _begin(self, agent: int) -> tuple[Iterator[Step], Step]:
        """The agent's next session and its first step. Raises StopIteration if it has no more."""
        steps = next(self.sessions[agent])
        return steps, next(steps)

    def _place(self, agent: int, steps: Iterator[Step], step: Step) -> None:
        """Start in the middle: this agent has been pausing since before the start."""
        running = Running(next(self.keys), agent, step, steps, step.appended, 0.0, True)
        self.now = -step.elapsed
        while self.residency.seat(running.key, self.now) is not Outcome.SEATED:
            self._finish_transfers()
        running.position = step.appended + step.sampled
        self._pause(running)
        self.now = self.storage.seconds = self.storage.disk_free_at = 0.0

    def _finish_transfers(self) -> None:
        transfers = [event for event in self.events if event[2][0] != "resumed"]
        self.events = [event for event in self.events if event[2][0] == "resumed"]
        heapq.heapify(self.events)
        for _, _, event in sorted(transfers):
            self._handle(event)

    def _open(self, agent: int) -> None:
        with contextlib.suppress(StopIteration):
            steps, step = self._begin(agent)
            self.waiting.append(Running(next(self.keys), agent, step, steps, step.appended, self.now, True))

    def run(self, horizon: float = math.inf, check: Callable[[Simulation], None] = lambda simulation: None) -> Figures:
        """Until that time, or until all agents are done. `check` is called before each batch."""
        warm = False
        while self.now < horizon:
            if not warm and self.now >= WARM_UP * horizon and horizon < math.inf:
                warm, self.figures = True, Figures(seconds=-self.now)
                self.storage.moved = 0
            while self.events and self.events[0][0] <= self.now:
                self._handle(heapq.heappop(self.events)[2])
            self._seat()
            check(self)
            if self.active:
                self._compute()
            elif self.events:
                self.now = max(self.now, self.events[0][0])
            else:
                break
        self.figures.moved = self.storage.moved
        self.figures.seconds += self.now
        return self.figures

    def _handle(self, event: tuple[str, int, Any]) -> None:
        what, number, value = event
        self.storage.clock = self.now
        if what == "written":
            self.residency.written(number, True)
        elif what == "loaded":
            self.residency.loaded(number, value)
        else:
            state = self.residency.states[number]
            self.figures.found[state.level.value] += 1
            self.residency.wake(number, self.now)
            bisect.insort(self.waiting, value, key=lambda running: running.key)

    def _seat(self) -> None:
        """As the engine does it: those that were opened first before the others."""
        self.storage.clock = self.now
        for running in self.residency.seat_in_turn(self.waiting, self.now):
            self.waiting.remove(running)
            state = self.residency.states[running.key]
            running.position, running.pending = state.tokens, running.total - state.tokens
            running.left = running.step.sampled
            running.rebuild_until = 0 if running.first else running.total - running.step.appended
            self.active.append(running)
        self.figures.wasted += self.storage.seconds
        self.figures.busy += self.storage.seconds
        self.now += self.storage.seconds
        self.storage.seconds = 0.0

    def _prefill_time(self, position: int, count: int) -> float:
        return count * (self.service.prefill + self.service.attention * (position + count / 2))

    def _compute(self) -> None:
        """As many equal batches as there are before anything changes."""
        service = self.service
        decoding = [running for running in self.active if not running.pending]
        prefilling = [running for running in self.active if running.pending]
        prefilling.sort(key=lambda running: (running.first, running.pending if not running.first else 0, running.key))
        budget = service.prefill_chunk if decoding else service.idle_prefill_chunk
        shares: list[tuple[Running, int]] = []
        seconds = service.step + sum(service.decode + service.attention * running.position for running in decoding)
        for running in prefilling:
            share = min(budget, running.pending)
            if not share:
                break
            shares.append((running, share))
            seconds += self._prefill_time(running.position, share)
            budget -= share
        batches = min(running.left for running in decoding) if decoding else CONTEXT
        if shares:
            batches = min(batches, *(running.pending // share for running, share in shares), MAX_BATCHES)
        if self.events:
            batches = max(1, min(batches, math.ceil((self.events[0][0] - self.now) / seconds)))
        self.now += batches * seconds
        self.figures.busy += batches * seconds
        for running in decoding:
            running.position += batches
            running.left -= batches
        for running, share in shares:
            again = min(batches * share, running.rebuild_until - running.position)
            if again > 0:
                self.figures.rebuilt += again
                self.figures.wasted += self._prefill_time(running.position, again)
            running.position += batches * share
            running.pending -= batches * share
            if not running.pending:
                running.left -= 1
                self.figures.latencies.append(self.now - running.resumed_at)
        for running in [*decoding, *(running for running, _ in shares)]:
            if not running.pending and not running.left:
                self.active.remove(running)
                self._pause(running)

    def _pause(self, running: Running) -> None:
        step = running.step
        self.figures.turns += 1
        self.residency.advance(running.key, running.position)
        self.ends[running.key] = self.now + step.pause
        self.residency.park(running.key, self.now)
        following = next(running.steps, None)
        if following is None:
            self.residency.close(running.key)
            self._open(running.agent)
            return
        self.residency.expect(running.key, step.tools)
        resumed_at = self.now + step.pause
        total = running.position + following.appended
        value = Running(running.key, running.agent, following, running.steps, total, resumed_at, False)
        self._at(resumed_at, ("resumed", running.key, value))
