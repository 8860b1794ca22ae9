"""Rollouts whose TCP connection is cut, each at another point: are the tokens those of one that was never disturbed?

The whole of it: a real server on a loopback socket, the client library, and between them a proxy that aborts both of
its connections after so many bytes in either direction. The rollout is really sampled (the demo model, with a seed);
the points are spread evenly over all the bytes of the undisturbed one.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import caesura.client
from caesura.sampler.llama_engine import LlamaSequence
from caesura.sampler.model import Model, load_model
from serving import loop_factory, serving

TURNS = 6

HANDSHAKE = 1024
"""Bytes that it takes, and more. A connection that breaks before it is open is an error, which the user is told."""


class Proxy:
    """Forwards between a client and a server; aborts after ``cut_after`` more bytes, once."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._transports: list[asyncio.StreamWriter] = []
        self.cut_after: int | None = None
        self.num_bytes = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection(*self._target)
        self._transports += [writer, upstream]
        with suppress(OSError):
            await asyncio.gather(self._pump(reader, upstream), self._pump(upstream_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            self.num_bytes += len(data)
            if self.cut_after is not None:
                self.cut_after -= len(data)
                if self.cut_after < 0:
                    self.cut_after = None
                    for each in self._transports:
                        each.transport.abort()
                    self._transports.clear()
                    return
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[str, Proxy]]:
    host, port = url.split("//")[1].split("/")[0].split(":")
    proxy = Proxy(host, int(port))
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    async with server:
        yield url.replace(f":{port}/", f":{server.sockets[0].getsockname()[1]}/"), proxy


async def rollout(url: str) -> Any:
    """One rollout with a tool that says the same every time."""

    def look(at: str) -> str:
        """Look at a place.

        Args:
            at: The place.
        """
        return f"There is nothing at {at[:40]}."

    async with caesura.client.connect(url) as client:
        return await client.run(
            model="bench",
            input="Look around and tell me what you see.",
            tools=[look],
            seed=11,
            temperature=0.8,
            tool_choice="required",
            max_tool_calls=TURNS,
            max_output_tokens=400,
        )


def said(result: Any) -> list[str]:
    """Everything in the output, without ids."""
    return [
        getattr(item, "arguments", None) or "".join(part.text for part in getattr(item, "content", None) or ())
        for item in result.output
    ]


async def measure(model: Model, points: int) -> dict[str, Any]:
    rows: list[list[int]] = []
    close = LlamaSequence.close

    async def note_and_close(sequence: LlamaSequence) -> None:
        if sequence.ledger.tokens:
            rows.append(list(sequence.ledger.tokens))
        await close(sequence)

    LlamaSequence.close = note_and_close  # type: ignore[method-assign]
    try:
        async with serving(model, None, 2048) as url, proxied(url) as (through, proxy):
            undisturbed = await rollout(through)
            expected, total = rows[-1], proxy.num_bytes
            different, reconnects, seconds = 0, list[int](), list[float]()
            for point in range(points):
                rows.clear()
                proxy.cut_after = HANDSHAKE + int((total - HANDSHAKE) * (point + 0.5) / points)
                began = time.perf_counter()
                result = await rollout(through)
                seconds.append(time.perf_counter() - began)
                proxy.cut_after = None
                reconnects.append(result.reconnects)
                counts = result.usage.input_tokens, result.usage.output_tokens
                same_counts = counts == (undisturbed.usage.input_tokens, undisturbed.usage.output_tokens)
                different += not (said(result) == said(undisturbed) and expected in rows and same_counts)
    finally:
        LlamaSequence.close = close  # type: ignore[method-assign]
    return {
        "points": points,
        "cut": sum(count > 0 for count in reconnects),
        "different": different,
        "tokens": len(expected),
        "calls": len(undisturbed.tool_calls),
        "bytes": total,
        "seconds_median": statistics.median(seconds),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--points", type=int, default=300)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        row = runner.run(measure(load_model("demo"), arguments.points))
    print(
        f"{row['points']} rollouts of {row['tokens']} tokens and {row['calls']} calls, each cut once over "
        f"{row['bytes']} bytes: {row['cut']} reconnected, {row['different']} different from the undisturbed one "
        f"(median {row['seconds_median']:.2f} s)"
    )
    return 1 if row["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
