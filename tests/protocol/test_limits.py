"""Bounds, each with its code, and what happens when nobody does anything."""

from __future__ import annotations

import json

import pytest
from caesura.protocol.limits import DEFAULT_LIMITS
from caesura.protocol.server import CreateRequested
from caesura.protocol.server_connection import GOING_AWAY, POLICY_VIOLATION
from peers import Server, output

requirement = pytest.mark.requirement


@requirement("limit-message-size")
@pytest.mark.parametrize(("text", "is_refused"), [("a" * 50, False), ("a" * 400, True), ("😀" * 100, True)])
def test_a_message_that_is_too_large(text: str, is_refused: bool) -> None:
    server = Server(max_message_bytes=300)
    peer = server.connect()
    peer.send_raw(json.dumps({"type": "response.create", "stream_id": "one", "input": text}, ensure_ascii=False))
    if not is_refused:
        server.request(CreateRequested)
        return
    error = peer.error()
    assert (error["status"], error["error"]["code"], error["stream_id"]) == (413, "message_too_large", "one")
    peer.create()


@requirement("limit-depth")
@pytest.mark.parametrize(("depth", "is_refused"), [(63, False), (64, True), (5_000, True), (200_000, True)])
def test_a_message_that_is_nested_too_deeply(depth: int, is_refused: bool) -> None:
    server = Server()
    peer = server.connect()
    nested = "[" * depth + "]" * depth
    peer.send_raw('{"type":"response.create","model":"m","input":"x","reasoning_future":' + nested + "}")
    if is_refused:
        assert peer.code() == "message_too_deep"
    else:
        server.request(CreateRequested)


@requirement("limit-append-items")
def test_an_append_with_too_many_items() -> None:
    server = Server(max_append_items=3)
    peer = server.connect()
    response = peer.paused("a", "b", "c", "d")
    items = [output(call_id) for call_id in "abcd"]
    peer.append(*items)
    error = peer.error()
    assert (error["error"]["code"], error["input"], error["response_id"]) == ("too_many_items", items, response.id)
    peer.append(*items[:3])
    server.accept()
    assert list(response.pending_calls) == ["d"]


def test_too_many_creates_wait_on_a_lane() -> None:
    server = Server(max_waiting=2)
    peer = server.connect()
    peer.create()
    for _ in range(3):
        peer.send("response.create", model="m", input="hi", idempotency_key=None)
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (503, "server_overloaded")
    peer.create(stream_id="one")


@requirement("limit-open-connection")
def test_too_many_open_responses_on_a_connection() -> None:
    server = Server(max_open_per_connection=3, max_sampling=1)
    peer, other = server.connect(), server.connect()
    first = peer.paused("a", stream_id="one")  # paused, sampling and waiting: all count
    peer.create(stream_id="two")
    peer.send("response.create", model="m", input="hi", stream_id="three")
    peer.send("response.create", model="m", input="hi", idempotency_key="k")
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (429, "connection_response_limit_reached")
    assert error["idempotency_key"] == "k"
    other.create()
    server.end(first, "failed")
    peer.read()
    peer.send("response.create", model="m", input="hi")
    assert peer.read() == []


@requirement("limit-open-credential")
def test_too_many_open_responses_of_a_credential() -> None:
    server = Server(max_open_per_credential=2, grace=50.0)
    peer, other = server.connect("alice"), server.connect("bob")
    peer.create()
    peer.create(stream_id="one")
    peer.lose()  # those that nobody is attached to count too
    peer = server.connect("alice")
    peer.send("response.create", model="m", input="hi")
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (429, "credential_response_limit_reached")
    other.create()
    server.wait(50.0)
    for _ in range(2):
        server.end_as_asked()
    peer.create()


