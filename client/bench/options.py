"""The options of ``caesura bench``, and the plans that they make."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .distributions import Distribution, InvalidDistribution, parse_distribution
from .driver import BenchError
from .drivers import DESIGNS, parse_peer
from .load import Objective
from .plan import CostModel, Engine, Plan
from .presets import DEFAULT_PRESET, PRESETS, make_workload
from .trace_file import Trace, load
from .workload import Workload

_NUMBERS: tuple[str, ...] = (
    "tool_calls",
    "prompt_tokens",
    "append_tokens",
    "output_tokens",
    "tool_time",
    "scale_tokens",
    "scale_tool_time",
    "max_tool_time",
    "preset",
)
"""What a trace file says itself."""
_DEFAULTS = {"scale_tokens": 1.0, "scale_tool_time": 1.0, "preset": DEFAULT_PRESET}

_TEMPLATE_ROOM = 0.9
"""Of a context that was given: what a workload may fill before templates add their part."""


def _distribution(text: str) -> Distribution:
    try:
        return parse_distribution(text)
    except InvalidDistribution as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number above 0")
    return value


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of milliseconds, 0 or more")
    return value


SWEEPS: dict[str, Callable[[str], Any]] = {
    "tool-calls": int,
    "tokens-per-second": _above_zero,
    "append-tokens": _distribution,
    "rtt-ms": _milliseconds,
}
"""Options that can have several values, and how one is read."""


def make_parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    parser = argparse.ArgumentParser(
        prog="caesura bench",
        description="What an agent loop costs, in which design, against the limit: one workload on one model, "
        "played by every design in turn, in one run.",
        epilog="DIST is a number, uniform:A,B, exp:MEAN, lognormal:P50,P90, empirical:p50=A,p90=B or discrete:V=W,...",
    )
    designs = parser.add_argument_group("who plays")
    letters = "".join(design.key for design in DESIGNS)
    designs.add_argument(
        "--designs",
        default=letters,
        metavar="LETTERS",
        help="; ".join(f"{design.key}: {design.title}" for design in DESIGNS) + " (default: all; '-' for none)",
    )
    designs.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="an outside server that has the same model, may be repeated: http(s)://HOST:PORT[/v1], asked what it "
        "speaks, or with responses+ or chat+ before it; ws(s)://... for OpenAI's WebSocket mode; #{JSON} after it "
        "adds fields to its requests",
    )

    model = parser.add_argument_group("what computes")
    which = model.add_mutually_exclusive_group()
    which.add_argument("--model", default="demo", help="as 'caesura serve' takes it (default: %(default)s)")
    which.add_argument(
        "--shape",
        metavar="SHAPE",
        help="random weights of a shape, made on the spot: 135m, 500m, 3m:q8_0, tiny:f16:mamba",
    )
    model.add_argument(
        "--tokens-per-second",
        type=_above_zero,
        metavar="R",
        help="no model: an engine that answers at this rate, for speeds that this machine does not reach. All figures "
        "are labelled as simulated",
    )
    model.add_argument(
        "--cost-model",
        default="",
        metavar="NAME=VALUE,...",
        help="of that engine: prefill (tokens/s, default 10 R but at least 10000), attention (us a token per 1,000 "
        "tokens of context, default 0), batch (part of a step that each further sequence adds, default 0)",
    )
    model.add_argument(
        "--ctx", type=_count, metavar="TOKENS", help="context a sequence (default: what the workload takes)"
    )
    model.add_argument("--threads", type=_count, default=1, help="of llama.cpp, in the server and alone (default: 1)")
    model.add_argument("--sequences", type=_count, metavar="N", help="sampled at once (default: agents + 1)")
    model.add_argument(
        "--server-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="one more word for 'caesura serve', may be repeated: --server-option=--engine --server-option=process",
    )

    workload = parser.add_argument_group("what is played")
    workload.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default=DEFAULT_PRESET,
        help="; ".join(f"{name}: {preset.summary}" for name, preset in PRESETS.items()) + " (default: %(default)s)",
    )
    workload.add_argument(
        "--trace-file", type=Path, metavar="FILE", help="recorded sessions: JSONL, see spec/TRACE_FORMAT.md"
    )
    workload.add_argument("--tool-calls", type=int, metavar="N", help="calls a session")
    workload.add_argument("--prompt-tokens", type=_distribution, metavar="DIST")
    workload.add_argument("--append-tokens", type=_distribution, metavar="DIST", help="a turn, by all its tools")
    workload.add_argument("--output-tokens", type=_distribution, metavar="DIST", help="sampled a turn")
    workload.add_argument("--tool-time", type=_distribution, metavar="DIST", help="seconds a call")
    workload.add_argument(
        "--scale-tokens", type=_above_zero, default=1.0, metavar="F", help="of the preset's own numbers"
    )
    workload.add_argument("--scale-tool-time", type=float, default=1.0, metavar="F")
    workload.add_argument("--max-tool-time", type=float, metavar="SECONDS")
    workload.add_argument(
        "--sessions", type=_count, metavar="N", help="different ones (default: 1, or all of a trace file)"
    )
    workload.add_argument("--seed", type=int, default=0, help="of the workload and of the order (default: 0)")

    how = parser.add_argument_group("how")
    how.add_argument(
        "--repeats",
        type=_count,
        default=6,
        help="of every session, in another order each time (default: 6, the fewest that have intervals of 95%%)",
    )
    how.add_argument("--rtt-ms", type=_milliseconds, default=0.0, metavar="MS", help="add so long a round trip")
    how.add_argument("--agents", type=_count, default=1, metavar="N", help="at once, each session after session")
    how.add_argument(
        "--load-seconds", type=_above_zero, default=10.0, metavar="S", help="how long, three times (default: 10)"
    )
    how.add_argument(
        "--slo-ttft-ms",
        type=_above_zero,
        metavar="MS",
        help="look for the most agents, up to --agents, with which the time to first token of a turn is at most this",
    )
    how.add_argument("--slo-token-ms", type=_above_zero, metavar="MS", help="the same for the time per token")
    how.add_argument("--slo-percentile", type=_above_zero, default=99.0, metavar="P", help="of the turns (default: 99)")
    how.add_argument(
        "--sweep",
        metavar="NAME=V1,V2,...",
        help=f"the whole experiment with each of these values of {', '.join(SWEEPS)}",
    )
    how.add_argument("--timeout", type=_above_zero, default=600.0, metavar="S", help="for a turn (default: 600)")

    report = parser.add_argument_group("what comes of it")
    report.add_argument("--report", type=Path, metavar="FILE.html", help="a page with tables, plots and the raw data")
    report.add_argument("--json", type=Path, metavar="FILE", help="the raw data")
    report.add_argument("--trace", type=Path, metavar="FILE", help="a session of each design, for ui.perfetto.dev")
    report.add_argument(
        "--from", type=Path, dest="source", metavar="FILE", help="measure nothing: report on this raw data"
    )
    report.add_argument("--quiet", action="store_true", help="say nothing on the way")
    return parser


def plans_of(arguments: argparse.Namespace) -> list[Plan]:
    """One plan, or with ``--sweep`` several.

    :raises BenchError: what the arguments say can't be.
    """
    if arguments.sweep is None:
        return [_plan(arguments)]
    name, _, listed = arguments.sweep.partition("=")
    values = [value for value in listed.split(",") if value]
    if name not in SWEEPS or not values:
        raise BenchError(f"--sweep: give NAME=V1,V2,... with a name of {', '.join(SWEEPS)}, not {arguments.sweep!r}")
    plans = []
    for value in values:
        try:
            read = SWEEPS[name](value)
        except (ValueError, argparse.ArgumentTypeError):
            raise BenchError(f"--sweep: {value!r} is no value of {name}") from None
        plans.append(_plan(argparse.Namespace(**{**vars(arguments), name.replace("-", "_"): read})))
    return plans


def _plan(arguments: argparse.Namespace) -> Plan:
    cost = None
    if arguments.tokens_per_second is not None:
        cost = CostModel.of(arguments.tokens_per_second, arguments.cost_model)
    elif arguments.cost_model:
        raise BenchError("--cost-model goes with --tokens-per-second")
    engine = Engine(arguments.model if arguments.shape is None else f"random:{arguments.shape}", cost)
    objective = None
    if arguments.slo_ttft_ms is not None or arguments.slo_token_ms is not None:
        objective = Objective(arguments.slo_ttft_ms, arguments.slo_token_ms, arguments.slo_percentile)
    if arguments.agents > 1 and arguments.trace is not None:
        raise BenchError("--trace shows sessions one by one: it can't go with --agents")
    if objective is not None and arguments.agents < 2:
        raise BenchError("an objective is looked for among numbers of agents: give --agents, the most to try")
    return Plan(
        engine=engine,
        workload=_workload(arguments),
        designs=() if arguments.designs == "-" else tuple(arguments.designs),
        peers=tuple(parse_peer(peer) for peer in arguments.peer),
        repeats=arguments.repeats,
        seed=arguments.seed,
        rtt_ms=arguments.rtt_ms,
        threads=arguments.threads,
        context=arguments.ctx,
        sequences=arguments.sequences,
        agents=arguments.agents,
        objective=objective,
        load_seconds=arguments.load_seconds,
        server_options=tuple(arguments.server_option),
        timeout=arguments.timeout,
    )


def _workload(arguments: argparse.Namespace) -> Workload | Trace:
    if arguments.trace_file is not None:
        given = [name for name in _NUMBERS if getattr(arguments, name) != _DEFAULTS.get(name)]
        if given:
            raise BenchError(f"--trace-file has its own numbers: --{given[0].replace('_', '-')} can't go with it")
        trace = load(arguments.trace_file)
        return dataclasses.replace(trace, sessions=trace.sessions[: arguments.sessions])
    return make_workload(
        arguments.preset,
        tool_calls=arguments.tool_calls,
        prompt_tokens=arguments.prompt_tokens,
        append_tokens=arguments.append_tokens,
        output_tokens=arguments.output_tokens,
        tool_time=arguments.tool_time,
        seed=arguments.seed,
        sessions=arguments.sessions or 1,
        scale_tokens=arguments.scale_tokens,
        scale_tool_time=arguments.scale_tool_time,
        max_tool_time=arguments.max_tool_time,
        max_context=None if arguments.ctx is None else int(arguments.ctx * _TEMPLATE_ROOM),
    )


def check_files(arguments: argparse.Namespace) -> None:
    """So that nobody measures for an hour and can't write it down.

    :raises BenchError: a file can't be written there.
    """
    files: Sequence[Path | None] = (arguments.report, arguments.json, arguments.trace)
    for file in files:
        if file is None:
            continue
        try:
            file.open("ab").close()
        except OSError as error:
            raise BenchError(f"{file} can't be written: {error.strerror}") from None
