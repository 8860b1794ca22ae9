"""``caesura serve``."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from ..protocol.limits import DEFAULT_LIMITS, Limits
from ..sampler.errors import SamplerError
from ..sampler.eviction import DEFAULT_POLICY, POLICIES
from ..sampler.formats import FORMATS
from ..sampler.memory_plan import MemoryPlan, describe, parse_size, sequences_for
from ..sampler.model import load_model
from ..sampler.replay import ReplayScript
from .server import DEFAULT_ENGINE, ENGINES, Settings
from .server import serve as run_server

USAGE_ERROR = 2


def serve(argv: list[str]) -> int:
    """Serve a model over WebSocket.

    Prints the address on stdout once it accepts connections, and what its memory gives. Exit status 0 after SIGTERM or
    SIGINT, 2 with one line on stderr if it can't start.
    """
    arguments = _parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="caesura: %(levelname)s: %(message)s", stream=sys.stderr)
    try:
        replay = None if arguments.replay is None else ReplayScript.load(arguments.replay)
        model = load_model(
            arguments.model,
            context_length=arguments.ctx,
            tool_format=arguments.tool_format,
            vocab_only=arguments.engine == "process",
        )
        if model.context_train and model.context_length > model.context_train:
            _say(
                f"warning: {model.name} was trained for {model.context_train} tokens; "
                f"with --ctx {model.context_length} its answers may get worse beyond that."
            )
        sequences = sequences_for(model.llama, model.context_length, arguments.kv_memory, arguments.sequences)
        plan = MemoryPlan.default(
            swap_memory=arguments.swap_memory, swap_dir=arguments.swap_dir, swap_disk=arguments.swap_disk
        )

        def say_what_is_served(url: str, batch_invariant: bool) -> None:
            lines = [f"serving {model.name} on {url}", *describe(model.llama, model.context_length, sequences, plan)]
            lines.append(f"bit-exact whatever else is sampled: {'yes' if batch_invariant else 'no'}, as measured now")
            print("\n".join(f"caesura: {line}" for line in lines), flush=True)

        with _listener(arguments.host, arguments.port) as listener:
            url = f"http://{_authority(listener)}"
            coroutine = run_server(
                model,
                frozenset({model.name, "demo"} if arguments.model == "demo" else {model.name}),
                Settings(
                    sequences=sequences,
                    threads=arguments.threads,
                    max_open=arguments.max_open,
                    plan=plan,
                    flash_attention=arguments.flash_attention,
                    eviction=arguments.eviction,
                    share_prefixes=arguments.prefix_sharing,
                    engine=arguments.engine,
                ),
                listener,
                replay=replay,
                scripted=arguments.scripted,
                limits=dataclasses.replace(DEFAULT_LIMITS, **dict(arguments.limit)),
                on_ready=lambda batch_invariant: say_what_is_served(url, batch_invariant),
            )
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(coroutine)
    except (SamplerError, _CannotListen) as error:
        _say(str(error))
        return USAGE_ERROR
    return 0


class _CannotListen(Exception):
    """The address can't be listened on; the message is one line for the operator."""


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=128)
        # Inherited by every connection. asyncio sets it only for sockets that name their protocol, which this one
        # doesn't; without it a small frame may wait 40 ms for the answer to the one before.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = reason.rstrip(".")
        raise _CannotListen(f"can't listen on {host}:{port}: {reason}. Choose another --host or --port.") from error


def _authority(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where there is one: a token's way from the engine's thread to the wire takes a third of the time."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _say(line: str) -> None:
    print(f"caesura: {line}", file=sys.stderr, flush=True)


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="caesura serve", description="Serve a model over WebSocket.")
    parser.add_argument(
        "--model",
        default="demo",
        metavar="MODEL",
        help="a GGUF file, hf:OWNER/REPO[:FILE] of the Hugging Face Hub, or 'demo' (the default)",
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
        "--replay", metavar="FILE", help="force the turns of this JSON script instead of sampling; for experiments"
    )
    parser.add_argument(
        "--scripted",
        action="store_true",
        help="let a request bring the model's turns as JSON in its first user message; for 'caesura conform'",
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"a bound of the protocol, times in seconds; may be repeated: {', '.join(_LIMITS)}",
    )
    parser.add_argument("--verbose", action="store_true", help="log the costs of every Response that ends, on stderr")
    return parser
