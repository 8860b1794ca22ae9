"""Losing the connection, and ``response.resume``."""

from __future__ import annotations

import pytest
from caesura.protocol.events import OutputItemAdded
from caesura.protocol.items import OutputMessage
from caesura.protocol.server import CreateRequested
from peers import Server, message, output

requirement = pytest.mark.requirement


@requirement("detached-lives", "resume-first", "resume-replay", "resume-continues", "done-silence")
def test_a_lost_connection_loses_nothing() -> None:
    server = Server()
    peer = server.connect()
    response = peer.create(stream_id="one")
    peer.lose()
    server.say(response)
    server.pause(response, "a", "b")
    again = server.connect()
    again.send("response.resume", response_id=response.id, starting_after=0)
    resumed, *events = again.read()
    assert resumed == {
        "type": "response.resumed",
        "response_id": response.id,
        "starting_after": 0,
        "last_sequence_number": 5,
        "status": "in_progress",
        "required_input": [{"type": "function_call_output", "call_id": call_id, "name": "f"} for call_id in ("a", "b")],
        "stream_id": "one",
    }
    assert [event["sequence_number"] for event in events] == [1, 2, 3, 4, 5]
    again.append(output("a"), output("b"), stream_id="one")
    server.accept()
    server.say(response)
    assert [event["sequence_number"] for event in again.read()] == [6, 7]
    assert peer.read() == []


@requirement("resume-replay", "sequence-numbers")
@pytest.mark.parametrize("seen", range(-1, 9))
def test_a_replay_is_what_was_first_sent_byte_for_byte(seen: int) -> None:
    server = Server()
    peer = server.connect()
    peer.send("response.create", model="m", input="hi", stream_id="one")
    response = server.begin()
    server.say(response, 'tab\t quote" Ünïcode 😀')
    server.pause(response, "a", "b")
    peer.append(output("a"), message(), stream_id="one")
    server.accept()
    peer.append(output("b"), stream_id="one")
    server.accept()
    server.end(response)
    first = []
    while (frame := peer.connection.next_frame()) is not None:
        first.append(frame)
    assert len(first) == 8
    again = server.connect()
    if seen > 7:
        again.send("response.resume", response_id=response.id, starting_after=seen)
        assert again.code() == "invalid_value"
        return
    again.send("response.resume", response_id=response.id, **({"starting_after": seen} if seen >= 0 else {}))
    assert again.connection.next_frame() is not None
    replayed = []
    while (frame := again.connection.next_frame()) is not None:
        replayed.append(frame)
    assert replayed == first[seen + 1 :]


@requirement("resume-ended", "grace-period", "resume-unknown")
def test_what_ended_meanwhile_can_be_read_for_the_grace_period() -> None:
    server = Server(grace=50.0)
    peer = server.connect()
    response = peer.create()
    peer.lose()
    server.end(response)
    server.wait(49.0)
    again = server.connect()
    again.send("response.resume", response_id=response.id, starting_after=0)
    resumed, last = again.read()
    assert (resumed["status"], last["type"]) == ("completed", "response.completed")
    again.append(output("a"))  # it holds the lane now
    assert again.code() == "response_already_completed"
    server.wait(1.0)
    again.send("response.resume", response_id=response.id)
    error = again.error()
    assert (error["status"], error["error"]["code"]) == (404, "response_not_found")
    assert error["response_id"] == response.id


@requirement("resume-takeover", "resume-told", "resume-elsewhere", "resume-continues")
def test_whoever_resumes_takes_over() -> None:
    server = Server()
    old, new = server.connect(), server.connect()
    response = old.paused("a", stream_id="one")
    new.send("response.resume", response_id=response.id, starting_after=2)
    (told,) = old.read()
    assert told == {
        "type": "response.detached",
        "response_id": response.id,
        "reason": "taken_over",
        "stream_id": "one",
    }
    old.append(output("a"), response_id=response.id)
    error = old.error()
    assert (error["status"], error["error"]["code"]) == (409, "response_detached")
    assert (error["response_id"], error["input"]) == (response.id, [output("a")])
    old.send("response.cancel", response_id=response.id)
    assert old.code() == "response_detached"
    old.append(output("a"), stream_id="one")
    assert old.code() == "response_not_found"  # nothing is on that lane there
    new.append(output("a"), stream_id="one")
    server.accept()
    server.say(response)
    assert old.read() == []
    assert [event.get("sequence_number") for event in new.read()] == [None, 3, 4]


@requirement("resume-elsewhere")
def test_what_nobody_carries_has_to_be_resumed_first() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    peer.lose()
    other = server.connect()
    other.append(output("a"), response_id=response.id)
    assert other.code() == "response_detached"
    assert response.is_paused


def test_a_lane_is_free_when_its_response_was_taken_over() -> None:
    server = Server()
    old, new = server.connect(), server.connect()
    response = old.create()
    old.send("response.create", model="m", input="second")
    assert server.is_idle()
    new.send("response.resume", response_id=response.id)
    assert server.request(CreateRequested).request.input == "second"


