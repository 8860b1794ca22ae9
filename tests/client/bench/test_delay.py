"""The proxy that adds latency: all bytes, in order, later."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from caesura.client.bench.delay import delay_proxy
from caesura.client.bench.driver import BenchError
from wire_fakes import BOUND

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def connect(url: str) -> Streams:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(steps(), BOUND)

    asyncio.run(bounded())


def test_all_bytes_pass_in_order_on_all_connections() -> None:
    async def through(url: str, seed: int) -> None:
        source = random.Random(seed)
        data = source.randbytes(600_000 * seed)
        reader, writer = await connect(url)

        async def write() -> None:
            at = 0
            while at < len(data):
                size = source.choice([1, 100, 5_000, 200_000])
                writer.write(data[at : at + size])
                at += size
                await writer.drain()

        writing = asyncio.create_task(write())
        assert await reader.readexactly(len(data)) == data
        await writing
        writer.close()

    async def steps() -> None:
        async with echo_server() as url:
            with delay_proxy(url, 1) as delayed:
                assert urlsplit(delayed).path == "/v1"
                assert delayed != url
                await asyncio.gather(*(through(delayed, seed) for seed in range(1, 5)))

    run(steps)


def test_what_goes_through_it_comes_later_than_what_does_not() -> None:
    async def steps() -> None:
        order = []

        async def echo(name: str, streams: Streams) -> None:
            reader, writer = streams
            writer.write(b"x")
            await reader.readexactly(1)
            order.append(name)
            writer.close()

        async with echo_server() as url:
            with delay_proxy(url, 600) as far, delay_proxy(url, 200) as near:
                connections = [await connect(far), await connect(near), await connect(url)]
                await asyncio.gather(*map(echo, ["far", "near", "here"], connections))
        assert order == ["here", "near", "far"]

    run(steps)


@pytest.mark.parametrize("closed_by", ["client", "server"])
def test_an_end_is_passed_on(closed_by: str) -> None:
    async def steps() -> None:
        ended = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            if closed_by == "client":
                assert await reader.read() == b"bye"
            writer.close()
            ended.set()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            with delay_proxy(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", 2) as url:
                assert url.startswith("ws://127.0.0.1:")
                reader, writer = await connect(url)
                assert await reader.readexactly(5) == b"hello"
                if closed_by == "client":
                    writer.write(b"bye")
                    writer.close()
                else:
                    assert await reader.read() == b""
                    writer.close()
                await ended.wait()

    run(steps)


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    async def steps() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            with delay_proxy(f"http://127.0.0.1:{taken.getsockname()[1]}", 1) as url:
                reader, writer = await connect(url)
                assert await reader.read() == b""
                writer.close()

    run(steps)


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:1", "ftp://h", "http://"])
def test_only_plain_addresses_can_be_moved_away(url: str) -> None:
    with pytest.raises(BenchError, match="no http or ws address"), delay_proxy(url, 1):
        pass
