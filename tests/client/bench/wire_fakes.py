"""Servers that say what a test wants to hear, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

Json = dict[str, Any]
BOUND = 15.0
"""Seconds after which a test that waits for something has failed."""


@dataclass
class FakeHttp:
    """What it was asked, and what has gone over its connections."""

    url: str = ""
    requests: list[tuple[str, Json]] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0
    connections: int = 0


@asynccontextmanager
async def http_server(answers: Sequence[Sequence[bytes]], *, closes: bool = False) -> AsyncIterator[FakeHttp]:
    """Answers the requests one after the other; each answer is written in these pieces. ``closes``: the connection,
    after each answer. The last answer is for all further requests."""
    fake = FakeHttp()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fake.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
                length = sum(lengths)
                body = await reader.readexactly(length)
                fake.bytes_in += len(head) + length
                pieces = answers[min(len(fake.requests), len(answers) - 1)]
                fake.requests.append((head.split(b" ")[1].decode(), json.loads(body or b"{}")))
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    fake.bytes_out += len(piece)
                if closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield fake


@asynccontextmanager
async def websocket_server(play: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """``play`` has each connection until it returns, which closes it. Gives an http URL."""
    async with serve(play, "127.0.0.1", 0, compression=None) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def frame(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))


def call_item(call_id: str, at: str) -> Json:
    arguments = json.dumps({"at": at})
    item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": "look"}
    return {**item, "arguments": arguments, "status": "completed"}


def call_done(call_id: str, at: str) -> str:
    return frame("response.output_item.done", output_index=0, item=call_item(call_id, at))


def completed(response_id: str, output: Sequence[Json] = (), kind: str = "response.completed") -> str:
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    return frame(kind, response={"id": response_id, "output": list(output), "usage": usage})


def event_stream(*events: str, done: bool = True) -> bytes:
    """A whole answer, each event a chunk."""
    data = [f"data: {event}\n\n".encode() for event in (*events, *(["[DONE]"] if done else []))]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in data)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n\r\n"


def json_answer(body: Any, status: str = "200 OK", headers: str = "") -> bytes:
    text = json.dumps(body)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(text)}\r\n\r\n"
    return (head + text).encode()
