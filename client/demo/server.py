"""A server of the demo's own: started as a subprocess, stopped whatever happens.

The subprocess keeps client and server apart as they are in real use (the client package never imports the server).
"""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from ..processes import last_words, reap

START_TIMEOUT_S = 120.0
"""A big model takes a while to load."""
STOP_TIMEOUT_S = 10.0

COMMAND = (sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", "--store", "none")

_READY = re.compile(r"caesura: serving (?P<model>.+) on (?P<url>https?://\S+)")


class ServerNotStarted(Exception):
    """The server ended, or wasn't ready in time; the message ends with what it said on stderr."""


@dataclass(frozen=True)
class Server:
    """``model`` is what a create calls it. ``pid`` is None if the server was not started here."""

    url: str
    model: str
    pid: int | None = None


@contextmanager
def serving(model: str, *, command: Sequence[str] | None = None) -> Iterator[Server]:
    """Start a server on a free port; yields once ``/health`` answers.

    Deliberately without asyncio: stopping the process must not depend on a loop that is being cancelled.

    :param command: in place of ``COMMAND``.
    :param model: as ``caesura serve --model`` takes it.
    :raises ServerNotStarted: see there.
    """
    arguments = [*(command or COMMAND), "--model", model]
    deadline = time.monotonic() + START_TIMEOUT_S
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",
        )
        try:
            try:
                server = _ready(process, deadline)
                _wait_for_health(process, server.url, deadline)
            except _NotReady as error:
                raise ServerNotStarted(f"{error}{last_words(stderr)}") from None
            yield server
        finally:
            process.terminate()
            reap(process, STOP_TIMEOUT_S)


class _NotReady(Exception):
    pass


def _ready(process: subprocess.Popen[str], deadline: float) -> Server:
    """Wait for the line that says where it listens."""
    assert process.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    # Goes on reading to the end, so that the server never blocks on a full pipe.
    threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise _NotReady(f"the server was not ready after {START_TIMEOUT_S:.0f} s") from None
        if line is None:
            process.wait()
            raise _NotReady(f"the server ended with exit code {process.returncode}")
        if match := _READY.match(line):
            return Server(match["url"], match["model"], process.pid)


def _pump(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def _wait_for_health(process: subprocess.Popen[str], url: str, deadline: float) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches loopback
    problem: object = "no answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _NotReady(f"the server ended with exit code {process.returncode}")
        try:
            with opener.open(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError) as error:
            problem = error
            time.sleep(0.05)
    raise _NotReady(f"{url}/health never answered with 200 ({problem})")