@requirement("limit-slow-reader", "detached-lives", "resume-replay")
def test_a_client_that_does_not_read_is_detached() -> None:
    server = Server(max_unsent_events=5)
    peer = server.connect()
    response = peer.create()
    for _ in range(2):
        server.say(response)
    assert peer.connection.closing is None
    server.say(response)
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (408, "slow_reader")
    close = peer.connection.closing
    assert close is not None
    assert (close.code, close.reason) == (POLICY_VIOLATION, "slow_reader")
    peer.send("response.create", model="m", input="hi")  # nothing is heard any more
    assert server.is_idle()
    server.say(response)
    assert peer.read() == []
    again = server.connect()
    again.send("response.resume", response_id=response.id, starting_after=0)
    assert [event["sequence_number"] for event in again.read()[1:]] == list(range(1, 9))


@requirement("limit-slow-reader")
def test_the_end_of_what_was_never_created_may_be_one_event_too_many() -> None:
    server = Server(max_unsent_events=3)
    peer = server.connect()
    response = peer.create()
    peer.send("response.create", model="m", input="hi", stream_id="one")
    server.request(CreateRequested)
    peer.send("response.cancel", stream_id="one")
    server.call(response, "a", "b", "c")
    server.end_as_asked()
    assert peer.code() == "slow_reader"
    assert list(server.core._num_open.values()) == [1]


@requirement("limit-slow-reader")
def test_memory_bounds_a_slow_reader_too() -> None:
    server = Server(max_unsent_bytes=2_000)
    peer = server.connect()
    response = peer.create()
    server.say(response, "x" * 2_000)
    assert peer.connection.closing is None
    server.say(response)
    assert peer.code() == "slow_reader"


@requirement("limit-slow-reader")
def test_errors_that_nobody_reads_are_bounded_too() -> None:
    server = Server(max_unsent_events=5)
    peer = server.connect()
    for _ in range(20):
        peer.send_raw("not json")
    assert peer.code() == "slow_reader"
    assert peer.connection.closing is not None


@requirement("limit-slow-reader", "resume-replay")
def test_a_replay_is_not_slow_reading() -> None:
    """A client that comes back resumes everything at once, and can't read while it writes."""
    server = Server(max_unsent_events=6)
    peer = server.connect()
    responses = [peer.create(stream_id=lane) for lane in ("one", "two", "three")]
    peer.lose()
    for response in responses:
        for _ in range(4):
            server.say(response)
    peer = server.connect()
    for response in responses:
        peer.send("response.resume", response_id=response.id)
    assert peer.connection.closing is None
    for _ in range(10):  # but asking again and again is
        peer.send("response.resume", response_id=responses[0].id)
    assert peer.connection.closing is not None
    assert peer.code() == "slow_reader"


@requirement("pause-timeout")
def test_a_pause_ends_after_its_timeout() -> None:
    server = Server(pause_timeout=100.0)
    peer = server.connect()
    response = peer.paused("a", "b")
    server.wait(60.0)
    peer.append(output("a"))  # that is a sign of life
    server.accept()
    server.wait(60.0)
    peer.append(output("a"))  # and that is none
    server.accept()
    assert server.is_idle()
    server.wait(40.0)
    request = server.end_as_asked()
    assert (request.response, request.status, request.reason) == (response, "incomplete", "append_timeout")
    last = peer.read()[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "append_timeout"}
    peer.append(output("b"))
    assert "append_timeout" in peer.error()["error"]["message"]


@requirement("pause-timeout")
def test_sampling_has_no_timeout_and_each_pause_its_own() -> None:
    server = Server(pause_timeout=100.0, lifetime=1e9)
    peer = server.connect()
    response = peer.paused("a")
    peer.append(output("a"))
    server.accept()
    server.wait(1_000.0)
    assert server.is_idle()
    server.pause(response, "b")
    assert server.core.next_deadline() == server.now + 100.0
    server.wait(99.0)
    assert server.is_idle()


@requirement("grace-period", "detached-lives")
@pytest.mark.parametrize("is_paused", [True, False])
def test_what_nobody_resumes_is_abandoned(is_paused: bool) -> None:
    server = Server(grace=50.0)
    peer = server.connect()
    response = peer.paused("a") if is_paused else peer.create()
    peer.lose()
    peer = server.connect()
    server.wait(49.0)
    peer.send("response.resume", response_id=response.id)
    server.wait(1_000.0)
    assert server.is_idle()
    peer.lose()
    server.wait(50.0)
    request = server.end_as_asked()
    assert (request.response, request.status, request.reason) == (response, "cancelled", "abandoned")
    peer = server.connect()
    peer.send("response.resume", response_id=response.id)
    assert peer.read()[-1]["response"]["incomplete_details"] == {"reason": "abandoned"}


