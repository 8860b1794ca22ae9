"""An experiment: every design, every peer and the engine alone play the same sessions, in a random order, again and
again, on one machine in one run.

Whatever drifts, a clock, a neighbour, a cache, drifts for all of them. Every run has a connection of its own and digits
of its own at the beginning of its prompt, so that none finds what another one has computed.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from .delay import delay_proxy
from .driver import BenchError
from .drivers import DESIGNS, Peer, detect_peer
from .environment import environment
from .noise import Probe
from .plan import Plan
from .records import Results
from .schedule import Say, Schedule, warm_up
from .script import Script
from .script_maker import make_scripts, scripts_of_trace, workload_of
from .servers import Server, started
from .trace_file import Trace
from .workload import Session, Workload
from .yardstick import Yardstick

BROKEN_OFF = "broken_off"
INTERRUPTED = "interrupted"

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
        experiment = Schedule(plan, results, scripts, yardstick, server, url, peers, far, probe, say)
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
        sessions = {script.name: script.replay() for script in [*scripts, warm_up(scripts[0])]}
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
