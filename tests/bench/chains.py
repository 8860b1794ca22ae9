"""What a turn costs as a conversation grows, over each way to carry it on: a chain of turns with one tool call each.

A real ``caesura serve`` in a process of its own plays a script, so that every mode samples the same tokens. The client
is bare: it sends JSON and looks for the last event, so that what is measured is the server and the way there.

Three costs a turn, as medians of the first and of the last turns after a warm-up turn, and their ratio:

- ``wall``: from sending the turn's request to having read its last event.
- ``outside``: the same without the processor time of the engine's thread. Attention over a longer row is dearer
  whatever the protocol does, and with a model as small as the demo's it soon outweighs all else.
- ``server``: processor time of the server's other threads.

``events``: how many came. Tokens that are sampled faster than they can be sent share one, so a slower engine makes more
of them, and each costs the server something. ``computed`` are the tokens that the model was fed, those of the turn's
call among them.
"""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from caesura.sampler.model import Model
from caesura.sampler.random_model import SHAPES, write_random_model
from server_process import ServerProcess, server_process
from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]

TOOL = {
    "type": "function",
    "name": "look",
    "description": "Look at a place.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}
TASK = "Look at every place in turn."
APPEND_MODE = {"OpenAI-Beta": "responses_websockets=2026-02-04"}
OUTPUT_TOKENS = 50
TOKENS_PER_TURN = 160
"""What the context must have room for, generously: the call, the template's words around it, the output."""

TERMINAL = ('{"type":"response.completed"', '{"type":"response.failed"', '{"type":"response.incomplete"')


class Chain(Protocol):
    """One conversation. ``turn(None)`` begins it, ``turn(item)`` carries it on with a call's output; both return the
    Response as far as it is known when the turn is over, the call that ended it last. ``events`` counts all that came.
    """

    events: int

    def turn(self, output: Json | None) -> Json: ...


class WebSocketChain:
    """OpenAI's WebSocket mode: a create a turn, with the id of the one before."""

    def __init__(self, connection: ClientConnection, model: str) -> None:
        self.events = 0
        self._connection = connection
        self._request = {"type": "response.create", "model": model, "tools": [TOOL], "store": False}
        self._last: Json = {"id": None}

    def turn(self, output: Json | None) -> Json:
        new = TASK if output is None else [output]
        self._connection.send(json.dumps({**self._request, "input": new, "previous_response_id": self._last["id"]}))
        while True:
            frame = str(self._connection.recv(60))
            self.events += 1
            if frame.startswith((*TERMINAL, '{"type":"error"')):
                self._last = _ended(frame)
                return self._last


class AppendChain:
    """Append mode: one Response, whose costs are known at its end alone."""

    def __init__(self, connection: ClientConnection, model: str) -> None:
        self.events = 0
        self._connection = connection
        self._model = model

    def turn(self, output: Json | None) -> Json:
        if output is None:
            message = {"type": "response.create", "model": self._model, "tools": [TOOL], "input": TASK}
        else:
            message = {"type": "response.append", "input": [output]}
        self._connection.send(json.dumps(message))
        item: Json = {}
        while True:
            frame = str(self._connection.recv(60))
            self.events += 1
            if frame.startswith('{"type":"response.output_item.done"'):
                item = json.loads(frame)["item"]
            elif frame.startswith('{"type":"response.done"'):
                return {"output": [item]}
            elif frame.startswith((*TERMINAL, '{"type":"error"')):
                return _ended(frame)


class HttpChain:
    """Requests on one kept-alive connection, answered with events. ``by_id``: stored, and only what is new is sent;
    else the whole history, every time."""

    def __init__(self, connection: http.client.HTTPConnection, model: str, *, by_id: bool) -> None:
        self.events = 0
        self._connection = connection
        self._request = {"model": model, "tools": [TOOL], "stream": True, "store": by_id}
        self._by_id = by_id
        self._last_id: str | None = None
        self._history: list[Json] = []

    def turn(self, output: Json | None) -> Json:
        new = {"type": "message", "role": "user", "content": TASK} if output is None else output
        if self._by_id:
            body = {**self._request, "input": [new], "previous_response_id": self._last_id}
        else:
            self._history.append(new)
            body = {**self._request, "input": self._history}
        self._connection.request("POST", "/v1/responses", json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(answer.read().decode())
        last = b""
        while (line := answer.readline()) != b"data: [DONE]\n":
            if line.startswith(b"data: "):
                self.events += 1
                last = line
            elif not line:
                raise RuntimeError(f"the stream ended early, after {last!r}")
        answer.read()
        response = _ended(last.removeprefix(b"data: ").decode())
        self._last_id = response["id"]
        self._history += response["output"]
        return response


def _ended(frame: str) -> Json:
    event = json.loads(frame)
    if event["type"] != "response.completed":
        raise RuntimeError(frame)
    response: Json = event["response"]
    return response


@contextmanager
def _websocket_chain(server: ServerProcess) -> Iterator[Chain]:
    with connect(server.websocket_url, compression=None, max_size=None) as connection:
        yield WebSocketChain(connection, server.model)


@contextmanager
def _append_chain(server: ServerProcess) -> Iterator[Chain]:
    with connect(server.websocket_url, compression=None, max_size=None, additional_headers=APPEND_MODE) as connection:
        yield AppendChain(connection, server.model)


@contextmanager
def _http_chain(server: ServerProcess, *, by_id: bool) -> Iterator[Chain]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=600)
    try:
        yield HttpChain(connection, server.model, by_id=by_id)
    finally:
        connection.close()


MODES: dict[str, Callable[[ServerProcess], Any]] = {
    "append": _append_chain,
    "websocket": _websocket_chain,
    "http, by id": lambda server: _http_chain(server, by_id=True),
    "http, full history": lambda server: _http_chain(server, by_id=False),
}


def _walk(server: ServerProcess, chain: Chain, turns: int, text: str) -> Json:
    """Nanoseconds of every turn, and tokens fed to the model, where the Response says so."""
    costs: dict[str, list[float]] = {"wall": [], "outside": [], "server": [], "events": [], "computed": []}
    output: Json | None = None
    engine = 0
    for number in range(turns + 1):
        before, events, began = server.thread_ns(), chain.events, time.perf_counter_ns()
        response = chain.turn(output)
        wall = time.perf_counter_ns() - began
        spent = {thread: ns - before.get(thread, 0) for thread, ns in server.thread_ns().items()}
        if number == 0:
            # The engine's thread is the one that has computed most; the main thread is never it.
            engine = max((thread for thread in spent if thread != server.pid), key=spent.__getitem__)
        costs["wall"].append(wall)
        costs["outside"].append(wall - spent[engine])
        costs["server"].append(sum(spent.values()) - spent[engine])
        costs["events"].append(chain.events - events)
        if tokens := response.get("caesura", {}).get("tokens"):
            costs["computed"].append(tokens["decoded"])
        if number < turns:
            call = response["output"][-1]
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": text}
    if len(costs["computed"]) == 1:  # one Response: an even share
        costs["computed"] = [costs["computed"][0] / (turns + 1)] * (turns + 1)
    return costs


def measure(
    name: str, model: Model, *, turns: int = 200, window: int = 20, modes: tuple[str, ...] = tuple(MODES)
) -> list[Json]:
    """Two models: a random one whose decoding costs the same at any length, so that what grows is not the model; and
    the one that ``name`` is to ``caesura serve``."""
    with tempfile.TemporaryDirectory() as folder:
        mamba = write_random_model(Path(folder) / "mamba.gguf", SHAPES["tiny"], architecture="mamba")
        arms = {"random Mamba, decoding at constant cost": str(mamba), model.name: name}
        return [
            {"model": arm, **_measure(path, model, turns=turns, window=window, modes=modes)}
            for arm, path in arms.items()
        ]


def _measure(name: str, model: Model, *, turns: int, window: int, modes: tuple[str, ...]) -> Json:
    """By mode and cost: the median of the first ``window`` turns after the first, of the last ones, and the ratio."""
    text = _text_of(model, OUTPUT_TOKENS)
    calls = [{"calls": [{"name": "look", "arguments": {"at": f"place number {n}"}}]} for n in range(turns)]
    rows: Json = {}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.json"
        script.write_text(json.dumps({"turns": [*calls, {"text": "That was all."}]}))
        options = [
            "--model",
            name,
            "--replay",
            str(script),
            "--ctx",
            str((turns + 2) * TOKENS_PER_TURN),
            "--sequences",
            "2",
        ]
        for mode in modes:
            store = str(Path(folder) / f"{len(rows)}.db")
            with server_process(*options, "--store", store) as server, MODES[mode](server) as chain:
                costs = _walk(server, chain, turns, text)
            # Neither the warm-up turn nor the last one, which is text and ends a Response in every mode.
            rows[mode] = {name: _ends(values[1:-1], window) for name, values in costs.items()}
    return {"turns": turns, "window": window, "output_tokens": OUTPUT_TOKENS, "modes": rows}


def _ends(values: list[float], window: int) -> Json:
    first, last = statistics.median(values[:window]), statistics.median(values[-window:])
    return {"first": first, "last": last, "ratio": last / first}


def _text_of(model: Model, tokens: int) -> str:
    words = ["all", "is", "quiet", "at", "this", "place", "and", "nothing", "moves"]
    text = ""
    while len(model.vocab.tokenize(text, parse_special=False)) < tokens:
        text += f"{words[len(text.split()) % len(words)]} "
    return text.strip()


def table(results: list[Json]) -> str:
    return "\n\n".join(map(_table, results))


def _table(result: Json) -> str:
    lines = [
        f"{result['model']}: a chain of {result['turns']} turns, one call each, {result['output_tokens']} tokens of "
        f"output appended: medians of the first and the last {result['window']}",
        "",
        f"{'':20}{'wall, ms':>24}{'outside the engine, ms':>28}{'server, processor ms':>28}"
        f"{'events':>12}{'computed':>12}",
    ]
    for mode, row in result["modes"].items():
        cells = [f"{mode:20}"]
        for name, width in (("wall", 24), ("outside", 28), ("server", 28)):
            cost = row[name]
            cells.append(f"{cost['first'] / 1e6:.2f} {cost['last'] / 1e6:.2f} {cost['ratio']:.2f}x".rjust(width))
        for name in ("events", "computed"):
            cells.append(f"{row[name]['first']:.0f} {row[name]['last']:.0f}".rjust(12))
        lines.append("".join(cells))
    return "\n".join(lines)
