"""``response.cancel``, and a create on the lane of a paused Response."""

from __future__ import annotations

import pytest
from caesura.protocol.errors import LocalProtocolViolation, ModelNotFound
from caesura.protocol.server import CreateRequested, EndRequested
from peers import Json, Server, output

requirement = pytest.mark.requirement


@requirement("cancel-sampling", "cancel-paused", "cancel-final")
@pytest.mark.parametrize("is_paused", [True, False])
@pytest.mark.parametrize("by", ["id", "lane", "key"])
def test_a_response_is_cancelled(is_paused: bool, by: str) -> None:
    server = Server()
    peer = server.connect()
    response = peer.create(stream_id="one", idempotency_key="k")
    server.say(response)
    if is_paused:
        server.pause(response, "a")
    peer.read()
    named: dict[str, Json] = {
        "id": {"response_id": response.id},
        "lane": {"stream_id": "one"},
        "key": {"idempotency_key": "k"},
    }
    peer.send("response.cancel", **named[by])
    assert peer.read() == []
    server.end_as_asked()
    (last,) = peer.read()
    assert last["type"] == "response.cancelled"
    assert last["response"]["status"] == "cancelled"
    assert last["response"]["incomplete_details"] == {"reason": "client_request"}
    assert [item["type"] for item in last["response"]["output"]] == ["message", "function_call"][: 1 + is_paused]


@requirement("cancel-append")
def test_an_append_to_a_cancelled_response_is_told_so() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    peer.send("response.cancel")
    peer.append(output("a"))
    assert peer.code() == "response_already_completed"  # from the moment on that it was asked for
    server.end_as_asked()
    peer.read()
    peer.append(output("a"), response_id=response.id)
    error = peer.error()
    assert error["error"]["code"] == "response_already_completed"
    assert "cancelled" in error["error"]["message"]


@pytest.mark.parametrize("is_handed_out", [True, False])
@pytest.mark.parametrize("key", [None, "k"])
def test_a_create_is_cancelled_before_it_began(is_handed_out: bool, key: str | None) -> None:
    """Its only event is ``response.cancelled``; what was asked for after it gets its turn."""
    server = Server()
    peer = server.connect()
    first = None if is_handed_out else peer.create()
    peer.send("response.create", model="m", input="hi", idempotency_key=key)
    if is_handed_out:
        server.request(CreateRequested)
    peer.send("response.create", model="m", input="next")
    peer.send("response.cancel", **({"idempotency_key": key} if key else {}))
    if first is not None and key is None:
        assert server.request(EndRequested).response is first  # without a name it is the open one
        return
    server.end_as_asked()
    (only,) = peer.read()
    assert (only["type"], only["sequence_number"]) == ("response.cancelled", 0)
    if first is not None:
        server.end(first)
        assert peer.types() == ["response.completed"]
    assert server.request(CreateRequested).request.input == "next"


def test_the_create_that_waits_longest_is_cancelled_when_nothing_is_open() -> None:
    server = Server(max_sampling=1)
    peer = server.connect()
    peer.create(stream_id="one")
    for text in ("first", "second"):
        peer.send("response.create", model="m", input=text)
    peer.send("response.cancel")
    asked = server.request(EndRequested)
    server.end(asked.response, "cancelled", asked.reason)
    peer.send("response.cancel", stream_id="one")
    server.end_as_asked()
    assert server.request(CreateRequested).request.input == "second"


def test_a_cancel_crosses_the_answer_to_its_create() -> None:
    server = Server()
    peer = server.connect()
    peer.send("response.create", model="m", input="hi")
    request = server.request(CreateRequested)
    peer.send("response.cancel")
    server.reject(request, ModelNotFound("No such model.", param="model"))
    assert peer.code() == "model_not_found"
    assert server.request(EndRequested).response.has_ended  # nothing to emit any more


@requirement("cancel-unknown")
@pytest.mark.parametrize(
    "fields", [{}, {"response_id": "resp_x"}, {"stream_id": "one"}, {"stream_id": "a b"}, {"idempotency_key": "k"}]
)
def test_a_cancel_of_nothing(fields: Json) -> None:
    server = Server()
    peer = server.connect()
    peer.send("response.cancel", **fields)
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (404, "response_not_found")
    assert server.is_idle()


@requirement("cancel-ended")
@pytest.mark.parametrize("status", ["completed", "failed", "incomplete", "cancelled"])
@pytest.mark.parametrize("by_id", [True, False])
def test_a_cancel_of_what_has_ended(status: str, by_id: bool) -> None:
    server = Server()
    peer = server.connect()
    response = peer.create()
    server.end(response, status)
    peer.read()
    peer.send("response.cancel", **({"response_id": response.id} if by_id else {}))
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (409, "response_already_completed")
    assert error["response_id"] == response.id
    assert server.is_idle()


def test_a_second_cancel_changes_nothing() -> None:
    server = Server()
    peer = server.connect()
    peer.paused("a")
    peer.send("response.cancel")
    peer.send("response.cancel")
    server.end_as_asked()
    assert server.is_idle()
    assert peer.types() == ["response.cancelled"]


@requirement("supersede")
def test_a_create_supersedes_the_paused_response_of_its_lane() -> None:
    server = Server()
    peer = server.connect()
    first = peer.paused("a")
    peer.send("response.create", model="m", input="again")
    assert peer.read() == []
    second = server.begin()
    old, new = peer.read()
    assert (old["type"], old["response"]["id"]) == ("response.cancelled", first.id)
    assert old["response"]["incomplete_details"] == {"reason": "superseded"}
    assert (new["type"], new["sequence_number"], new["response"]["id"]) == ("response.created", 0, second.id)


@requirement("supersede-rejected")
def test_a_create_that_is_refused_leaves_the_paused_one() -> None:
    server = Server()
    peer = server.connect()
    first = peer.paused("a")
    peer.send("response.create", model="unknown", input="again", idempotency_key="k")
    server.reject(server.request(CreateRequested), ModelNotFound("No such model.", param="model"))
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (404, "model_not_found")
    assert (error["idempotency_key"], "response_id" in error) == ("k", False)
    peer.send("response.create", model="m")
    assert peer.code() == "missing_required_parameter"
    assert first.is_paused
    peer.append(output("a"))
    server.accept()
    assert first.is_sampling


@requirement("supersede")
def test_a_create_that_waited_supersedes_when_the_one_before_it_pauses() -> None:
    """A client that has asked for another Response on the lane doesn't answer the paused one: nobody waits for ever."""
    server = Server()
    peer = server.connect()
    first = peer.create()
    peer.send("response.create", model="m", input="second")
    assert server.is_idle()
    server.pause(first, "a")
    server.begin()
    assert peer.types() == ["response.output_item.done", "response.done", "response.cancelled", "response.created"]


def test_a_create_is_not_begun_over_one_that_is_open() -> None:
    server = Server()
    peer = server.connect()
    peer.paused("a")
    peer.send("response.create", model="m", input="again")
    request = server.request(CreateRequested)
    with pytest.raises(LocalProtocolViolation, match="predecessor"):
        server.core.accept(request, server.now)
    server.begin(request)
    with pytest.raises(LocalProtocolViolation, match="answered"):
        server.core.accept(request, server.now)