@requirement("lifetime-close", "lifetime-resumable")
def test_an_old_connection_takes_nothing_new_and_closes_when_nothing_samples() -> None:
    server = Server(lifetime=100.0, pause_timeout=1e9)
    peer = server.connect()
    sampled = peer.create()
    paused = peer.paused("x", stream_id="one")
    peer.send("response.create", model="m", input="waits")
    server.wait(100.0)
    limit = "websocket_connection_limit_reached"
    assert peer.code() == limit  # the create that waited
    peer.send("response.create", model="m", input="hi", stream_id="two")
    assert peer.code() == limit
    peer.append(output("x"), stream_id="one")
    assert peer.error()["input"] == [output("x")]
    peer.send("response.resume", response_id=paused.id)
    assert peer.code() == limit
    assert peer.connection.closing is None
    server.pause(sampled, "a")
    *_, done, error = peer.read()
    assert done["type"] == "response.done"
    assert (error["status"], error["error"]["code"]) == (400, limit)
    close = peer.connection.closing
    assert close is not None
    assert close.code == GOING_AWAY
    again = server.connect()
    for response, call_id in ((sampled, "a"), (paused, "x")):
        again.send("response.resume", response_id=response.id, starting_after=2)
        assert again.types() == ["response.resumed"]
        again.append(output(call_id), response_id=response.id)
        assert server.accept().response is response


@requirement("lifetime-close")
def test_an_old_connection_with_nothing_to_do_closes_at_once() -> None:
    server = Server(lifetime=100.0)
    peer = server.connect()
    server.wait(100.0)
    assert peer.code() == "websocket_connection_limit_reached"
    assert peer.connection.closing is not None


@requirement("lifetime-close")
def test_a_create_that_is_looked_at_may_still_begin() -> None:
    server = Server(lifetime=100.0)
    peer = server.connect()
    peer.send("response.create", model="m", input="hi")
    request = server.request(CreateRequested)
    server.wait(100.0)
    assert peer.connection.closing is None
    server.end(server.begin(request))
    assert peer.types() == ["response.created", "response.completed", "error"]
    assert peer.connection.closing is not None


def test_cancelling_works_on_an_old_connection() -> None:
    server = Server(lifetime=100.0)
    peer = server.connect()
    peer.create()
    server.wait(100.0)
    peer.send("response.cancel")
    server.end_as_asked()
    assert peer.types() == ["response.cancelled", "error"]


def test_only_so_many_ended_responses_are_kept() -> None:
    server = Server(max_ended=2)
    peer, other = server.connect("alice"), server.connect("bob")
    kept = other.create()
    server.end(kept)
    ended = [peer.create(stream_id=f"lane-{number}", idempotency_key=f"key-{number}") for number in range(3)]
    for response in ended:
        server.end(response)
    peer.read()
    for response, is_known in zip(ended, (False, True, True), strict=True):
        peer.send("response.resume", response_id=response.id)
        assert ("response.resumed" in peer.types()) == is_known
    other.send("response.resume", response_id=kept.id)
    assert "response.resumed" in other.types()
    assert len(server.core._keys) == 2


def test_the_default_bounds_are_those_of_the_text() -> None:
    limits = DEFAULT_LIMITS
    assert (limits.max_named_lanes, limits.max_sampling, limits.max_waiting) == (32, 16, 16)
    assert (limits.max_open_per_connection, limits.max_open_per_credential) == (64, 4096)
    assert (limits.max_message_bytes, limits.max_depth, limits.max_append_items) == (16 << 20, 64, 1024)
    assert (limits.pause_timeout, limits.grace, limits.lifetime) == (3600.0, 600.0, 3600.0)
