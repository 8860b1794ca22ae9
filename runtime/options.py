"""The options of ``caesura serve``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from ..protocol.limits import Limits
from ..sampler.cost_model import CostModel
from ..sampler.errors import InvalidCostModel
from ..sampler.eviction import DEFAULT_POLICY, POLICIES
from ..sampler.formats import FORMATS
from ..sampler.memory_plan import parse_size
from .access import options as access_options
from .guards.guard import Guard
from .guards.settings import GUARDS, parse_guard
from .server import DEFAULT_ENGINE, ENGINES
from .sqlite_store import DEFAULT_MAX_AGE, DEFAULT_MAX_BYTES, default_path

_DAY = 24 * 3600.0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_LIMITS = {field.name: field.type for field in dataclasses.fields(Limits)}


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in _LIMITS:
        raise argparse.ArgumentTypeError(f"there is no limit {name!r}; the limits are {', '.join(_LIMITS)}")
    try:
        number = int(value) if _LIMITS[name] == "int" else float(value)
    except ValueError:
        number = -1
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{name} must be a number above 0, not {value!r}")
    return name, number


def _guard(text: str) -> Guard:
    try:
        return parse_guard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _cost_model(text: str) -> CostModel:
    try:
        return CostModel.parse(text)
    except InvalidCostModel as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of days above 0")
    return days * _DAY


def make_parser() -> argparse.ArgumentParser:
    """What the command line may say. :func:`.access.options.access_from` reads a part of it."""
    parser = argparse.ArgumentParser(prog="caesura serve", description="Serve a model over HTTP and WebSocket.")
    parser.add_argument(
        "--model",
        default="demo",
        metavar="MODEL",
        help="a GGUF file, hf:OWNER/REPO[:FILE] of the Hugging Face Hub, random:SHAPE[:QUANTIZATION[:ARCHITECTURE]] "
        "with random weights, or 'demo' (the default)",
    )
    parser.add_argument(
        "--tool-format",
        metavar="NAME",
        help=f"how the model writes tool calls: {', '.join(FORMATS)} (default: what its template and vocabulary say)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--ctx", type=_positive, metavar="TOKENS", help="context a sequence (default: the model's own)")
    parser.add_argument(
        "--sequences",
        type=_positive,
        metavar="N",
        help="Responses that can be sampled at once (default: as many as --kv-memory holds, or 8)",
    )
    parser.add_argument(
        "--max-open",
        type=_positive,
        default=10_000,
        metavar="N",
        help="Responses that can be open at once, most of them paused (default: %(default)s)",
    )
    parser.add_argument(
        "--kv-memory",
        type=_size,
        metavar="SIZE",
        help="memory of the KV cache, like 512M or 2G (default: what --sequences take, at most half of what is free)",
    )
    parser.add_argument(
        "--swap-memory",
        type=_size,
        metavar="SIZE",
        help="memory for paused Responses that lost their place in the KV cache (default: a quarter of what is free)",
    )
    parser.add_argument("--swap-dir", type=Path, metavar="DIR", help="where to swap what exceeds --swap-memory")
    parser.add_argument(
        "--swap-disk", type=_size, metavar="SIZE", help="bound on what --swap-dir takes (default: half of what is free)"
    )
    parser.add_argument(
        "--flash-attention",
        action="store_true",
        help="faster where many Responses are sampled at once, slower for short tool results, and not bit-exact",
    )
    parser.add_argument(
        "--eviction",
        choices=sorted(POLICIES),
        default=DEFAULT_POLICY,
        help="which paused Response gives up its place (default: %(default)s)",
    )
    parser.add_argument(
        "--no-prefix-sharing",
        dest="prefix_sharing",
        action="store_false",
        help="compute every prompt, even where another Response begins alike; for experiments",
    )
    parser.add_argument(
        "--no-anticipation",
        dest="anticipation",
        action="store_false",
        help="compute nothing while a Response is paused, not even what is certain to come; for experiments",
    )
    parser.add_argument(
        "--engine",
        choices=sorted(ENGINES),
        default=DEFAULT_ENGINE,
        help="where llama.cpp runs: in a thread of the server, or in a process of its own, whose crash ends no rollout "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=_positive, default=1, help="threads that llama.cpp computes with (default: %(default)s)"
    )
    parser.add_argument(
        "--simulate",
        type=_cost_model,
        metavar="SPEC",
        dest="cost_model",
        help="compute nothing and take as long as an engine of such a speed, like "
        "decode=1000,prefill=10000,attention=0,batch=0; for experiments",
    )
    parser.add_argument(
        "--replay", metavar="FILE", help="force the turns of this JSON script instead of sampling; for experiments"
    )
    parser.add_argument(
        "--spans",
        action="store_true",
        help="keep when what happened in every turn, for GET /spans; for experiments on one machine",
    )
    parser.add_argument(
        "--scripted",
        action="store_true",
        help="let a request bring the model's turns as JSON in its first user message; for 'caesura conform'",
    )
    parser.add_argument(
        "--store",
        metavar="PATH",
        default=str(default_path()),
        help="where Responses are stored that ask for it (as they do if they say nothing), or 'none' (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--store-days",
        type=_days,
        default=DEFAULT_MAX_AGE,
        metavar="DAYS",
        dest="store_age",
        help=f"forget conversations that nothing was added to for so long (default: {DEFAULT_MAX_AGE / _DAY:g})",
    )
    parser.add_argument(
        "--store-size",
        type=_size,
        default=DEFAULT_MAX_BYTES,
        metavar="SIZE",
        help="forget the oldest conversations beyond this, like 512M or 2G (default: 1G)",
    )
    parser.add_argument(
        "--guard",
        type=_guard,
        action="append",
        default=[],
        metavar="GUARD",
        help=f"have what comes in looked at, like secrets=redact or limits:max_output_chars=200000; may be repeated: "
        f"{', '.join(GUARDS)}",
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"a bound of the protocol, times in seconds; may be repeated: {', '.join(_LIMITS)}",
    )
    access_options.add_arguments(parser)
    parser.add_argument("--verbose", action="store_true", help="log the costs of every Response that ends, on stderr")
    return parser