@requirement("resume-gap", "resume-snapshot")
@pytest.mark.parametrize("limits", [{"max_replay_events": 2}, {"max_replay_bytes": 1}, {"max_replay_bytes_in_all": 1}])
def test_a_buffer_that_does_not_reach_back(limits: dict[str, int]) -> None:
    server = Server(**limits)
    old, new = server.connect(), server.connect()
    response = old.create()
    server.say(response)
    server.pause(response, "a")
    old.read()
    new.send("response.resume", response_id=response.id, starting_after=0)
    error = new.error()
    assert (error["status"], error["error"]["code"]) == (409, "events_lost")
    snapshot = error["snapshot"]
    assert (snapshot["sequence_number"], snapshot["paused"]) == (4, True)
    assert snapshot["required_input"] == [{"type": "function_call_output", "call_id": "a", "name": "f"}]
    assert snapshot["response"]["status"] == "in_progress"
    assert [item["type"] for item in snapshot["response"]["output"]] == ["message", "function_call"]
    assert old.read() == []  # nothing is taken over by that
    new.send("response.resume", response_id=response.id, starting_after=4)
    assert new.types() == ["response.resumed"]
    assert old.types() == ["response.detached"]


@requirement("resume-snapshot", "resume-ended")
def test_the_snapshot_of_what_has_ended_is_its_final_state() -> None:
    server = Server(max_replay_events=1)
    peer = server.connect()
    response = peer.create()
    server.say(response)
    server.end(response, "incomplete", "max_output_tokens")
    (*_, last) = peer.read()
    peer.send("response.resume", response_id=response.id)
    snapshot = peer.error()["snapshot"]
    assert (snapshot["sequence_number"], snapshot["paused"]) == (3, False)
    assert snapshot["response"] == last["response"]


def test_an_item_that_is_being_sampled_is_in_the_snapshot_without_its_content() -> None:
    server = Server(max_replay_events=1)
    peer = server.connect()
    response = peer.create()
    server.emit(response, OutputItemAdded(output_index=0, item=OutputMessage(id="msg", status="in_progress")))
    peer.read()
    peer.send("response.resume", response_id=response.id)
    (item,) = peer.error()["snapshot"]["response"]["output"]
    assert (item["status"], item["content"]) == ("in_progress", [])


@requirement("resume-credential", "resume-unknown")
def test_nobody_finds_the_responses_of_others() -> None:
    server = Server()
    peer, thief = server.connect("alice"), server.connect("mallory")
    response = peer.paused("a", idempotency_key="k")
    for message_ in (
        {"type": "response.resume", "response_id": response.id},
        {"type": "response.append", "response_id": response.id, "input": [output("a", "forged")]},
        {"type": "response.cancel", "response_id": response.id},
        {"type": "response.cancel", "idempotency_key": "k"},
    ):
        thief.send(message_.pop("type"), **message_)  # type: ignore[arg-type]
        assert thief.code() == "response_not_found"
    thief.send("response.create", model="m", input="hi", idempotency_key="k")
    assert server.begin() is not response
    assert peer.read() == []
    assert response.is_paused


@requirement("resume-position")
@pytest.mark.parametrize("position", [3, 1000, -2])
def test_a_position_that_does_not_exist(position: int) -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    peer.send("response.resume", response_id=response.id, starting_after=position)
    error = peer.error()
    assert (error["error"]["code"], error["error"]["param"]) == ("invalid_value", "starting_after")


@requirement("resume-busy")
@pytest.mark.parametrize("is_begun", [True, False])
def test_a_lane_that_carries_another_response(is_begun: bool) -> None:
    server = Server()
    old, new = server.connect(), server.connect()
    response = old.create()
    if is_begun:
        new.paused("x")
    else:
        new.send("response.create", model="m", input="hi")
    new.send("response.resume", response_id=response.id)
    error = new.error()
    assert (error["status"], error["error"]["code"], error["response_id"]) == (409, "stream_busy", response.id)
    assert old.read() == []


def test_resuming_where_it_is_attached_replays_too() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    peer.send("response.resume", response_id=response.id, starting_after=1)
    assert peer.types() == ["response.resumed", "response.done"]


@requirement("resume-order", "resume-takeover")
def test_a_resume_that_comes_late_takes_nothing() -> None:
    """A client gives up a connection that hangs, and goes on with another. Then what it had sent there arrives."""
    server = Server()
    first = server.connect()
    response = first.paused("a")
    first.lose()
    hanging, next_one = server.connect(), server.connect()
    next_one.send("response.resume", response_id=response.id, starting_after=response.log.last)
    assert next_one.read()[0]["type"] == "response.resumed"
    hanging.send("response.resume", response_id=response.id, starting_after=0)
    assert hanging.code() == "response_detached"
    assert next_one.read() == []
    next_one.append(output("a"))
    server.accept()
    server.say(response)
    assert len(next_one.read()) == 2


@requirement("resume-decided", "resume-replay")
def test_an_append_is_decided_before_a_resume_that_came_after_it() -> None:
    """The core hands an append out before it reads on, so the replay has its acknowledgement."""
    server = Server()
    first, second = server.connect(), server.connect()
    response = first.paused("a", "b")
    first.append(output("a"))
    server.accept()
    second.send("response.resume", response_id=response.id, starting_after=response.log.last - 1)
    resumed, acknowledgement = second.read()
    assert [asked["call_id"] for asked in resumed["required_input"]] == ["b"]
    assert acknowledgement["answered"] == ["a"]
