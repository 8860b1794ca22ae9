"""The guard at the ASGI level: who reaches the application, and what the others are answered."""

from __future__ import annotations

import asyncio

import pytest
from asgi_calls import App, call, handshake, http_scope, request
from caesura.runtime.access.api_keys import ApiKeys
from caesura.runtime.access.guard import Access, Bounds, guarded
from caesura.runtime.metrics import Metrics
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

KEY = "sk-0123456789abcdef"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
WITH_KEYS = Access(keys=ApiKeys([KEY]))
JSON = {"content-type": "application/json"}


def test_without_keys_everybody_is_let_in() -> None:
    app = guarded(App(), Access())
    assert request(app).status == 200
    assert request(app, headers={"authorization": "whatever"}).status == 200
    assert handshake(app, headers={"authorization": "Bearer x"}).status == 101


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}])
def test_with_keys_the_others_are_refused(headers: dict[str, str]) -> None:
    inner = App()
    app = guarded(inner, WITH_KEYS)
    for answer in (
        request(app, headers=headers),
        request(app, "POST", "/v1/responses", headers=headers | JSON),
        request(app, path="/metrics", headers=headers),
        handshake(app, headers=headers),
    ):
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.error["code"] == "invalid_api_key"
        assert answer.error["type"] == "invalid_request_error"
    assert inner.calls == 0


def test_with_keys_their_owners_are_let_in() -> None:
    app = guarded(App(), WITH_KEYS)
    assert request(app, headers=AUTHORIZED).status == 200
    assert request(app, path="/metrics", headers=AUTHORIZED).status == 200
    assert handshake(app, headers={"authorization": f"bearer {KEY}"}).status == 101


def test_health_needs_nothing() -> None:
    access = Access(keys=ApiKeys([KEY]), loopback_names_only=True, bounds=Bounds(max_requests=1, max_header_bytes=1))
    assert request(guarded(App(), access), path="/health", headers={"host": "evil.example"}).status == 200


FOREIGN = {"origin": "https://evil.example"}


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:9999", "null", "", "127.0.0.1:8080"])
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    inner = App()
    app = guarded(inner, Access())
    for method in ("POST", "DELETE", "PUT", "MADEUP"):
        answer = request(app, method, headers={"origin": origin})
        assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    answer = handshake(app, headers={"origin": origin})
    assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    assert request(app, "POST", headers={"origin": origin, "host": ""}).status == 403
    assert inner.calls == 0
    assert request(app, headers={"origin": origin}).status == 200  # it can't read the answer


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "https://127.0.0.1:8080", "HTTP://LOCALHOST:8080"])
def test_a_page_of_the_server_itself_is_let_in(origin: str) -> None:
    app = guarded(App(), Access())
    headers = {"origin": origin, "host": origin.lower().partition("://")[2]}
    assert request(app, "POST", headers=headers).status == 200
    assert handshake(app, headers=headers).status == 101


@pytest.mark.parametrize("allowed", ["https://evil.example", "*"])
def test_a_page_of_an_allowed_origin_is_let_in_and_may_read(allowed: str) -> None:
    app = guarded(App(), Access(keys=ApiKeys([KEY]), allowed_origins=frozenset({allowed})))
    answer = request(app, "POST", headers=FOREIGN | AUTHORIZED)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == allowed
    assert handshake(app, headers=FOREIGN | AUTHORIZED).status == 101
    refused = request(app, "POST", headers=FOREIGN)
    assert refused.error["code"] == "invalid_api_key"
    assert refused.headers["access-control-allow-origin"] == allowed
    preflight = request(
        app,
        "OPTIONS",
        headers=FOREIGN
        | {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-anything"},
    )
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == allowed
    assert "authorization" in preflight.headers["access-control-allow-headers"]


def test_no_origin_is_allowed_unless_it_is_named() -> None:
    answer = request(guarded(App(), Access()), headers=FOREIGN)
    assert "access-control-allow-origin" not in answer.headers
    app = guarded(App(), Access(allowed_origins=frozenset({"https://good.example"})))
    assert request(app, "POST", headers=FOREIGN).error["code"] == "origin_not_allowed"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "localhost", "[::1]:8080", "127.1.2.3", ""])
def test_a_loopback_server_without_keys_answers_to_its_names(host: str) -> None:
    app = guarded(App(), Access(loopback_names_only=True))
    assert request(app, headers={"host": host}).status == 200
    assert handshake(app, headers={"host": host}).status == 101


@pytest.mark.parametrize("host", ["evil.example:8080", "127.0.0.1.evil.example", "192.168.1.2", "localhost.evil", "["])
def test_and_to_no_other_name(host: str) -> None:
    """Its page is same-origin by what it says."""
    app = guarded(App(), Access(loopback_names_only=True))
    for answer in (
        request(app, headers={"host": host}),
        request(app, "POST", headers={"host": host, "origin": f"http://{host}"}),
        handshake(app, headers={"host": host, "origin": f"http://{host}"}),
    ):
        assert (answer.status, answer.error["code"]) == (403, "host_not_allowed")


@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "OPTIONS"]),
    names=st.lists(
        st.sampled_from(["host", "origin", "authorization", "content-type", "content-length", "transfer-encoding"])
    ),
    values=st.lists(st.text(st.characters(max_codepoint=255), max_size=12), min_size=6, max_size=6),
    is_websocket=st.booleans(),
    allowed=st.sampled_from([frozenset[str](), frozenset({"*"}), frozenset({"http://a"})]),
    has_keys=st.booleans(),
)
def test_any_headers_get_an_answer(
    method: str, names: list[str], values: list[str], is_websocket: bool, allowed: frozenset[str], has_keys: bool
) -> None:
    access = Access(ApiKeys([KEY]) if has_keys else None, allowed, loopback_names_only=not has_keys)
    scope = http_scope(method, "/v1/models", dict(zip(names, values, strict=False)))
    if is_websocket:
        scope["type"] = "websocket"
    answer = asyncio.run(call(guarded(App(), access), scope))
    assert answer.status in (101, 200, 400, 401, 403, 413, 415)
    assert not (has_keys and answer.status in (101, 200)) or method == "OPTIONS"


def test_what_is_counted() -> None:
    class Route:
        path = "/v1/responses/{response_id}"

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = Route()
        await App()(scope, receive, send)

    metrics = Metrics()
    app = guarded(routed, WITH_KEYS, metrics)
    request(app, headers=AUTHORIZED)
    request(app, "SURPRISE", headers=AUTHORIZED)
    request(app)
    handshake(app)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"caesura_{name}", labels)

    assert value("http_requests_total", method="GET", route=Route.path, status="200") == 1
    assert value("http_requests_total", method="other", route=Route.path, status="200") == 1
    assert value("http_requests_total", method="GET", route="unmatched", status="401") == 1
    assert value("http_request_seconds_count", method="GET", route=Route.path) == 1
    assert value("errors_total", code="invalid_api_key") == 2


def test_a_client_that_left_is_counted_as_that() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None: ...

    metrics = Metrics()
    request(guarded(silent, Access(), metrics))
    labels = {"method": "GET", "route": "unmatched", "status": "499"}
    assert metrics.registry.get_sample_value("caesura_http_requests_total", labels) == 1


def test_other_scopes_are_the_applications() -> None:
    seen: list[str] = []

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    asyncio.run(call(guarded(lifespan, WITH_KEYS), {"type": "lifespan"}))
    assert seen == ["lifespan"]
