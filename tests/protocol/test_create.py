"""Creates that come twice, and creates whose connection goes before they are answered."""

from __future__ import annotations

import pytest
from caesura.protocol.errors import LocalProtocolViolation, ModelNotFound
from caesura.protocol.server import CreateRequested, EndRequested
from peers import Json, Server, output

requirement = pytest.mark.requirement


@requirement("create-idempotent", "resume-replay")
def test_a_create_that_is_repeated_begins_nothing() -> None:
    server = Server()
    peer = server.connect()
    asked: Json = {"model": "m", "input": "hi", "idempotency_key": "k", "stream_id": "one"}
    peer.send("response.create", **asked)
    response = server.begin()
    server.pause(response, "a")
    peer.lose()
    again = server.connect()
    again.send("response.create", **asked)
    assert server.is_idle()
    assert again.types() == ["response.resumed", "response.created", "response.output_item.done", "response.done"]
    again.append(output("a"), stream_id="one")
    server.accept()
    server.end(response)
    again.read()
    again.send("response.create", **asked)
    assert again.types()[-1] == "response.completed"
    server.wait(10_000.0)
    again = server.connect()
    again.send("response.create", **asked)  # forgotten
    assert server.begin() is not response


@requirement("create-idempotent")
def test_a_create_that_is_repeated_before_it_began() -> None:
    """On one connection the first of the two is answered; on another one, the second: nobody hears the first."""
    server = Server()
    peer, again = server.connect(), server.connect()
    asked: Json = {"model": "m", "input": "hi", "idempotency_key": "k"}
    peer.send("response.create", **asked)
    peer.send("response.create", **asked)
    first = server.request(CreateRequested)
    assert server.is_idle()
    again.send("response.create", **asked)
    assert first.response.has_ended
    assert server.request(EndRequested).response is first.response
    second = server.begin()
    assert again.types() == ["response.created"]
    with pytest.raises(LocalProtocolViolation):
        server.core.accept(first, server.now)
    assert second is not first.response


@requirement("create-idempotent", "error-lives")
def test_a_repeated_create_that_is_refused_leaves_the_first() -> None:
    server = Server(max_open_per_connection=1)
    peer, again = server.connect(), server.connect()
    again.paused("x", stream_id="one")
    peer.send("response.create", model="m", input="hi", idempotency_key="k")
    again.send("response.create", model="m", input="hi", idempotency_key="k")
    assert again.code() == "connection_response_limit_reached"
    server.begin()
    assert peer.types() == ["response.created"]


@requirement("create-idempotent")
def test_the_key_of_a_create_that_was_refused_is_free() -> None:
    server = Server()
    peer = server.connect()
    for _ in range(2):
        peer.send("response.create", model="m", input="hi", idempotency_key="k")
        server.reject(server.request(CreateRequested), ModelNotFound("No such model.", param="model"))
        assert peer.code() == "model_not_found"
    peer.create(idempotency_key="k")


@requirement("detached-lives")
def test_a_create_without_a_response_goes_with_its_connection() -> None:
    """Nobody could ever find what it would begin."""
    server = Server(max_sampling=1)
    peer = server.connect()
    for text in ("handed out", "waits"):
        peer.send("response.create", model="m", input=text, idempotency_key=text)
    request = server.request(CreateRequested)
    peer.lose()
    assert request.response.has_ended
    ended = [server.request(EndRequested) for _ in range(2)]
    assert {each.reason for each in ended} == {"connection_lost"}
    assert server.is_idle()
    with pytest.raises(LocalProtocolViolation):
        server.core.accept(request, server.now)
    assert not server.core._keys
    assert not server.core._num_open


def test_a_cancelled_create_outlives_its_connection() -> None:
    server = Server()
    peer = server.connect()
    peer.send("response.create", model="m", input="hi", idempotency_key="k")
    request = server.request(CreateRequested)
    peer.send("response.cancel")
    peer.lose()
    assert server.request(EndRequested).response is request.response
    assert request.response.has_ended
    assert not server.core._num_open


@requirement("resume-order", "create-idempotent")
def test_a_create_that_comes_late_takes_nothing() -> None:
    server = Server()
    hanging, next_one = server.connect(), server.connect()
    next_one.send("response.create", model="m", input="hi", idempotency_key="k")
    hanging.send("response.create", model="m", input="hi", idempotency_key="k")
    assert hanging.code() == "response_detached"
    server.begin()
    assert [event["type"] for event in next_one.read()] == ["response.created"]
    assert server.is_idle()
