"""Runs as a trace for ui.perfetto.dev or chrome://tracing: JSON of the Trace Event Format.

Every span is a complete event (``ph`` X, microseconds). There are three processes, client, server and engine, and a
thread in each for every session shown; tools that run beside each other have threads of their own. Stamps are as they
were taken, except that a span never begins before the one ahead of it on its thread has ended: the format wants spans
of one thread to nest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..records import Results, RunRecord, ServerTurn, TurnRecord

Event = dict[str, Any]

CLIENT, SERVER, ENGINE = 1, 2, 3
PROCESSES = {CLIENT: "client", SERVER: "server", ENGINE: "engine"}
"""Where no model computed anything, the engine is called simulated."""
TOOLS = 100
"""Threads for tools of a session: so far from those of the next one."""


def write_trace(results: Results, path: str | Path, runs: Sequence[RunRecord] | None = None) -> None:
    """A trace of ``runs``: without, of each design's first session that ended well.

    :raises OSError: the file can't be written.
    """
    Path(path).write_bytes(msgspec.json.encode(trace_of(results, runs)))


def trace_of(results: Results, runs: Sequence[RunRecord] | None = None) -> dict[str, Any]:
    """The trace, as the object that the file holds."""
    shown = first_runs(results) if runs is None else list(runs)
    origin = min((_first_stamp(run) for run in shown), default=0)
    events: list[Event] = [
        _named("process_name", pid, 0, f"{name} (simulated)" if pid == ENGINE and results.simulated else name)
        for pid, name in PROCESSES.items()
    ]
    for at, run in enumerate(shown):
        events += _RunTrace(run, 1 + at * TOOLS, origin).events()
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"arm": results.arm, "command": " ".join(results.command), "simulated": results.simulated},
    }


def first_runs(results: Results) -> list[RunRecord]:
    """Each design's first session that ended well."""
    found: dict[str, RunRecord] = {}
    for run in sorted(results.runs, key=lambda run: run.order):
        if run.error is None:
            found.setdefault(run.design, run)
    return list(found.values())


class _RunTrace:
    def __init__(self, run: RunRecord, thread: int, origin: int) -> None:
        self._run = run
        self._thread = thread
        self._origin = origin
        self._free: dict[tuple[int, int], int] = {}
        self._events: list[Event] = []

    def events(self) -> list[Event]:
        run = self._run
        label = f"{run.design}, {run.script}, repeat {run.repeat}, agent {run.agent}"
        has_server = any(turn.server is not None for turn in run.turns)
        self._events += [_named("thread_name", CLIENT, self._thread, label)]
        if has_server:
            self._events += [_named("thread_name", pid, self._thread, label) for pid in (SERVER, ENGINE)]
        lanes = max((len(turn.tools) for turn in run.turns), default=0)
        for lane in range(lanes):
            self._events += [_named("thread_name", CLIENT, self._thread + 1 + lane, f"{label}: tool {lane + 1}")]
        for number, turn in enumerate(run.turns):
            self._client(number, turn)
            if turn.server is not None:
                self._server(number, turn.server)
        return self._events

    def _client(self, number: int, turn: TurnRecord) -> None:
        sampled = None if turn.server is None else turn.server.sampled
        args = {"turn": number, "tokens": sampled, "bytes_up": turn.bytes_up, "bytes_down": turn.bytes_down}
        args |= {"events": turn.events}
        self._spans(
            CLIENT,
            (f"turn {number}", turn.began, turn.ended, args),
            (
                ("send", turn.began, turn.sent),
                ("wait for the first token", turn.sent, turn.first_token),
                ("stream", turn.first_token, turn.last_event),
                ("tools", turn.last_event, turn.ended),
            ),
        )
        for lane, tool in enumerate(turn.tools):
            thread = self._thread + 1 + lane
            self._span(CLIENT, thread, "tool", tool.began, tool.ended, {"turn": number, "tool": lane})

    def _server(self, number: int, server: ServerTurn) -> None:
        args: Event = {"turn": number, "given": server.given, "sampled": server.sampled}
        parts: list[tuple[str, int, int]] = []
        at = server.received
        # Only lengths are known of what is done before sampling; it is done in this order.
        for name, length in server.stages_ns.items():
            parts.append((name, at, min(at + length, server.sampling)))
            at += length
        prefill = server.first_token - server.prefill_ns
        parts.append(("queue", server.sampling, prefill))
        parts.append(("engine", prefill, server.last_token))
        parts.append(("emit", server.last_token, server.told - server.post_ns))
        parts.append(("post", server.told - server.post_ns, server.told))
        self._spans(SERVER, (f"turn {number}", server.received, server.told, args), parts)
        tokens = {"turn": number, "decoded": server.decoded, "reused": server.reused}
        self._span(ENGINE, self._thread, "prefill", prefill, server.first_token, tokens)
        sampled = {"turn": number, "sampled": server.sampled}
        self._span(ENGINE, self._thread, "decode", server.first_token, server.last_token, sampled)

    def _spans(self, pid: int, whole: tuple[str, int, int, Event], parts: Sequence[tuple[str, int, int]]) -> None:
        """A span, and those inside of it: cut where they would reach out of it or into each other."""
        name, began, ended, args = whole
        began, ended = self._span(pid, self._thread, name, began, ended, args)
        for part, start, end in parts:
            start = min(max(start, began), ended)
            began = end = min(max(end, start), ended)
            if end > start:
                self._events.append(self._event(pid, self._thread, part, start, end, {"turn": args["turn"]}))

    def _span(self, pid: int, thread: int, name: str, began: int, ended: int, args: Event) -> tuple[int, int]:
        began = max(began, self._free.get((pid, thread), began))
        self._free[pid, thread] = ended = max(began, ended)
        self._events.append(self._event(pid, thread, name, began, ended, args))
        return began, ended

    def _event(self, pid: int, thread: int, name: str, began: int, ended: int, args: Event) -> Event:
        return {
            "ph": "X",
            "cat": self._run.design,
            "name": name,
            "pid": pid,
            "tid": thread,
            "ts": (began - self._origin) / 1000,
            "dur": (ended - began) / 1000,
            "args": args,
        }


def _first_stamp(run: RunRecord) -> int:
    servers = [turn.server.received for turn in run.turns if turn.server is not None]
    return min([run.began, *servers, *(turn.began for turn in run.turns)])


def _named(kind: str, pid: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": thread, "args": {"name": name}}
