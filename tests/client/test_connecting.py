"""Opening a connection: which address a URL means, what is sent, and how it can fail."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from caesura.client import ConnectionFailed, connect
from caesura.client.handshake import responses_url
from scripted_runs import run


async def nothing(rollout: Any) -> None:
    pass


def test_the_handshake(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(nothing) as server:
            address = server.url.replace("ws://", "http://")
            async with connect(address, api_key="secret", headers={"X-Test": "1"}):
                pass
        (request,) = server.handshakes
        assert request.headers["OpenAI-Beta"] == "responses_websockets=2026-02-04"
        assert request.path == "/v1/responses"
        assert (request.headers["Authorization"], request.headers["X-Test"]) == ("Bearer secret", "1")
        assert "permessage-deflate" not in request.headers.get("Sec-WebSocket-Extensions", "")

    run(main)


def test_append_mode_is_asked_for_beside_other_beta_features(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(nothing) as server, connect(server.url, headers={"openai-beta": "other=1"}):
            pass
        (request,) = server.handshakes
        assert request.headers["OpenAI-Beta"] == "other=1, responses_websockets=2026-02-04"

    run(main)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://host:1/v1/responses", "ws://host:1/v1/responses"),
        ("wss://host", "wss://host/v1/responses"),
        ("http://host:80/", "ws://host:80/v1/responses"),
        ("https://host/v1", "wss://host/v1/responses"),
        ("https://host/proxy/v1/", "wss://host/proxy/v1/responses"),
        ("https://host/v1/responses/?a=b", "wss://host/v1/responses?a=b"),
        ("localhost:8000", "ws://localhost:8000/v1/responses"),
        ("http://[::1]:8000", "ws://[::1]:8000/v1/responses"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert responses_url(url) == address


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://[::1"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="is not an address"):
        responses_url(url)


def test_nobody_listens() -> None:
    async def main() -> None:
        with socket.socket() as held:  # bound, not listening: nobody else can take the port
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            with pytest.raises(ConnectionFailed, match=f"no server listens at ws://127.0.0.1:{port}/v1/responses"):
                async with connect(f"http://127.0.0.1:{port}"):
                    pass

    run(main)


def test_a_web_server_that_speaks_no_websocket() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectionFailed, match="answered HTTP 404"):
                async with connect(f"127.0.0.1:{port}"):
                    pass

    run(main)


def test_a_server_that_never_answers_the_handshake() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(ConnectionFailed, match="did not answer in time"):
                async with connect(f"127.0.0.1:{port}", open_timeout=0.05):
                    pass

    run(main)


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(401, True), (403, True), (404, True), (426, True)]
    + [(status, False) for status in (408, 425, 429, 500, 502, 503)],
)
def test_which_answers_are_worth_another_attempt(fake_server: Callable[..., Any], status: int, is_final: bool) -> None:
    async def main() -> None:
        async with fake_server(nothing) as server:
            server.status = status
            with pytest.raises(ConnectionFailed, match=f"answered HTTP {status}") as caught:
                async with connect(server.url):
                    pass
        assert caught.value.is_final == is_final
        assert len(server.handshakes) == 1  # the first time there is one attempt

    run(main)


def test_a_number_of_attempts_that_makes_no_sense() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="max_reconnects must not be negative"):
            async with connect("127.0.0.1:1", max_reconnects=-1):
                pass

    run(main)


def test_leaving_at_once_closes_the_socket(fake_server: Callable[..., Any]) -> None:
    async def main() -> None:
        async with fake_server(nothing) as server:
            async with connect(server.url):
                pass
            (connection,) = server.connections
            await connection.socket.wait_closed()
            assert connection.socket.close_code == 1000

    run(main)
