"""Through a real uvicorn: what reaches a client, and what is answered before there is a request."""

from __future__ import annotations

import asyncio
import json
from typing import ClassVar

import pytest
from caesura.protocol.errors import CaesuraError
from caesura.runtime.access.guard import Access
from caesura.runtime.access.transport import HEADER_SLACK_BYTES, HttpProtocol
from guarded_server import (
    ACCESS,
    KEY,
    MAX_BODY,
    MAX_HEADERS,
    WEBSOCKET,
    Client,
    Noted,
    answers_of,
    error_of,
    play,
    request,
    send,
)
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


def test_a_handshake_is_let_in_or_its_refusal_reaches_the_client() -> None:
    async def scenario(client: Client) -> None:
        url = f"ws://127.0.0.1:{client.port}/v1/responses"
        async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url)
        response = refusal.value.response
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert json.loads(response.body or b"")["error"]["code"] == "invalid_api_key"
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url + "/unknown", additional_headers={"Authorization": f"Bearer {KEY}"})
        assert refusal.value.response.status_code == 404

    play(scenario)


@pytest.mark.parametrize("above", [0, 1])
def test_a_large_body_is_answered_whoever_sends_it(above: int) -> None:
    """The client sends all of it before it reads: the refusal must survive that."""

    async def scenario(client: Client) -> None:
        size = MAX_BODY + above
        known = await client.request("POST", "/v1/responses", f"Content-Length: {size}", body=b"x" * size)
        chunked = b"%x\r\n" % (size - 10) + b"x" * (size - 10) + b"\r\na\r\n" + b"x" * 10 + b"\r\n0\r\n\r\n"
        unknown = await client.request("POST", "/v1/responses", "Transfer-Encoding: chunked", body=chunked)
        for answer in (known, unknown):
            if above:
                assert error_of(answer) == (413, "message_too_large")
            else:
                assert (answer[0], answer[2]) == (200, str(size).encode())
        stranger = await client.request(
            "POST", "/v1/responses", f"Content-Length: {size}", body=b"x" * size, key="wrong"
        )
        assert error_of(stranger) == (401, "invalid_api_key")

    play(scenario)


@pytest.mark.parametrize("size", [MAX_HEADERS, MAX_HEADERS + HEADER_SLACK_BYTES, 100_000])
def test_headers_that_are_too_large(size: int) -> None:
    """Whether they come in one piece or are never finished."""

    async def scenario(client: Client) -> None:
        line = "X: " + "x" * size
        assert (await client.request("POST", "/v1/responses", "X: " + "x" * (MAX_HEADERS - 200)))[0] == 200
        assert error_of(await client.request("POST", "/v1/responses", line)) == (431, "headers_too_large")
        assert error_of(await client.request("POST", "/v1/responses?" + line[3:])) == (431, "headers_too_large")
        assert error_of(await client.handshake(line)) == (431, "headers_too_large")
        if size > MAX_HEADERS + HEADER_SLACK_BYTES:
            unfinished = await client.raw(f"GET / HTTP/1.1\r\n{line}".encode())
            assert error_of(unfinished) == (431, "headers_too_large")

    play(scenario)


@pytest.mark.parametrize(
    ("headers", "method", "status"),
    [
        (["X: " + "x" * 8000], "GET", 101),
        (["X: " + "x" * 9000], "GET", 431),
        ([f"X{number}: x" for number in range(100)], "GET", 101),
        ([f"X{number}: x" for number in range(200)], "GET", 431),
        ([], "POST", 400),
        (["Content-Length: 1"], "GET", 400),
    ],
)
def test_a_handshake_that_the_websocket_library_cannot_read(headers: list[str], method: str, status: int) -> None:
    """Its own bounds are 8 KiB a line and 128 headers."""

    async def scenario(client: Client) -> None:
        if status == 101:
            url = f"ws://127.0.0.1:{client.port}/v1/responses"
            fields = [("Authorization", f"Bearer {KEY}"), *(tuple(line.split(": ")) for line in headers)]
            async with connect(url, additional_headers=fields):
                return
        answer = error_of(await client.handshake(*headers, method=method))
        assert answer == (status, "headers_too_large" if status == 431 else "malformed_request")

    play(scenario, Access(keys=ACCESS.keys))


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00 hello\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        request("GET", "/", "Host: example.org"),
        request("GET", "/", "X: a\r\n b"),
        request("CONNECT", "localhost:1"),
        request("GET", "http://localhost"),
        request("POST", "/", "Transfer-Encoding: chunked", "Content-Length: 1", body=b"0\r\n\r\n"),
        request("GET", "/v1/responses", *WEBSOCKET, "Host: example.org"),
    ],
)
def test_what_is_no_request(data: bytes) -> None:
    async def scenario(client: Client) -> None:
        assert error_of(await client.raw(data)) == (400, "malformed_request")

    play(scenario)


