"""The guard's bounds at the ASGI level, on both sides of each."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest
from asgi_calls import HOST, App, call, handshake, http_scope, request, until
from caesura.protocol.errors import CaesuraError, MessageTooLarge
from caesura.runtime.access.guard import Access, Bounds, guarded
from caesura.runtime.access.slots import Slots
from caesura.runtime.metrics import Metrics
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

JSON = {"content-type": "application/json"}

LIMIT = 10
BOUNDED = Access(bounds=Bounds(max_body_bytes=LIMIT))


@pytest.mark.parametrize(("length", "status"), [("10", 200), ("11", 413), ("9" * 5000, 413)])
def test_a_body_that_says_its_length(length: str, status: int) -> None:
    inner = App()
    answer = request(guarded(inner, BOUNDED), "POST", headers=JSON | {"content-length": length}, chunks=[b"x" * LIMIT])
    assert answer.status == status
    if status == 413:
        assert answer.error["code"] == "message_too_large"
        assert inner.calls == 0


@given(
    chunks=st.lists(st.binary(max_size=8), min_size=1, max_size=5),
    framing=st.sampled_from(
        [
            {"transfer-encoding": "chunked"},
            {"transfer-encoding": "chunked", "content-length": "1"},
            {"content-length": "x"},
            {"content-length": ""},
        ]
    ),
)
def test_a_body_that_does_not(chunks: list[bytes], framing: dict[str, str]) -> None:
    """The application gets all of it, or the error."""
    inner = App()
    headers = JSON | framing
    body = b"".join(chunks)
    if len(body) <= LIMIT:
        assert request(guarded(inner, BOUNDED), "POST", headers=headers, chunks=chunks).status == 200
        assert inner.body == body
    else:
        with pytest.raises(MessageTooLarge):
            request(guarded(inner, BOUNDED), "POST", headers=headers, chunks=chunks)
        assert len(inner.body) <= LIMIT


@pytest.mark.parametrize("above", [0, 1])
def test_headers(above: int) -> None:
    value = "x" * 100
    size = len("host: \r\n" + HOST["host"]) + len(f"a: {value}\r\n")
    for path, ask, status in (("/v1/models", request, 200), ("/v1/responses", handshake, 101)):
        access = Access(bounds=Bounds(max_header_bytes=len(path) + size - above))
        answer = ask(guarded(App(), access), headers={"a": value})
        assert answer.status == (431 if above else status)
        assert not above or answer.error["code"] == "headers_too_large"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", None])
def test_json_bodies(kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    assert request(guarded(App(), Access()), "POST", headers=headers, chunks=[b"{}"]).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_other_bodies(kind: str) -> None:
    answer = request(guarded(App(), Access()), "POST", headers={"content-type": kind})
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
    assert request(guarded(App(), Access()), "GET", headers={"content-type": kind}).status == 200


def test_requests_in_flight() -> None:
    """The bound is reached, one more is refused, and when one ends there is room again."""

    async def main() -> None:
        inner = App()
        inner.hold = asyncio.Event()
        app = guarded(inner, Access(bounds=Bounds(max_requests=2)))
        scope = http_scope("GET", "/v1/models", HOST)
        held = [asyncio.create_task(call(app, dict(scope))) for _ in range(2)]
        await until(inner, 2)
        refused = await call(app, dict(scope))
        assert (refused.status, refused.error["code"]) == (503, "server_overloaded")
        assert refused.headers["retry-after"] == "1"
        held += [asyncio.create_task(call(app, http_scope("GET", path, HOST))) for path in ("/health", "/metrics")]
        await until(inner, 4)
        inner.hold.set()
        assert [(await task).status for task in held] == [200] * 4
        assert (await call(app, dict(scope))).status == 200

    asyncio.run(main())


def test_requests_in_flight_of_a_credential() -> None:
    async def main() -> None:
        inner = App()
        inner.hold = asyncio.Event()
        app = guarded(inner, Access(bounds=Bounds(max_requests=100, max_requests_per_credential=1)))
        scopes = [http_scope("GET", "/v1/models", HOST | {"authorization": f"Bearer {key}"}) for key in "ab"]
        scopes += [http_scope("GET", "/v1/models", HOST)] * 2  # who is nobody can't be told apart
        held = [asyncio.create_task(call(app, dict(scope))) for scope in scopes]
        await until(inner, 4)
        refused = await call(app, dict(scopes[0]))
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert refused.error["type"] == "rate_limit_error"
        assert refused.headers["retry-after"] == "1"
        inner.hold.set()
        assert [(await task).status for task in held] == [200] * 4
        assert (await call(app, dict(scopes[0]))).status == 200

    asyncio.run(main())


def test_open_websockets() -> None:
    async def main() -> None:
        inner = App()
        inner.hold = asyncio.Event()
        metrics = Metrics()
        app = guarded(inner, Access(bounds=Bounds(max_connections=2)), metrics)
        scope = http_scope("GET", "/v1/responses", HOST) | {"type": "websocket"}
        held = [asyncio.create_task(call(app, dict(scope))) for _ in range(2)]
        await until(inner, 2)
        refused = await call(app, dict(scope))
        assert (refused.status, refused.error["code"]) == (503, "server_overloaded")
        assert refused.headers["retry-after"] == "1"
        assert metrics.registry.get_sample_value("caesura_websocket_connections") == 2
        inner.hold.set()
        assert [(await task).status for task in held] == [101] * 2
        assert (await call(app, dict(scope))).status == 101
        assert metrics.registry.get_sample_value("caesura_websocket_connections") == 0

    asyncio.run(main())


def test_an_application_that_raises_leaves_its_room() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    app = guarded(broken, Access(bounds=Bounds(max_requests=1, max_connections=1)))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            request(app)
        with pytest.raises(ZeroDivisionError):
            handshake(app)


@given(taken=st.lists(st.tuples(st.booleans(), st.sampled_from(["", "a", "b"])), max_size=40))
def test_slots_hold_no_more_than_they_may(taken: list[tuple[bool, str]]) -> None:
    slots = Slots("things", 4, 2)
    held: list[str] = []
    for is_taken, credential in taken:
        if is_taken:
            has_room = len(held) < 4 and (not credential or held.count(credential) < 2)
            with nullcontext() if has_room else pytest.raises(CaesuraError):
                slots.take(credential)
                held.append(credential)
        elif credential in held:
            slots.give_back(credential)
            held.remove(credential)
    assert set(slots._taken_by) == set(held)  # nothing is kept of a credential that holds nothing
