"""An experiment: every design, every peer and the engine alone play the same sessions, in a random order, again and
again, on one machine in one run.

Whatever drifts, a clock, a neighbour, a cache, drifts for all of them. Every run has a connection of its own and digits
of its own at the beginning of its prompt, so that none finds what another one has computed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from .agent import Played, play
from .cpu import CpuMeter, listening_pid
from .delay import delay_proxy
from .driver import BenchError, Driver
from .drivers import DESIGNS, Peer, detect_peer, make_driver, make_peer_driver
from .environment import environment
from .load import Objective, closed_loop, largest
from .noise import Probe
from .plan import LIMIT, Plan
from .records import LimitRecord, LoadRecord, Results, RunRecord, ServerTurn
from .script import NONCE_DIGITS, Script
from .script_maker import make_scripts, scripts_of_trace, workload_of
from .servers import Server, add_spans, fetch_spans, started
from .trace_file import Trace
from .workload import Session, Workload
from .yardstick import Yardstick

Say = Callable[[str], None]

CALIBRATING = "e"
"""The design that is played first, to see how many tokens each turn of a script comes to in the engine."""

BROKEN_OFF = "broken_off"
INTERRUPTED = "interrupted"

WARM_UP = "warm-up"
_WARM_UP_TURNS = 2

LOADS = 3
"""How often a load is measured, that counts."""

DETECTION_SECONDS = 60.0
"""For a peer's first answers: its model may still be loading."""


async def run_experiment(plan: Plan, command: Sequence[str], say: Say = lambda line: None) -> Results:
    """Carry it out.

    :param command: for the report.
    :param say: is told how far it is, a line at a time.
    :raises BenchError: it can't be begun: no server, no peer, a model that can't be loaded. What goes wrong with a
        session is in its record. What ends the experiment before its time, a server that is gone or a cancellation, is
        in ``settings["broken_off"]``, beside what was measured until then.
    """
    with ExitStack() as stack:
        probe = Probe()
        spec = None if plan.engine.cost_model is None else plan.engine.cost_model.spec
        yardstick = stack.enter_context(
            Yardstick(
                plan.engine.model,
                context=plan.context_length,
                sequences=plan.num_sequences,
                threads=plan.threads,
                simulate=spec,
            )
        )
        scripts, workload = _scripts(plan, yardstick)
        server = stack.enter_context(_server(plan, scripts, yardstick.info.path))
        peers = [await _detected(name, url, min(plan.timeout, DETECTION_SECONDS)) for name, url in plan.peers]
        far = {peer.name: stack.enter_context(_further_away(peer, plan.rtt_ms)) for peer in peers}
        url = server.url if not plan.rtt_ms else stack.enter_context(delay_proxy(server.url, plan.rtt_ms))
        results = Results(
            command=list(command),
            began_at=datetime.now(UTC).isoformat(timespec="seconds"),
            arm=plan.engine.arm,
            simulated=plan.engine.cost_model is not None,
            engine=_engine_facts(plan, yardstick),
            settings=plan.settings(),
            environment=environment(Path(yardstick.info.path)),
            workload=_workload_facts(workload),
            designs=[*(info for info in DESIGNS if info.key in plan.designs), *(peer.info for peer in peers)],
        )
        experiment = _Experiment(plan, results, scripts, yardstick, server, url, peers, far, probe, say)
        try:
            await experiment.run()
        except (BenchError, OSError) as error:
            _break_off(results, str(error))
        except asyncio.CancelledError:
            _break_off(results, INTERRUPTED)
        results.noise = probe.noise()
        return results


def _break_off(results: Results, reason: str) -> None:
    """It ends before its time. What was measured is kept.

    :raises BenchError: nothing was.
    """
    if not results.runs and not results.loads:
        raise BenchError(reason)
    results.settings[BROKEN_OFF] = reason


async def _detected(name: str, url: str, seconds: float) -> Peer:
    try:
        async with asyncio.timeout(seconds):
            return await detect_peer(name, url)
    except TimeoutError:
        raise BenchError(f"{name} did not answer in {seconds:g} s") from None


def _scripts(plan: Plan, yardstick: Yardstick) -> tuple[list[Script], Workload]:
    given = plan.workload
    made = scripts_of_trace(given, yardstick) if isinstance(given, Trace) else make_scripts(given, yardstick)
    workload = workload_of(given.name, given.description, made, yardstick)
    # A turn may come to more than was asked for, by the syntax of its calls. Peers sample as much as our designs do.
    scripts = [_counted(script, session) for script, session in zip(made, workload.sessions, strict=True)]
    return scripts, workload


def _counted(script: Script, session: Session) -> Script:
    turns = [
        replace(turn, output_tokens=counted.output_tokens)
        for turn, counted in zip(script.turns, session.turns, strict=True)
    ]
    return replace(script, turns=tuple(turns))


@contextmanager
def _server(plan: Plan, scripts: Sequence[Script], model: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="caesura-bench-") as folder:
        replay = Path(folder) / "replay.json"
        sessions = {script.name: script.replay() for script in [*scripts, _warm_up(scripts[0])]}
        replay.write_text(json.dumps({"sessions": sessions}), encoding="utf-8")
        options = ["--replay", str(replay), "--store", str(Path(folder) / "responses.db")]
        options += ["--ctx", str(plan.context_length), "--sequences", str(plan.num_sequences)]
        options += ["--threads", str(plan.threads)]
        if plan.engine.cost_model is not None:
            options += ["--simulate", plan.engine.cost_model.spec]
        with started(model, [*options, *plan.server_options]) as server:
            yield server


@contextmanager
def _further_away(peer: Peer, rtt_ms: float) -> Iterator[Peer]:
    if not rtt_ms:
        yield peer
        return
    with delay_proxy(peer.address.http_url, rtt_ms) as url:
        yield replace(peer, address=replace(peer.address, port=int(url.rpartition(":")[2].partition("/")[0])))


def _warm_up(script: Script) -> Script:
    """The beginning of a session, and its end."""
    turns = [*script.turns[: min(_WARM_UP_TURNS, len(script.turns) - 1)], script.turns[-1]]
    return _without_waiting(replace(script, name=WARM_UP, turns=tuple(turns)))


def _without_waiting(script: Script) -> Script:
    turns = [replace(turn, calls=tuple(replace(call, seconds=0.0) for call in turn.calls)) for turn in script.turns]
    return replace(script, turns=tuple(turns))


def _engine_facts(plan: Plan, yardstick: Yardstick) -> dict[str, object]:
    cost = plan.engine.cost_model
    if cost is not None:
        return {
            "decode, tokens/s": cost.decode,
            "prefill, tokens/s": cost.prefill,
            "attention, us a token per 1,000 tokens of context": cost.attention,
            "batch, part of a step that each further sequence adds": cost.batch,
            "tokenizer": yardstick.info.model,
        }
    return {"model": yardstick.info.model, "parameters": yardstick.info.parameters, "threads": plan.threads}


def _workload_facts(workload: Workload) -> dict[str, object]:
    sessions = [
        {
            "prompt_tokens": session.prompt_tokens,
            "turns": [
                {"output_tokens": turn.output_tokens, "tools": [[tool.seconds, tool.tokens] for tool in turn.tools]}
                for turn in session.turns
            ],
        }
        for session in workload.sessions
    ]
    return {"name": workload.name, "description": workload.description, "sessions": sessions}


@dataclass(slots=True)
class _Experiment:
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
        played = await self._played(name, _warm_up(self.scripts[0]), 0)
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
