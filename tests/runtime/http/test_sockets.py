"""The same over TCP, through uvicorn: what only a transport can show."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from caesura.protocol.limits import Limits
from caesura.runtime.access.transport import HttpProtocol

SECONDS = 20
LONG = "A long text that is cut off in the middle of it all. " * 20


class Client:
    """One connection, and HTTP/1.1 by hand: nothing is read ahead, retried or hidden."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.headers: dict[str, str] = {}

    async def send(self, method: str, path: str, body: Any = None) -> int:
        """Send a request and read the head of its answer; its status."""
        raw = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(raw)}\r\n\r\n"
        self.writer.write(head.encode() + raw)
        return await self.head()

    def pause(self) -> None:
        """Read nothing any more."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def head(self) -> int:
        async with asyncio.timeout(SECONDS):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.partition(":") for line in lines[1:] if line]
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        return int(lines[0].split()[1])

    async def chunk(self) -> bytes:
        """The next chunk of the body, as it was sent; empty at its end."""
        async with asyncio.timeout(SECONDS):
            size = int(await self.reader.readline(), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def chunks(self) -> list[bytes]:
        found = []
        while chunk := await self.chunk():
            found.append(chunk)
        return found

    async def json(self) -> Any:
        async with asyncio.timeout(SECONDS):
            return json.loads(await self.reader.readexactly(int(self.headers["content-length"])))


Connect = Callable[..., Awaitable[Client]]


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[Connect]:
    config = uvicorn.Config(app, port=0, http=HttpProtocol, ws="none", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    writers: list[asyncio.StreamWriter] = []

    async def connect(receive_buffer: int | None = None) -> Client:
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, server.servers[0].sockets[0].getsockname()[:2])
        reader, writer = await asyncio.open_connection(sock=connection)
        writers.append(writer)
        return Client(reader, writer)

    try:
        while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
            await asyncio.sleep(0.001)
        yield connect
    finally:
        for writer in writers:
            writer.close()
        server.should_exit = True
        await task


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_closes_its_connection_frees_the_sequence(serve: Any, stream: bool) -> None:
    async def scenario(server: Any) -> None:
        async with listening(server.app) as connect:
            client = await connect()
            body = {"model": "test", "input": "hi", "stream": stream}
            if stream:
                assert await client.send("POST", "/v1/responses", body) == 200
                assert (await client.chunk()).startswith(b"event: response.created\n")
            else:
                raw = json.dumps(body)
                head = f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(raw)}\r\n\r\n"
                client.writer.write((head + raw).encode())
                await server.until_something_runs()
            client.writer.close()
            await server.until_nothing_runs()
            await server.all_sequences_are_free()

    serve(scenario, [{"text": LONG * 4}])


def test_one_connection_carries_many_requests(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        async with listening(server.app) as connect:
            client = await connect()
            for stream in (True, False, True, False):
                body = {"model": "test", "input": "hi", "stream": stream}
                assert await client.send("POST", "/v1/responses", body) == 200
                if stream:
                    assert client.headers["transfer-encoding"] == "chunked"
                    chunks = await client.chunks()
                    assert chunks[-1] == b"data: [DONE]\n\n"
                    assert all(chunk.startswith(b"event: ") and chunk.endswith(b"\n\n") for chunk in chunks[:-1])
                    assert all(chunk.count(b"\n") == 3 for chunk in chunks[:-1])
                else:
                    assert (await client.json())["status"] == "completed"
            assert await client.send("POST", "/v1/responses", {"model": "gpt-17"}) == 400
            assert (await client.json())["error"]["param"] == "input"
            assert await client.send("GET", "/v1/models") == 200
            await client.json()

    serve(scenario, [{"text": "Hello."}])


def test_a_reader_that_is_too_slow_is_cut_off(serve: Any) -> None:
    """It stops reading, and the events fill what lies between: socket buffers, the transport's, the core's."""

    async def scenario(server: Any) -> None:
        async with listening(server.app) as connect:
            slow, other = await connect(receive_buffer=4096), await connect()
            body = {"model": "test", "input": "hi", "stream": True, "top_logprobs": 20}
            assert await slow.send("POST", "/v1/responses", body) == 200
            response_id = json.loads((await slow.chunk()).split(b"data: ")[1])["response"]["id"]
            slow.pause()
            await server.until_nothing_runs()
            await server.all_sequences_are_free()
            assert await other.send("GET", f"/v1/responses/{response_id}") == 200
            assert (await other.json())["status"] == "cancelled"

    serve(scenario, [{"text": LONG * 8}], ctx=4096, limits=Limits(max_unsent_events=200))
