"""Tokens a second of one rollout, through the whole server, against llama.cpp's bare decode loop on the same model.

Both decode the same number of tokens from the same context, greedy, one thread. The rollout's are replayed, so that it
doesn't end early; a forced token costs the engine what a sampled one does, less the argmax, which the bare loop
has. The arms alternate and the ratio is taken pair by pair, since these machines drift.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from caesura.protocol.connection import ClientProtocol
from caesura.protocol.events import OutputTextDelta
from caesura.protocol.messages import ResponseCreate
from caesura.sampler.llama_context import LlamaContext
from caesura.sampler.model import Model
from caesura.sampler.replay import ReplayScript
from serving import loop_factory, serving
from websockets.asyncio.client import connect


def bare_seconds(model: Model, prompt: list[int], tokens: int) -> float:
    """Wall seconds of decode and argmax, nothing else."""
    context = LlamaContext(model.llama, context_length=len(prompt) + tokens + 8, sequences=1, threads=1, batch_size=512)
    try:
        for begin in range(0, len(prompt), 512):
            context.decode([(0, begin, prompt[begin : begin + 512], True)])
        context.decode([(0, len(prompt), [int(context.logits(1).argmax())], True)])
        began = time.perf_counter()
        for _ in range(tokens - 1):
            context.decode_next([int(context.logits(1).argmax())])
        return time.perf_counter() - began
    finally:
        context.close()


async def rollout_seconds(model: Model, script: ReplayScript, tokens: int, context_length: int) -> float:
    """Wall seconds from the first text delta at the client to the last."""
    async with serving(model, script, context_length) as url, connect(url, compression=None, max_size=None) as socket:
        client, times = ClientProtocol(), list[float]()
        client.connected()
        response = client.create(ResponseCreate(model="bench", input="Tell me a long story."))
        while (frame := client.next_frame()) is not None:
            await socket.send(frame)
        while not response.has_ended:
            received = client.receive(await socket.recv())
            if received is not None and isinstance(received.event, OutputTextDelta):
                times.append(time.perf_counter())
        # The first delta is one token, the last may be a few: a stop token follows it.
        return (times[-1] - times[0]) * tokens / (tokens - 2)


def measure(model: Model, *, tokens: int = 800, repeats: int = 5) -> dict[str, Any]:
    """Tokens a second of both arms, and their ratio (rollout to bare)."""
    word = " word"
    text = word * int(tokens / (len(model.vocab.tokenize(word * 100, parse_special=False)) / 100))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.json"
        file.write_text(json.dumps({"turns": [{"text": text}]}))
        script = ReplayScript.load(file)
    forced = len(script.tokens(0, model.chat_template))
    prompt = model.chat_template.encode_prompt([{"role": "user", "content": "Tell me a long story."}])
    rates: dict[str, list[float]] = {"bare": [], "rollout": []}
    for _ in range(repeats):
        rates["bare"].append(forced / bare_seconds(model, prompt, forced))
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            seconds = runner.run(rollout_seconds(model, script, forced, len(prompt) + forced + 8))
        rates["rollout"].append(forced / seconds)
    ratios = [rollout / bare for rollout, bare in zip(rates["rollout"], rates["bare"], strict=True)]
    return {
        "tokens": forced,
        "bare_tokens_per_s": statistics.median(rates["bare"]),
        "rollout_tokens_per_s": statistics.median(rates["rollout"]),
        "ratio": statistics.median(ratios),
    }


def table(row: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"One rollout of {row['tokens']} tokens over a WebSocket against the bare decode loop, tokens/s, medians",
            "",
            f"{'bare':>10}{'rollout':>10}{'ratio':>10}",
            f"{row['bare_tokens_per_s']:>10.0f}{row['rollout_tokens_per_s']:>10.0f}{row['ratio']:>10.3f}",
        ]
    )
