"""The server that the demo starts for itself: when it counts as ready, and that it never outlives the demo."""

from __future__ import annotations

import os
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from caesura.client.demo import server as demo_server
from caesura.client.demo.server import ServerNotStarted, serving

READY = """
    import http.server, os, sys
    health = iter({statuses})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(next(health) if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *arguments): pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print("some other line")
    print(f"caesura: serving {{sys.argv[-1]}} on http://127.0.0.1:{{server.server_port}}", flush=True)
    with open({pid!r}, "w") as file:
        file.write(str(os.getpid()))
    server.serve_forever()
"""


def program(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


@pytest.fixture
def ready(tmp_path: Path) -> Callable[..., list[str]]:
    def make(*statuses: int) -> list[str]:
        return program(READY.format(statuses=statuses or (200,), pid=str(tmp_path / "pid")))

    return make


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_serves_and_is_stopped(ready: Callable[..., list[str]], tmp_path: Path) -> None:
    with serving("a model", command=ready(503, 200)) as server:
        assert server.model == "a model"
        pid = int((tmp_path / "pid").read_text())
        assert runs(pid)
    assert not runs(pid)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_it_is_stopped_whatever_happens(
    ready: Callable[..., list[str]], tmp_path: Path, error: type[BaseException]
) -> None:
    def interrupted() -> None:
        with serving("a model", command=ready()):
            raise error

    with pytest.raises(error):
        interrupted()
    assert not runs(int((tmp_path / "pid").read_text()))


def test_one_that_ends_shows_what_it_said() -> None:
    with (
        pytest.raises(ServerNotStarted) as caught,
        serving("m", command=program("import sys; sys.exit('caesura: no such model')")),
    ):
        pass
    assert str(caught.value) == "the server ended with exit code 1; on its stderr:\n  caesura: no such model"


def test_one_that_is_never_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_server, "START_TIMEOUT_S", 0.2)
    with (
        pytest.raises(ServerNotStarted, match="was not ready after"),
        serving("m", command=program("import threading; threading.Event().wait()")),
    ):
        pass


def test_one_that_is_never_healthy(ready: Callable[..., list[str]]) -> None:
    running = SimpleNamespace(poll=lambda: None)
    with serving("m", command=ready(200, *[503] * 1000)) as server, pytest.raises(demo_server._NotReady) as caught:
        demo_server._wait_for_health(running, server.url, time.monotonic() + 0.2)  # type: ignore[arg-type]
    assert "never answered with 200 (HTTP Error 503" in str(caught.value)


def test_one_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo_server, "STOP_TIMEOUT_S", 0.1)
    text = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + textwrap.dedent(
        READY.format(statuses=(200,), pid=str(tmp_path / "pid"))
    )
    with serving("m", command=[sys.executable, "-c", text]):
        pid = int((tmp_path / "pid").read_text())
    assert not runs(pid)
