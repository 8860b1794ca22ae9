"""Every message of a client in every situation that a server's Response can be in: what is answered or done."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from caesura.protocol.errors import ModelNotFound
from caesura.protocol.server import AppendRequested, CreateRequested, EndRequested
from peers import Json, Peer, Server, message, output

LIMITS = {"max_sampling": 1, "grace": 50.0}


class Case:
    """A peer, and the Response that it asks about: its lane is the default one, its calls "a" (answered), "b", "c"."""

    def __init__(self) -> None:
        self.server = Server(**LIMITS)
        self.peer = self.server.connect()
        self.id = "resp_1"

    def live(self) -> None:
        response = self.peer.create(idempotency_key="k")
        self.server.call(response, "a", "b", "c")
        self.peer.append(output("a"))
        self.server.accept()
        self.peer.read()
        self.response = response

    def asked(self) -> None:
        self.peer.send("response.create", model="m", input="hi", idempotency_key="k")


def nothing(case: Case) -> None:
    pass


def waiting(case: Case) -> None:
    case.peer.create(stream_id="other")
    case.id = "resp_2"
    case.asked()


def handed_out(case: Case) -> None:
    case.asked()
    case.server.request(CreateRequested)


def sampling(case: Case) -> None:
    case.live()


def paused(case: Case) -> None:
    case.live()
    case.server.pause(case.response)
    case.peer.read()


def ended(status: str) -> Callable[[Case], None]:
    def end(case: Case) -> None:
        case.live()
        case.server.end(case.response, status)
        case.peer.read()

    end.__name__ = status
    return end


def rejected(case: Case) -> None:
    case.asked()
    case.server.reject(case.server.request(CreateRequested), ModelNotFound("No such model."))
    case.peer.read()


def forgotten(case: Case) -> None:
    ended("completed")(case)
    case.server.wait(50.0)


def elsewhere(case: Case) -> None:
    paused(case)
    other = case.server.connect()
    other.send("response.resume", response_id=case.id)
    case.peer.read()


def elsewhere_before(case: Case) -> None:
    """The connection that carries it is older than this one, which it can move to."""
    paused(case)
    case.peer = case.server.connect()


def alone(case: Case) -> None:
    paused(case)
    case.peer.lose()
    case.peer = case.server.connect()


def ending(case: Case) -> None:
    paused(case)
    case.peer.send("response.cancel")
    case.server.request(EndRequested)


SITUATIONS = [
    nothing,
    waiting,
    handed_out,
    sampling,
    paused,
    ending,
    ended("completed"),
    ended("failed"),
    ended("incomplete"),
    ended("cancelled"),
    rejected,
    forgotten,
    elsewhere,
    elsewhere_before,
    alone,
]


def append(*items: Json) -> Json:
    return {"type": "response.append", "input": list(items)}


FRAMES: dict[str, Json] = {
    "create": {"type": "response.create", "model": "m", "input": "next"},
    "create again": {"type": "response.create", "model": "m", "input": "hi", "idempotency_key": "k"},
    "create of nothing": {"type": "response.create", "model": "m"},
    "part": append(output("b")),
    "rest": append(output("b"), output("c")),
    "again": append(output("a")),
    "message": append(message()),
    "malformed": append(output("b"), {"type": "function_call"}),
    "unknown call": append(output("b"), output("nobody")),
    "conflict": append(output("b"), output("a", "no")),
    "cancel": {"type": "response.cancel"},
    "resume": {"type": "response.resume"},
    "resume beyond": {"type": "response.resume", "starting_after": 99},
}
# What comes of each: the code of an error, what the server is asked for, "resumed", or "-", nothing. First for a
# message that names no Response, then for one that names it by id; "*" is for the situations that a row doesn't name.
NOT_FOUND, ENDED, DETACHED = "response_not_found", "response_already_completed", "response_detached"
ENDS = dict.fromkeys(("completed", "failed", "incomplete", "cancelled"), ENDED)
GONE_BY_ID = {"elsewhere": DETACHED, "elsewhere_before": DETACHED, "alone": DETACHED}
LIVE = ("sampling", "paused", "ending")


def row(default: str, **known: str) -> dict[str, str]:
    return {"*": default, **known}


def appended(*, sampling: str, paused: str, ending: str) -> tuple[dict[str, str], dict[str, str]]:
    live = {"sampling": sampling, "paused": paused, "ending": ending}
    return row(NOT_FOUND, **ENDS, **live, forgotten=ENDED), row(NOT_FOUND, **ENDS, **live, **GONE_BY_ID)


A = AppendRequested.__name__
RESUMED = {
    **dict.fromkeys(("completed", "failed", "incomplete", "cancelled", *LIVE, "elsewhere_before", "alone"), "resumed")
}
RESUMED["elsewhere"] = DETACHED
EXPECTED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "create": (row("CreateRequested", waiting="-", handed_out="-", sampling="-"),) * 2,
    "create again": (row("CreateRequested", waiting="-", handed_out="-", **RESUMED),) * 2,
    "create of nothing": (row("missing_required_parameter"),) * 2,
    "part": appended(sampling=A, paused=A, ending=ENDED),
    "rest": appended(sampling=A, paused=A, ending=ENDED),
    "again": appended(sampling=A, paused=A, ending=A),
    "message": appended(sampling="response_not_paused", paused=A, ending=ENDED),
    "malformed": (
        row(NOT_FOUND, **dict.fromkeys((*LIVE, *ENDS, "forgotten"), "invalid_value")),
        row(NOT_FOUND, **dict.fromkeys((*LIVE, *ENDS), "invalid_value"), **GONE_BY_ID),
    ),
    "unknown call": appended(**dict.fromkeys(LIVE, "tool_call_not_found")),
    "conflict": appended(**dict.fromkeys(LIVE, "tool_call_already_answered")),
    "cancel": (
        row(NOT_FOUND, **ENDS, forgotten=ENDED, ending="-")
        | dict.fromkeys(("waiting", "handed_out", "sampling", "paused"), "EndRequested"),
        row(NOT_FOUND, **ENDS, **GONE_BY_ID, ending="-", sampling="EndRequested", paused="EndRequested"),
    ),
    "resume": (row("invalid_value"), row(NOT_FOUND, **RESUMED)),
    "resume beyond": (
        row("invalid_value"),
        row(NOT_FOUND, **dict.fromkeys(RESUMED, "invalid_value") | {"elsewhere": DETACHED}),
    ),
}


@pytest.mark.requirement("error-lives", "error-shape", "error-apart", "append-no-response", "append-ended")
@pytest.mark.parametrize("by", ["lane", "id"])
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.__name__)
def test_every_message_in_every_situation(situation: Callable[[Case], None], frame: str, by: str) -> None:
    case = Case()
    situation(case)
    table = EXPECTED[frame][by == "id"]
    expected = table.get(situation.__name__, table["*"])
    named = {"response_id": case.id} if by == "id" and not frame.startswith("create") else {}
    before = {response_id: repr(each) for response_id, each in case.server.core._responses.items()}
    case.peer.send_raw(json.dumps({**FRAMES[frame], **named}))
    outcome = what_came(case.server, case.peer)
    assert outcome == expected
    if outcome.islower() and outcome != "resumed":  # an error: no Response has changed
        assert {each: repr(response) for each, response in case.server.core._responses.items()} == before


def what_came(server: Server, peer: Peer) -> str:
    request = server.core.next_request()
    frames = peer.read()
    if request is not None:
        assert not frames
        assert server.is_idle()
        return type(request).__name__
    if not frames:
        return "-"
    first = frames[0]
    if first["type"] == "response.resumed":
        return "resumed"
    assert len(frames) == 1
    assert set(first["error"]) == {"type", "code", "message", "param"}
    assert 400 <= first["status"] < 600
    return str(first["error"]["code"])
