"""What a pause costs: a real server on a loopback socket, replayed rollouts of one-call turns.

Two spans a boundary, both on the server's clock:

- ``done``: from the sampling of the turn's last token (in the engine's thread) to ``response.done`` handed to the
  transport.
- ``resume``: from the append's arrival at the session to the beginning of the next ``llama_decode``.

The prefill of the appended tokens is inference and in neither. The client's view (its own send to its own receive) is
larger by the two ways over the loopback and that inference.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caesura.protocol.connection import ClientProtocol
from caesura.protocol.events import ErrorEvent
from caesura.protocol.items import FunctionCallOutput
from caesura.protocol.messages import ResponseCreate
from caesura.runtime.session import Session
from caesura.sampler.engine import SampledToken
from caesura.sampler.llama_context import LlamaContext
from caesura.sampler.llama_engine import LlamaSequence
from caesura.sampler.model import Model
from caesura.sampler.replay import ReplayScript
from serving import loop_factory, serving
from websockets.asyncio.client import connect

OUTPUT = "The tool returned this short line of text."
TOOL = {
    "type": "function",
    "name": "look",
    "description": "Look at a place.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}


class Probe:
    """Timestamps (:func:`time.perf_counter_ns`, one clock for all threads) taken where things happen."""

    def __init__(self) -> None:
        self.last_token = self.arrival = 0
        self.waiting_for_decode = False
        self.done: list[float] = []
        self.resume: list[float] = []

    def install(self) -> list[tuple[type, str, Any]]:
        """Wrap three methods; gives what :meth:`uninstall` needs."""
        progress, receive = LlamaSequence._on_progress, Session.receive
        decode = LlamaContext.decode
        send_all = Session._send_all
        probe = self

        def on_progress(sequence: LlamaSequence, report: Any) -> None:
            tokens: Sequence[SampledToken] = report.tokens
            if tokens:
                probe.last_token = tokens[-1].sampled_at
            progress(sequence, report)

        def on_receive(session: Session, data: str | bytes) -> None:
            if isinstance(data, str) and '"response.append"' in data[:60]:
                probe.arrival, probe.waiting_for_decode = time.perf_counter_ns(), True
            receive(session, data)

        def on_decode(context: LlamaContext, rows: Any) -> Any:
            if probe.waiting_for_decode:
                probe.waiting_for_decode = False
                probe.resume.append((time.perf_counter_ns() - probe.arrival) / 1e6)
            return decode(context, rows)

        async def on_send_all(session: Session) -> None:
            ends = any('"response.done"' in frame[:40] for frame in session.connection._outbox._frames)
            await send_all(session)
            if ends:
                probe.done.append((time.perf_counter_ns() - probe.last_token) / 1e6)

        for owner, name, wrapper in (
            (LlamaSequence, "_on_progress", on_progress),
            (Session, "receive", on_receive),
            (LlamaContext, "decode", on_decode),
            (Session, "_send_all", on_send_all),
        ):
            setattr(owner, name, wrapper)
        return [
            (LlamaSequence, "_on_progress", progress),
            (Session, "receive", receive),
            (LlamaContext, "decode", decode),
            (Session, "_send_all", send_all),
        ]

    @staticmethod
    def uninstall(originals: list[tuple[type, str, Any]]) -> None:
        for owner, name, original in originals:
            setattr(owner, name, original)


async def rollout(url: str, prompt: str) -> tuple[dict[str, Any], list[float]]:
    """One rollout; gives the server's cost report and the client's milliseconds from each append to the next done."""
    client, spans = ClientProtocol(), list[float]()
    client.connected()
    async with connect(url, compression=None, max_size=None) as socket:
        response = client.create(ResponseCreate(model="bench", input=prompt, tools=[TOOL]))
        sent = 0.0
        while response.final is None:
            while (frame := client.next_frame()) is not None:
                await socket.send(frame)
            received = client.receive(await socket.recv())
            if received is not None and isinstance(received.event, ErrorEvent):
                raise RuntimeError(received.event.error.message)
            if response.is_paused:
                if sent:
                    spans.append((time.perf_counter() - sent) * 1e3)
                outputs = [FunctionCallOutput(call_id=call.call_id, output=OUTPUT) for call in response.open_calls]
                client.append(response, outputs)
                sent = time.perf_counter()
    report = response.final.caesura
    assert isinstance(report, dict)
    return report, spans


async def measure_at(model: Model, context: int, rollouts: int, boundaries: int) -> dict[str, Any]:
    """The two spans over ``rollouts`` rollouts, one after the other, of so many boundaries each. A rollout begins at
    about ``context`` tokens and grows by some 70 a boundary, so it is kept short."""
    turns: list[dict[str, Any]] = [{"calls": [{"name": "look", "arguments": {"at": "home"}}]}] * boundaries
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.json"
        file.write_text(json.dumps({"turns": [*turns, {"text": "Done."}]}))
        script = ReplayScript.load(file)
    template = model.chat_template
    turn = len(script.tokens(0, template)) + len(model.vocab.tokenize(OUTPUT, parse_special=False)) + 40
    word = len(model.vocab.tokenize(" word" * 100, parse_special=False)) / 100
    prompt = " word" * int((context - 150) / word)
    probe = Probe()
    async with serving(model, script, context + turn * (boundaries + 2)) as url:
        originals = probe.install()
        try:
            ended = [await rollout(url, prompt) for _ in range(rollouts)]
        finally:
            probe.uninstall(originals)
    reports = [report for report, _ in ended]
    pauses = sum(report["pauses"] for report in reports)
    tokens = {name: sum(report["tokens"][name] for report in reports) for name in reports[0]["tokens"]}
    return {
        "context_begin": reports[0]["tokens"]["prefilled"],
        "context_end": sum(tokens.values()) // rollouts,
        "boundaries": pauses,
        "recomputed": tokens["recomputed"],
        "done_ms": _figures(probe.done),
        "resume_ms": _figures(probe.resume),
        "client_append_to_done_ms": _figures([span for _, spans in ended for span in spans]),
        "api_ms_per_boundary": sum(report["stages_ms"]["api"] for report in reports) / pauses,
    }


def _figures(samples: Sequence[float]) -> dict[str, float]:
    ordered = sorted(samples)
    return {"median": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]}


def measure(
    model: Model, *, contexts: Sequence[int] = (1024, 8192), rollouts: int = 10, boundaries: int = 20
) -> list[dict[str, Any]]:
    """A row for each context."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return [runner.run(measure_at(model, context, rollouts, boundaries)) for context in contexts]


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["A pause, milliseconds, median / p99", ""]
    lines.append(f"{'context':>14}{'pauses':>10}{'token to done':>20}{'append to decode':>20}{'client round':>20}")
    for row in rows:
        cells = [
            f"{row[name]['median']:.3f} / {row[name]['p99']:.3f}"
            for name in ("done_ms", "resume_ms", "client_append_to_done_ms")
        ]
        span = f"{row['context_begin']}-{row['context_end']}"
        lines.append(f"{span:>14}{row['boundaries']:>10}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)
