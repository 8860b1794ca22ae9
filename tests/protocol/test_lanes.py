"""Lanes: several Responses on one connection."""

from __future__ import annotations

import pytest
from caesura.protocol.errors import InvalidStreamId, StreamLimitReached
from caesura.protocol.lanes import Lanes, is_lane_name
from caesura.protocol.server import CreateRequested
from hypothesis import given
from hypothesis import strategies as st
from peers import Peer, Server, output

requirement = pytest.mark.requirement


def ask(peer: Peer, text: str = "hi", **fields: object) -> None:
    peer.send("response.create", model="m", input=text, **fields)


@requirement("lane-echo", "lane-default", "lane-concurrent", "append-lane")
def test_lanes_run_beside_each_other_and_echo_their_name() -> None:
    server = Server()
    peer = server.connect()
    for fields in ({}, {"stream_id": "one"}, {"stream_id": "two"}):
        ask(peer, **fields)
    responses = [server.begin() for _ in range(3)]
    for response in reversed(responses):
        server.pause(response, "a")
    by_lane: dict[object, list[int]] = {}
    for event in peer.read():
        by_lane.setdefault(event.get("stream_id", "default"), []).append(event["sequence_number"])
    assert by_lane == {"default": [0, 1, 2], "one": [0, 1, 2], "two": [0, 1, 2]}
    peer.append(output("a"), stream_id="two")
    assert server.accept().response is responses[2]
    assert [response.is_paused for response in responses] == [True, True, False]


@requirement("lane-order")
def test_creates_of_one_lane_run_in_order() -> None:
    server = Server()
    peer = server.connect()
    first = peer.create()
    for text in ("second", "third"):
        ask(peer, text)
    assert server.is_idle()
    server.end(first)
    second = server.request(CreateRequested)
    assert second.request.input == "second"
    assert server.is_idle()
    server.end(server.begin(second))
    assert server.request(CreateRequested).request.input == "third"


@requirement("lane-sampling", "lane-concurrent")
def test_a_bound_on_the_responses_that_sample_at_once() -> None:
    server = Server(max_sampling=2)
    peer = server.connect()
    one, two = peer.create(stream_id="one"), peer.create(stream_id="two")
    ask(peer, stream_id="three")
    ask(peer, stream_id="four")
    assert server.is_idle()
    server.pause(one, "a")  # does not count any more
    three = server.begin()
    assert three.stream_id == "three"
    assert server.is_idle()
    peer.append(output("a"), stream_id="one")  # never held back
    server.accept()
    server.end(three)
    assert server.is_idle()
    server.end(two)
    assert server.begin().stream_id == "four"


def test_an_event_does_not_wait_for_what_is_looked_at() -> None:
    """A create that is being looked at counts as sampling, and its lane as taken."""
    server = Server(max_sampling=1)
    peer = server.connect()
    ask(peer, "first")
    ask(peer, "second")
    ask(peer, "other lane", stream_id="one")
    first = server.request(CreateRequested)
    assert server.is_idle()
    server.begin(first)
    assert server.is_idle()


@requirement("lane-name", "error-lane")
@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 257, "a\n"])
def test_a_bad_name_is_refused_and_not_echoed(name: str) -> None:
    server = Server()
    peer = server.connect()
    ask(peer, stream_id=name)
    error = peer.error()
    assert (error["error"]["code"], error["error"]["param"]) == ("invalid_stream_id", "stream_id")
    assert "stream_id" not in error
    assert server.is_idle()


@requirement("lane-limit", "error-lane")
def test_too_many_names() -> None:
    server = Server()
    peer = server.connect()
    ask(peer)
    for number in range(33):
        ask(peer, stream_id=f"lane-{number}")
    error = peer.error()
    assert (error["error"]["code"], error["stream_id"]) == ("websocket_stream_limit_reached", "lane-32")
    ask(peer, stream_id="lane-0")
    assert peer.read() == []


@given(st.text(max_size=5) | st.from_regex(r"[A-Za-z0-9_.-]{1,4}", fullmatch=True))
def test_which_names_are_good(name: str) -> None:
    good = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    assert is_lane_name(name) == (0 < len(name) <= 256 and set(name) <= good)


@given(st.lists(st.sampled_from([None, "a", "b", "c", "d", "no name"])), st.integers(0, 3))
def test_lanes_against_a_dict(names: list[str | None], most: int) -> None:
    lanes: Lanes[list[str | None]] = Lanes(list, most)
    model: dict[str | None, list[str | None]] = {None: []}
    for name in names:
        if name == "no name":
            with pytest.raises(InvalidStreamId):
                lanes.open(name)
        elif name not in model and len(model) > most:
            with pytest.raises(StreamLimitReached):
                lanes.open(name)
        else:
            lanes.open(name).append(name)
            model.setdefault(name, []).append(name)
        assert list(lanes) == list(model.values())
        assert lanes.find(name) == model.get(name)
