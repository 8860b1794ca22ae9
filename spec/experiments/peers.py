"""Outside servers on one GGUF, each as fast as it can be for one agent: ``python -m experiments.peers --model demo``.

Builds and installs what is not there yet (minutes, some gigabytes for vLLM), starts all of them on free ports, prints
what ``caesura bench`` has to be told, and stops them at Ctrl-C. One that can't be had is left out, with a line why.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from caesura.sampler.model import model_path

from .peer_builds import BuildFailed, cache_folder
from .peer_model import UnsuitableModel
from .peer_servers import SERVERS, Request, Server

START_S = 300.0
STOP_S = 20.0
ERRORS = (BuildFailed, UnsuitableModel, OSError)


@contextlib.contextmanager
def running(
    names: Sequence[str], model: str, context: int, *, into: Path | None = None, say: Callable[[str], None] = print
) -> Iterator[list[str]]:
    """Start these of ``SERVERS`` and give ``--peer`` arguments, ``NAME=URL`` each; stop them in the end.

    :param model: as ``caesura serve --model`` takes it.
    """
    with contextlib.ExitStack() as stack:
        arguments: list[str] = []
        for name in names:
            ask = Request(model_path(model), context, free_port(), into or cache_folder())
            ask.into.mkdir(parents=True, exist_ok=True)
            say(f"{name}: getting it ready")
            try:
                with contextlib.ExitStack() as attempt:
                    server = SERVERS[name](ask)
                    log = ask.into / f"{name}.log"
                    process = attempt.enter_context(_process(server, log))
                    _wait_until_ready(process, f"http://127.0.0.1:{ask.port}{server.health}", log)
                    stack.enter_context(attempt.pop_all())
            except ERRORS as error:
                say(f"{name}: left out: {error}")
                continue
            say(f"{name}: {shlex.join(server.command)}")
            arguments += [f"{peer}={url.replace('{port}', str(ask.port))}" for peer, url in server.urls.items()]
        yield arguments


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def _process(server: Server, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command,
            env=os.environ | server.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # vLLM has children
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):  # itself, or children that it left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches loopback
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BuildFailed(f"it ended with status {process.returncode}; the log is {log}")
        try:
            with opener.open(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise BuildFailed(f"not ready after {START_S:g} s; the log is {log}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.peers", description=__doc__)
    parser.add_argument("--model", default="demo", help="a GGUF file, demo, or random:SHAPE")
    parser.add_argument("--ctx", type=int, default=4096, help="tokens of context")
    parser.add_argument("--only", nargs="+", choices=SERVERS, default=list(SERVERS), metavar="NAME")
    parser.add_argument("--into", type=Path, default=cache_folder(), help="where to build (default: the user's cache)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the servers would outlive it
    with running(options.only, options.model, options.ctx, into=options.into) as arguments:
        print(" ".join(f"--peer {shlex.quote(argument)}" for argument in arguments), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0 if arguments else 1


if __name__ == "__main__":
    sys.exit(main())
