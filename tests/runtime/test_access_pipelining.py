"""Several requests on one connection, cut as they may be: each is answered or refused in its turn."""

from __future__ import annotations

import asyncio
import json

import pytest
from caesura.runtime.access.transport import MAX_PIPELINED
from guarded_server import KEY, WEBSOCKET, Client, Noted, answers_of, error_of, play, request, send
from hypothesis import given, settings
from hypothesis import strategies as st

CLOSE = "Connection: close"
CHUNKED = "Transfer-Encoding: chunked"
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
GOOD = [
    (request("GET", "/"), (404, None)),
    (b"\r\n" + request("POST", "/v1/responses", "Content-Length: 3", body=b"abc"), (200, b"3")),
    (request("POST", "/v1/responses", CHUNKED, body=b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n"), (200, b"3")),
    (request("POST", "/v1/responses", *H2C, "Content-Length: 3", body=b"abc"), (200, b"3")),
    (request("POST", "/v1/responses", *H2C, CHUNKED, body=b"2\r\nab\r\n0\r\n\r\n"), (200, b"2")),
]


@settings(max_examples=25, deadline=None)
@given(messages=st.lists(st.sampled_from(GOOD), max_size=8), cuts=st.sets(st.integers(1, 1500), max_size=8))
def test_requests_on_one_connection_are_answered_in_order_however_they_are_cut(
    messages: list[tuple[bytes, tuple[int, bytes | None]]], cuts: set[int]
) -> None:
    async def scenario(client: Client) -> None:
        data = b"".join(message for message, _ in messages) + request("GET", "/", CLOSE)
        ends = [*sorted(cut for cut in cuts if cut < len(data)), len(data)]
        pieces = [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        answers = await client.conversation(*pieces)
        assert [status for status, _ in answers] == [*(status for _, (status, _) in messages), 404]
        for (_, body), (_, (_, expected)) in zip(answers, messages, strict=False):
            assert expected in (None, body)

    play(scenario)


@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [
        ((b"nonsense\r\n\r\n" + request("GET", "/"),), 400, "malformed_request"),
        ((request("POST", "/v1/responses", CHUNKED, body=b"nonsense\r\n"),), 400, "malformed_request"),
        ((request("GET", "/v1/responses", *WEBSOCKET),), 400, "malformed_request"),
        ((b"GET / HTTP/1.1\r\nX: ", b"x" * 100_000), 431, "headers_too_large"),
        ((request("GET", "/") * MAX_PIPELINED,), 429, "rate_limit_exceeded"),
    ],
)
def test_what_is_refused_is_so_behind_the_answers_to_what_came_before(
    bad: tuple[bytes, ...], status: int, code: str
) -> None:
    async def scenario(client: Client) -> None:
        good = request("POST", "/v1/responses", "Content-Length: 3", body=b"abc")
        first, second, *others, last = await client.conversation(good * 2 + bad[0], *bad[1:])
        assert first == second == (200, b"3")
        assert {status for status, _ in others} <= {404}
        assert (last[0], json.loads(last[1])["error"]["code"]) == (status, code)

    play(scenario)


def test_what_comes_behind_a_refusal_is_for_nobody() -> None:
    async def scenario(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        broken = request("POST", "/v1/responses", CHUNKED, body=b"nonsense\r\n")
        await send(writer, request("GET", "/hold") + request("GET", "/") + broken)
        assert Noted.timers[-1][1] is None
        await send(writer, b"more of it")
        client.release.set()
        assert [status for status, _ in await answers_of(reader)] == [200, 404, 400]
        writer.close()

    play(scenario)


def test_the_bound_is_on_what_is_unfinished_of_each_request_alone() -> None:
    async def scenario(client: Client) -> None:
        answers = await client.conversation(
            request("POST", "/v1/responses", "X:" + " " * 6000 + "a", "Content-Length: 3"),
            b"abc" + request("POST", "/v1/responses", CHUNKED, body=b"0\r\n"),
            b"Trailer: " + b"x" * 4000 + b"\r\n\r\n",
            request("GET", "/", CLOSE, "X: " + "x" * 2000)[:-2],
            b"\r\n",
        )
        assert [status for status, _ in answers] == [200, 200, 404]

    play(scenario)


def test_a_connection_goes_on_after_a_refusal_by_the_application() -> None:
    async def scenario(client: Client) -> None:
        stranger = request("POST", "/mirror", "Content-Length: 3", body=b"abc").replace(KEY.encode(), b"wrong")
        plain = request("POST", "/mirror", "Content-Type: text/plain", CHUNKED, body=b"1\r\na\r\n0\r\n\r\n")
        answers = await client.conversation(stranger, plain, request("DELETE", "/mirror"), request("GET", "/", CLOSE))
        assert [status for status, _ in answers] == [401, 415, 405, 404]

    play(scenario)


def test_expect_100_continue() -> None:
    async def scenario(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        head = request("POST", "/v1/responses", "Expect: 100-continue", "Content-Length: 3")
        writer.write(head.replace(KEY.encode(), b"wrong"))
        assert b" 401 " in await reader.readline()
        await reader.readuntil(b"}}")
        writer.write(b"abc" + head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert b" 200 " in await reader.readline()
        writer.close()
        broken = request("POST", "/v1/responses", "Expect: 100-continue", CHUNKED, body=b"nonsense\r\n")
        assert error_of(await client.raw(broken)) == (400, "malformed_request")

    play(scenario)


def test_trailers_are_no_headers_and_are_bounded() -> None:
    async def scenario(client: Client) -> None:
        good = request(
            "POST", "/mirror", CHUNKED, "X-Spaced: \ta b \t", CLOSE, body=b"2\r\nab\r\n0\r\nTrailer: 1\r\n\r\n"
        )
        [(status, body)] = await client.conversation(good)
        assert status == 200
        content, headers = json.loads(body)
        assert content == "ab"
        assert headers["x-spaced"] == "a b"
        assert "trailer" not in headers
        begun = request("POST", "/mirror", CHUNKED, body=b"0\r\nTrailer: ")
        [(status, _)] = await client.conversation(begun, b"x" * 100_000)
        assert status == 431

    play(scenario)


def test_a_request_learns_that_its_client_is_gone_though_others_wait_behind_it() -> None:
    async def scenario(client: Client) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(request("GET", "/hold") + request("GET", "/"))
        await writer.drain()
        writer.close()
        await client.gone.wait()

    play(scenario)
