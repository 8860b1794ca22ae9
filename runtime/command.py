"""``caesura serve``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import Callable

from ..sampler.errors import SamplerError
from ..sampler.model import load_model
from ..sampler.replay import ReplayScript
from .server import Settings
from .server import serve as run_server

USAGE_ERROR = 2


def serve(argv: list[str]) -> int:
    """Serve a model over WebSocket.

    Prints one line on stdout once it accepts connections. Exit status 0 after SIGTERM or SIGINT, 2 with one line on
    stderr if it can't start.
    """
    arguments = _parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="caesura: %(levelname)s: %(message)s", stream=sys.stderr)
    try:
        replay = None if arguments.replay is None else ReplayScript.load(arguments.replay)
        model = load_model(arguments.model, context_length=arguments.ctx)
        if model.context_train and model.context_length > model.context_train:
            _say(
                f"warning: {model.name} was trained for {model.context_train} tokens; "
                f"with --ctx {model.context_length} its answers may get worse beyond that."
            )
        with _listener(arguments.host, arguments.port) as listener:
            url = f"http://{_authority(listener)}"
            coroutine = run_server(
                model,
                frozenset({model.name, "demo"} if arguments.model == "demo" else {model.name}),
                Settings(sequences=arguments.sequences, threads=arguments.threads),
                listener,
                replay=replay,
                on_ready=lambda: print(f"caesura: serving {model.name} on {url}", flush=True),
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
        return socket.create_server((host, port), family=family, backlog=128)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="caesura serve", description="Serve a model over WebSocket.")
    parser.add_argument("--model", default="demo", metavar="PATH", help="a GGUF file, or 'demo' (the default)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--ctx", type=_positive, metavar="TOKENS", help="context a sequence (default: the model's own)")
    parser.add_argument(
        "--sequences", type=_positive, default=4, help="Responses that can be open at once (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=_positive, default=1, help="threads that llama.cpp computes with (default: %(default)s)"
    )
    parser.add_argument(
        "--replay", metavar="FILE", help="force the turns of this JSON script instead of sampling; for experiments"
    )
    parser.add_argument("--verbose", action="store_true", help="log the costs of every Response that ends, on stderr")
    return parser
