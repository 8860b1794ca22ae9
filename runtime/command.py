"""``caesura serve``."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import socket
import sys
from collections.abc import Callable

from ..protocol.limits import DEFAULT_LIMITS
from ..sampler.errors import SamplerError
from ..sampler.memory_plan import DEFAULT_SEQUENCES, MemoryPlan, describe, sequences_for
from ..sampler.model import load_model
from ..sampler.replay import ReplayScript
from .access.errors import AccessSettingsError
from .access.loopback import check_exposure
from .access.options import access_from
from .options import make_parser
from .server import OpenStore, Settings
from .server import serve as run_server
from .sqlite_store import SqliteStore
from .store import StoreUnusable

USAGE_ERROR = 2

MAX_FILES = 65_536


def serve(argv: list[str]) -> int:
    """Serve a model over HTTP and WebSocket.

    Prints the address on stdout once it accepts connections, and what its memory gives. Exit status 0 after SIGTERM or
    SIGINT, 2 with one line on stderr if it can't start.
    """
    arguments = make_parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="caesura: %(levelname)s: %(message)s", stream=sys.stderr)
    try:
        limits = dataclasses.replace(DEFAULT_LIMITS, **dict(arguments.limit))
        access = access_from(arguments, limits.max_message_bytes)
        check_exposure(arguments.host, access.keys is not None, arguments.no_auth)
        replay = None if arguments.replay is None else ReplayScript.load(arguments.replay)
        model = load_model(
            arguments.model,
            context_length=arguments.ctx,
            tool_format=arguments.tool_format,
            vocab_only=arguments.engine == "process" or arguments.cost_model is not None,
        )
        if model.context_train and model.context_length > model.context_train:
            _say(
                f"warning: {model.name} was trained for {model.context_train} tokens; "
                f"with --ctx {model.context_length} its answers may get worse beyond that."
            )
        if arguments.cost_model is None:
            sequences = sequences_for(model.llama, model.context_length, arguments.kv_memory, arguments.sequences)
        else:
            sequences = arguments.sequences or DEFAULT_SEQUENCES
        plan = MemoryPlan.default(
            swap_memory=arguments.swap_memory, swap_dir=arguments.swap_dir, swap_disk=arguments.swap_disk
        )

        def say_what_is_served(url: str, batch_invariant: bool) -> None:
            lines = [f"serving {model.name} on {url}"]
            if arguments.cost_model is None:
                lines += describe(model.llama, model.context_length, sequences, plan)
                lines.append(
                    f"bit-exact whatever else is sampled: {'yes' if batch_invariant else 'no'}, as measured now"
                )
            else:
                lines.append(f"simulated: {arguments.cost_model.describe()}; nothing is computed")
                lines.append(f"{sequences} sequences of {model.context_length} tokens sample at once")
            print("\n".join(f"caesura: {line}" for line in lines), flush=True)

        _allow_many_connections()
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
                    cost_model=arguments.cost_model,
                ),
                listener,
                replay=replay,
                scripted=arguments.scripted,
                anticipate=arguments.anticipation,
                spans=arguments.spans,
                limits=limits,
                access=access,
                guards=arguments.guard,
                open_store=_store(arguments),
                on_ready=lambda batch_invariant: say_what_is_served(url, batch_invariant),
            )
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(coroutine)
    except (SamplerError, AccessSettingsError, StoreUnusable, _CannotListen) as error:
        _say(str(error))
        return USAGE_ERROR
    return 0


def _store(arguments: argparse.Namespace) -> OpenStore | None:
    if arguments.store == "none":
        return None
    return lambda on_failed_put: SqliteStore(
        arguments.store, max_age=arguments.store_age, max_bytes=arguments.store_size, on_failed_put=on_failed_put
    )


def _allow_many_connections() -> None:
    """Shells start processes with 1,024 file descriptors, though the system allows more: each connection takes one."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(MAX_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