def test_a_body_that_breaks_the_rules() -> None:
    async def scenario(client: Client) -> None:
        broken = await client.request("POST", "/v1/responses", "Transfer-Encoding: chunked", body=b"nonsense\r\n")
        assert error_of(broken) == (400, "malformed_request")
        # What the application answers to the headers comes too late.
        broken = await client.request(
            "POST", "/v1/responses", "Transfer-Encoding: chunked", body=b"nonsense\r\n", key="wrong"
        )
        assert error_of(broken) == (400, "malformed_request")

    play(scenario)


def test_a_body_that_breaks_the_rules_after_the_answer() -> None:
    """There can't be a second one."""

    async def scenario(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b" 401 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"nonsense\r\n")
        assert b"HTTP/1.1" not in await reader.read()
        writer.close()

    play(scenario)


@pytest.mark.parametrize(
    "begun",
    [
        b"nonsense\r\n",
        request("POST", "/v1/responses", "Transfer-Encoding: chunked", body=b"1d000\r\n%s\r\nno" % bytes(0x1D000)),
    ],
    ids=["headers", "body"],
)
def test_a_refusal_survives_all_that_is_sent_before_it_is_read(begun: bytes) -> None:
    async def scenario(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(begun + bytes(8 << 20))
        await writer.drain()
        assert [status for status, _ in await answers_of(reader)] == [400]
        writer.close()

    play(scenario)


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_headers_that_never_come(begun: bytes) -> None:
    class Impatient(HttpProtocol):
        header_seconds = 0.01

    async def scenario(client: Client) -> None:
        assert await client.raw(begun) == (0, {}, b"")

    play(scenario, http=Impatient)


def test_headers_that_come() -> None:
    """Nothing waits for them any more while the answer is made, or the WebSocket is open."""

    async def scenario(client: Client) -> None:
        url = f"ws://127.0.0.1:{client.port}/v1/responses"
        async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
        await client.conversation(request("GET", "/"), request("GET", "/", "Connection: close"))
        (for_websocket, _), (for_first, _), (for_second, _) = Noted.timers
        for waiting in (for_websocket, for_first):
            assert waiting is not None
            assert waiting.cancelled()
        assert for_second is None
        assert [left for _, left in Noted.timers] == [None, None, None]
        assert Noted.last.timeout_keep_alive_task is None

    play(scenario)


def test_a_body_that_comes_after_the_answer() -> None:
    """It may take its time. When it is there, headers are waited for."""

    async def scenario(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
        assert b" 401 " in await reader.readuntil(b"}}")
        await send(writer, b"a")
        assert Noted.timers[-1] == (None, None)
        assert Noted.last.timeout_keep_alive_task is None
        await send(writer, b"bc")
        waiting = Noted.timers[-1][1]
        assert waiting is not None
        writer.close()

    play(scenario)


class Lost(Noted):
    event: ClassVar[asyncio.Event]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        Lost.event.set()


def test_a_connection_that_is_lost_is_waited_for_no_longer() -> None:
    Lost.event = asyncio.Event()

    async def scenario(client: Client) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        await send(writer, b"GET / HT")
        waiting = Noted.timers[-1][1]
        assert waiting is not None
        writer.close()
        await Lost.event.wait()
        assert waiting.cancelled()

    play(scenario, http=Lost)


def test_a_client_that_does_not_close_after_a_refusal() -> None:
    Lost.event = asyncio.Event()

    class Impatient(Lost):
        header_seconds = 3600.0

        def _refuse(self, error: CaesuraError) -> None:
            self.header_seconds = 0.01  # type: ignore[misc]
            super()._refuse(error)

    async def scenario(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"nonsense\r\n")
        assert [status for status, _ in await answers_of(reader)] == [400]
        await Lost.event.wait()
        writer.close()

    play(scenario, http=Impatient)


def test_headers_of_a_second_request_that_never_come() -> None:
    class Impatient(HttpProtocol):
        header_seconds = 3600.0

        def _stop_watching(self) -> None:
            super()._stop_watching()
            self.header_seconds = 0.01  # type: ignore[misc]

    async def scenario(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.readuntil(b"}}")
        assert b" 401 " in answer
        writer.write(b"GET / HT")
        assert await reader.read() == b""
        writer.close()

    play(scenario, http=Impatient)
