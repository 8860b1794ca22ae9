"""What is watched on a connection: replays, errors, and which Response an event belongs to."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from well_behaved import Event, Server, Watched, append


def resumed(server: Server, after: int, **fields: Any) -> Event:
    said = {"starting_after": after, "last_sequence_number": server.events[-1]["sequence_number"]}
    where = {"status": "in_progress", "required_input": server.required()}
    return {"type": "response.resumed", "response_id": server.id, **said, **where, **fields}


def paused_server() -> tuple[Server, Watched]:
    """A Response in its pause, as a first connection saw it."""
    server, watched = Server(), Watched()
    watched.observer.sends({"type": "response.create"})
    server.begin()
    server.item("message")
    server.item("function_call")
    server.pause()
    watched.receive(*server.events)
    return server, watched


@given(after=st.integers(-1, 7))
def test_a_replay_in_order(after: int) -> None:
    server, watched = paused_server()
    second = watched.connect()
    watched.receive(resumed(server, after), *server.events[after + 1 :], observer=second)
    (call,) = server.open
    second.sends(append(call))
    server.open.clear()
    server.item("message")
    server.end()
    watched.receive(*server.events[watched.log("resp_1").last + 1 :], observer=second)
    assert watched.broken == []
    assert watched.log("resp_1").events == server.events


@pytest.mark.parametrize(
    ("name", "requirement"),
    [
        ("lost", "resume-replay"),
        ("twice", "resume-replay"),
        ("changed", "resume-replay"),
        ("swapped", "resume-replay"),
        ("nothing required", "resume-first"),
        ("no status", "resume-first"),
        ("no position", "resume-first"),
    ],
)
def test_a_wrong_replay_is_seen(name: str, requirement: str) -> None:
    server, watched = paused_server()
    first = resumed(server, 0)
    events = copy.deepcopy(server.events[1:])
    match name:
        case "lost":
            events.pop(2)
        case "twice":
            events.insert(2, events[2])
        case "changed":
            events[1]["delta"] = "y"
        case "swapped":
            events[1:3] = events[2:0:-1]
        case "nothing required":
            first["required_input"] = []
        case "no status":
            first["status"] = None
        case "no position":
            del first["starting_after"]
    watched.receive(first, *events, observer=watched.connect())
    assert requirement in watched.broken


def test_events_for_whoever_lost_it_are_seen() -> None:
    server, watched = paused_server()
    watched.receive({"type": "response.detached", "response_id": "resp_1", "reason": "taken_over"})
    server.item("message")
    watched.receive(server.events[-1])
    assert watched.broken == ["resume-takeover"]


def test_a_snapshot_is_no_gap() -> None:
    server, watched = paused_server()
    server.open.clear()
    server.item("message")
    server.item("message")
    known = len(server.events)
    server.end()
    second = watched.connect()
    watched.receive(resumed(server, known - 1, status="completed"), *server.events[known:], observer=second)
    assert watched.broken == []
    assert not watched.log("resp_1").is_whole


# --- errors and lanes -------------------------------------------------------------------------------------------------

BODY = {"type": "invalid_request_error", "code": "c", "message": "m", "param": None}
ERROR = {"type": "error", "status": 400, "sequence_number": 0, "error": BODY}


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (ERROR, []),
        ({**ERROR, "error": {**BODY, "param": "input"}}, []),
        ({**ERROR, "status": None}, ["error-shape"]),
        ({**ERROR, "error": {**BODY, "code": None}}, ["error-shape"]),
        ({**ERROR, "error": {**BODY, "message": ""}}, ["error-shape"]),
        ({**ERROR, "error": {**BODY, "param": 5}}, ["error-shape"]),
        ({**ERROR, "error": {"code": "c", "message": "m"}}, ["error-shape"]),
        ({**ERROR, "error": "c"}, ["error-shape"]),
        ({**ERROR, "sequence_number": 7}, ["error-apart"]),
    ],
)
def test_errors(error: Event, broken: list[str]) -> None:
    watched = Watched()
    watched.receive(error)
    assert watched.broken == broken


@pytest.mark.parametrize(("is_paused", "requirement"), [(True, "supersede"), (False, "lane-order")])
def test_two_responses_on_a_lane(is_paused: bool, requirement: str) -> None:
    server, watched = paused_server()
    if not is_paused:
        server, watched = Server(), Watched()
        watched.observer.sends({"type": "response.create"})
        server.begin()
        watched.receive(*server.events)
    other = Server("resp_2")
    other.begin()
    watched.receive(*other.events)
    assert watched.broken == [requirement]


def test_supersede_in_order() -> None:
    server, watched = paused_server()
    server.end("cancelled", incomplete_details={"reason": "superseded"})
    other = Server("resp_2")
    other.begin()
    watched.receive(server.events[-1], *other.events)
    assert watched.broken == []


def test_a_create_that_is_cancelled_before_it_begins() -> None:
    server, watched = Server(), Watched()
    watched.observer.sends({"type": "response.create"})
    watched.observer.sends({"type": "response.create"})
    server.begin()
    waiting = Server("resp_2")
    waiting.end("cancelled", incomplete_details={"reason": "client_request"})
    watched.receive(*server.events, *waiting.events)
    server.item("message")
    server.end()
    watched.receive(*server.events[1:])
    assert watched.broken == []
