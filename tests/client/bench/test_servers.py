"""The server under test, and its spans: fetched, waited for, and given to the turns they belong to."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from caesura.client.bench import servers
from caesura.client.bench.agent import Played
from caesura.client.bench.driver import BenchError
from caesura.client.bench.records import RunRecord, ServerTurn, TurnRecord
from caesura.client.bench.servers import add_spans, fetch_spans, started
from hypothesis import given
from hypothesis import strategies as st

Serve = Callable[..., str]


def _turn(number: int) -> ServerTurn:
    return ServerTurn(number, 0, 0, 0, 0, 0, 0, {"render": 5}, 0, 0, 0, 0, sampled=number)


def _json(response_id: str, *numbers: int) -> dict[str, Any]:
    fields = [{name: getattr(_turn(number), name) for name in ServerTurn.__struct_fields__} for number in numbers]
    return {"response_id": response_id, "mode": "append", "turns": fields}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server whose ``/spans`` gives these answers, the last one again and again; its address."""
    running = []

    def make(*answers: tuple[int, object]) -> str:
        left = list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, data = (left.pop(0) if len(left) > 1 else left[0]) if self.path == "/spans" else (404, "")
                body = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield make
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def test_spans_are_fetched_by_response(serve: Serve) -> None:
    url = serve((200, [_json("a", 1, 2), _json("b")]))
    assert fetch_spans(url) == {"a": [_turn(1), _turn(2)], "b": []}


def test_spans_that_are_wanted_are_waited_for(serve: Serve) -> None:
    url = serve((200, [_json("a", 1)]), (200, []), (200, [_json("b", 2)]))
    assert fetch_spans(url, {"a", "b"}) == {"a": [_turn(1)], "b": [_turn(2)]}


def test_spans_that_never_come_are_absent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "SPANS_WAIT_S", 0.02)
    assert fetch_spans(serve((200, [])), {"a"}) == {}


def test_no_spans(serve: Serve) -> None:
    with pytest.raises(BenchError, match="answered with 404: start the server with --spans"):
        fetch_spans(serve((404, "")))
    with pytest.raises(BenchError, match="no spans from"):
        fetch_spans(serve((200, [{"response_id": "a", "turns": [{}]}])))
    with pytest.raises(BenchError, match="no spans from"):
        fetch_spans("http://127.0.0.1:1")


def _played(*ids: str | None, error: str | None = None) -> Played:
    turns = [TurnRecord(0, 0, 0, 0, 0, 0, 0, 0, 0) for _ in ids]
    return Played(RunRecord("d", "s0", 0, 0, 0, 0, turns, error=error), list(ids))


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=8))
def test_each_turn_gets_the_next_of_its_response(ids: list[str | None]) -> None:
    played = _played(*ids)
    places = {name: [place for place, other in enumerate(ids) if other == name] for name in "ab"}
    add_spans(played, {name: [_turn(place) for place in found] for name, found in places.items()} | {"z": [_turn(9)]})
    for place, (name, turn) in enumerate(zip(ids, played.run.turns, strict=True)):
        assert turn.server == (_turn(place) if name in ("a", "b") else None)


@pytest.mark.parametrize(("served", "error"), [(1, None), (3, None), (1, "broke")])
def test_both_sides_must_agree_on_the_turns(served: int, error: str | None) -> None:
    played = _played("x", "a", "a", error=error)
    with pytest.raises(BenchError, match=f"a had 2 turns for the client and {served} for the server"):
        add_spans(played, {"x": [_turn(0)], "a": [_turn(number) for number in range(served)]})
    assert all(turn.server is None for turn in played.run.turns)


def test_the_client_of_a_run_that_broke_off_may_have_seen_fewer() -> None:
    played = _played("a", error="broke")
    add_spans(played, {"a": [_turn(4), _turn(5)]})
    assert played.run.turns[0].server == _turn(4)


def test_a_server_is_started_with_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys; sys.exit(repr(sys.argv[1:]))"
    monkeypatch.setattr(servers, "COMMAND", (sys.executable, "-c", program))
    with pytest.raises(BenchError) as caught, started("m", ["--ctx", "64"]):
        pass
    assert "['--spans', '--ctx', '64', '--model', 'm']" in str(caught.value)


def test_the_real_server(demo_model_path: Path) -> None:
    with started(str(demo_model_path), ["--ctx", "256", "--sequences", "1"]) as server:
        assert fetch_spans(server.url) == {}
        assert server.pid is not None
        os.kill(server.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
