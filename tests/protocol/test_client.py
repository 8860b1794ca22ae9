"""The client's core across connections: nothing is lost, nothing comes twice, and its user is told what happened."""

from __future__ import annotations

import pytest
from caesura.protocol import errors
from caesura.protocol.client import Outcome
from caesura.protocol.errors import ModelNotFound
from caesura.protocol.items import InputMessage
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.server import AppendRequested, CreateRequested, EndRequested
from pair import Pair, result
from peers import Server

requirement = pytest.mark.requirement


def request(text: str = "hi", **fields: object) -> ResponseCreate:
    return ResponseCreate(model="m", input=text, **fields)  # type: ignore[arg-type]


@requirement("client-resume", "client-events-once", "resume-replay")
@pytest.mark.parametrize("seen", range(6))
def test_a_client_resumes_after_the_last_event_that_it_has(seen: int) -> None:
    pair = Pair()
    mine = pair.client.create(request(idempotency_key="k"))
    pair.up()
    theirs = pair.server.begin()
    pair.server.say(theirs)
    pair.server.pause(theirs, "a", "b")
    pair.down(seen)
    pair.reconnect()
    pair.exchange()
    assert pair.numbers(mine) == list(range(6))
    assert mine.is_paused
    assert pair.server.is_idle()


@requirement("client-retry", "client-same-output", "append-idempotent", "client-events-once")
@pytest.mark.parametrize("arrived", [0, 1, 2])
@pytest.mark.parametrize("has_gone_on", [True, False])
@pytest.mark.parametrize("is_heard", [True, False])
def test_appends_that_nothing_acknowledged_are_sent_again(arrived: int, has_gone_on: bool, is_heard: bool) -> None:
    """However many of two appends got through, and whatever was heard of that: each counts once."""
    pair = Pair()
    mine, theirs = pair.paused("a", "b")
    pair.client.append(mine, [result("a", "one"), InputMessage(role="user", text="hurry")])
    pair.client.append(mine, [result("b", "two"), InputMessage(role="user", text="more")])
    accepted: list[AppendRequested] = []

    def accept() -> None:
        while (asked := pair.server.core.next_request()) is not None:
            assert isinstance(asked, AppendRequested)
            pair.server.core.accept(asked, pair.server.now)
            accepted.append(asked)

    for _ in range(arrived):
        frame = pair.client.next_frame()
        assert frame is not None
        pair.connection.receive(frame, pair.server.now)
        accept()
    if has_gone_on and arrived == 2:
        pair.server.say(theirs)
    if is_heard:
        pair.down()
    pair.reconnect()
    for _ in range(3):
        pair.exchange()
        accept()
    assert theirs.is_sampling
    pair.server.say(theirs)
    pair.exchange()
    assert mine.is_sampling
    assert not mine.under_way
    new = [each.append for each in accepted if not each.is_repeat]
    assert [(*each.call_ids, *(message.text for message in each.messages)) for each in new] == [
        ("a", "hurry"),
        ("b", "more"),
    ]
    pair.server.end(theirs)
    pair.exchange()
    assert pair.numbers(mine) == list(range(theirs.next_sequence_number))


def test_a_message_that_was_acknowledged_unheard_is_not_added_twice() -> None:
    """Before it came an append that was refused, and nobody heard that either."""
    pair = Pair()
    mine, _ = pair.paused("a", "b")
    pair.answer(mine, "a", text="far too long")
    pair.client.append(mine, [InputMessage(role="user", text="hurry")])
    pair.up()
    pair.server.reject(pair.server.request(AppendRequested), errors.ContextLengthExceeded("too long"))
    pair.server.accept()
    pair.reconnect()
    pair.exchange()
    again = pair.server.request(AppendRequested)
    assert again.append.call_ids == ["a"]
    assert pair.server.is_idle()
    pair.server.reject(again, errors.ContextLengthExceeded("too long"))
    assert pair.exchange()[-1] is Outcome.REFUSED
    assert not mine.under_way


def test_a_pause_that_ended_while_nobody_looked_asks_for_nothing() -> None:
    """Another client has answered; nothing was sampled since; the new one must not run the tools again."""
    server = Server()
    old, new = Pair(server), Pair(server)
    mine, theirs = old.paused("a")
    old.answer(mine, "a")
    old.up()
    server.accept()
    taken = new.client.resume(str(theirs.id))
    new.exchange()
    assert not taken.open_calls
    assert taken.is_sampling
    server.say(theirs)
    server.end(theirs)
    new.exchange()
    assert new.numbers(taken) == list(range(theirs.next_sequence_number))


@requirement("create-idempotent", "client-resume")
def test_a_create_that_was_not_answered_is_sent_again() -> None:
    pair = Pair()
    mine = pair.client.create(request(idempotency_key="k"))
    pair.up()
    theirs = pair.server.begin()
    pair.server.pause(theirs, "a")
    pair.reconnect()
    pair.exchange()
    assert [message["type"] for message in pair.sent] == ["response.create", "response.create"]
    assert pair.server.is_idle()
    assert mine.id == theirs.id
    assert pair.numbers(mine) == [0, 1, 2]


@requirement("resume-gap", "resume-snapshot", "client-gap")
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("has_ended", [True, False])
def test_a_gap_is_told_and_the_snapshot_taken_over(is_known: bool, has_ended: bool) -> None:
    pair = Pair(Server(max_replay_events=2))
    mine = pair.client.create(request(idempotency_key="k"))
    pair.up()
    theirs = pair.server.begin()
    if is_known:
        pair.down()
    pair.server.say(theirs)
    pair.server.pause(theirs, "a", "b")
    if has_ended:
        pair.server.end(theirs, "failed")
    pair.reconnect()
    waiting = pair.client.create(request("next"))
    outcomes = pair.exchange()
    assert outcomes[: 1 + (not has_ended)] == [Outcome.SNAPSHOT, *([] if has_ended else [Outcome.RESUMED])]
    assert mine.id == theirs.id
    assert mine.state is theirs.state
    assert mine.next_sequence_number == theirs.next_sequence_number
    assert [item.id for item in mine.all_items] == ["msg_0", "fc_a", "fc_b"]
    if not has_ended:
        assert [each.call_id for each in mine.open_calls] == ["a", "b"]
    assert pair.server.request(CreateRequested).request.input == "next"  # not before the resume was answered
    assert waiting.is_unborn


def test_appends_under_way_across_a_gap() -> None:
    pair = Pair(Server(max_replay_events=1))
    mine, theirs = pair.paused("a", "b", "c")
    for call_id in "abc":
        pair.answer(mine, call_id)
    for _ in range(2):
        frame = pair.client.next_frame()
        assert frame is not None
        pair.connection.receive(frame, pair.server.now)
        pair.server.accept()
    pair.reconnect()
    pair.exchange()
    assert pair.server.accept().append.call_ids == ["c"]
    assert theirs.is_sampling
    pair.server.end(theirs)
    pair.exchange()
    assert mine.has_ended


@requirement("resume-told")
def test_a_client_is_told_that_another_one_took_over() -> None:
    server = Server()
    old, new = Pair(server), Pair(server)
    mine, theirs = old.paused("a")
    taken = new.client.resume(str(theirs.id))
    new.exchange()
    assert old.exchange() == [Outcome.DETACHED]
    assert mine.is_lost
    assert new.numbers(taken) == [0, 1, 2]
    with pytest.raises(errors.LocalProtocolViolation, match="next one"):
        old.client.resume(str(theirs.id))
    old.reconnect()
    assert not old.up()  # it does not take it back unasked
    old.client.resume(str(theirs.id))
    assert old.exchange()[0] is Outcome.RESUMED
    assert new.exchange() == [Outcome.DETACHED]


@requirement("resume-order", "create-idempotent")
@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_repeated_create_whose_response_a_later_connection_carries(is_cancelled: bool) -> None:
    server = Server()
    old = Pair(server)
    new = Pair(server)
    taken = new.client.create(request(idempotency_key="k"))
    new.up()
    server.begin()
    new.down()
    mine = old.client.create(request(idempotency_key="k"))
    following = old.client.create(request("next"))
    if is_cancelled:
        old.client.cancel(mine)
    assert old.exchange() == [Outcome.DETACHED, Outcome.NOTICE][: 1 + is_cancelled]
    assert mine.is_lost
    assert taken.is_sampling
    server.begin()
    old.exchange()
    assert following.is_sampling


@requirement("resume-elsewhere")
def test_a_cancel_that_is_refused_does_not_end_a_resume() -> None:
    """The create was repeated, its events are lost, and it was cancelled before that was known."""
    pair = Pair(Server(max_replay_events=1))
    mine = pair.client.create(request(idempotency_key="k"))
    pair.up()
    theirs = pair.server.begin()
    pair.server.say(theirs)
    pair.reconnect()
    pair.client.cancel(mine)
    assert Outcome.LOST not in pair.exchange()
    assert mine.id == theirs.id
    pair.server.end_as_asked()
    pair.exchange()
    assert mine.state.value == "cancelled"
    assert not mine.is_lost


@requirement("resume-unknown")
def test_a_response_that_the_server_has_forgotten_is_lost() -> None:
    pair = Pair(Server(grace=10.0))
    mine, _ = pair.paused("a")
    pair.lose()
    pair.server.wait(10.0)
    pair.server.end_as_asked()
    pair.server.wait(10.0)
    pair.connect()
    waiting = pair.client.create(request("next"))
    assert pair.exchange() == [Outcome.LOST]
    assert mine.is_lost
    pair.server.begin()
    pair.exchange()
    assert not waiting.is_unborn


@requirement("lifetime-close", "lifetime-resumable")
def test_an_old_connection_postpones_what_is_asked_for() -> None:
    pair = Pair(Server(lifetime=100.0))
    mine, theirs = pair.create()
    pair.server.call(theirs, "a")
    pair.down()
    pair.server.wait(100.0)
    pair.answer(mine, "a")
    other = pair.client.create(request("next", stream_id="one"))
    assert set(pair.exchange()) == {Outcome.NOTICE, Outcome.POSTPONED}
    pair.server.pause(theirs)
    pair.exchange()
    assert pair.connection.closing is not None
    pair.reconnect()
    pair.exchange()
    assert pair.server.begin().stream_id == "one"
    pair.exchange()
    assert not other.is_unborn
    assert pair.server.accept().append.call_ids == ["a"]


@requirement("cancel-sampling")
@pytest.mark.parametrize("when", ["in progress", "not answered", "waiting", "offline"])
def test_cancelling_at_any_time(when: str) -> None:
    pair = Pair()
    first, _ = pair.create() if when != "not answered" else (None, None)
    mine = first if when in ("in progress", "offline") else pair.client.create(request("next", idempotency_key="k"))
    assert mine is not None
    pair.up()
    if when == "offline":
        pair.lose()
    pair.client.cancel(mine)
    pair.client.cancel(mine)
    if when == "offline":
        pair.connect()
    pair.exchange()
    if when == "waiting":
        assert first is not None
        pair.server.end(next(iter(pair.server.core._responses.values())))
        pair.exchange()
        pair.server.begin()
        pair.exchange()
    while (asked := pair.server.core.next_request()) is not None:
        if not isinstance(asked, CreateRequested):
            pair.server.end(asked.response, "cancelled", "client_request")
    pair.exchange()
    assert mine.state.value == "cancelled"


def test_a_create_that_a_lost_connection_began_takes_its_lane() -> None:
    """The server had not noticed the loss. When the Response before it was resumed elsewhere, the lane there was free,
    and the create that waited got its turn."""
    pair = Pair()
    first, theirs = pair.create(idempotency_key="k1")
    second = pair.client.create(request("next", idempotency_key="k2"))
    pair.up()
    pair.lose(is_noticed=False)
    pair.connect()
    resume = pair.client.next_frame()
    assert resume is not None
    pair.connection.receive(resume, pair.server.now)
    begun = pair.server.begin()  # on the lost one
    pair.exchange()
    assert second.is_unborn
    pair.server.pause(theirs, "a")
    pair.exchange()
    pair.server.end_as_asked()
    pair.exchange()
    assert first.has_ended
    assert second.id == begun.id
    assert pair.server.is_idle()
    pair.server.end(begun)
    pair.exchange()
    assert second.has_ended


def test_what_is_given_up_is_not_resumed_or_asked_for_again() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    unborn = pair.client.create(request("next"))
    last = pair.client.create(request("last"))
    pair.up()
    pair.lose()
    for each in (mine, unborn, mine):
        pair.client.give_up(each)
    pair.server.core.next_request()  # the create that waited has ended with its connection
    pair.connect()
    pair.exchange()
    begun = pair.server.begin()
    pair.exchange()
    assert pair.client.open_responses == [last]
    assert (last.id, begun.is_sampling, theirs.is_sampling) == (begun.id, True, True)
    assert mine.is_lost
    assert unborn.is_lost


def test_a_create_that_is_refused_while_it_is_cancelled() -> None:
    pair = Pair()
    mine = pair.client.create(request())
    following = pair.client.create(request("next"))
    pair.up()
    pair.client.cancel(mine)
    pair.server.reject(pair.server.request(CreateRequested), ModelNotFound("No such model."))
    pair.exchange()
    assert mine.state.value == "rejected"
    pair.server.begin()
    pair.exchange()
    assert following.is_sampling


def test_a_lane_that_is_taken_is_not_resumed_onto() -> None:
    pair = Pair()
    pair.create()
    with pytest.raises(errors.LocalProtocolViolation, match="lane"):
        pair.client.resume("resp_x")
    assert not pair.client.resume("resp_x", stream_id="one").has_ended


def test_a_cancel_during_a_resume_is_sent_once_and_after_the_replay() -> None:
    """Before it, this connection doesn't carry the Response yet."""
    pair = Pair()
    mine, theirs = pair.paused("a")
    pair.reconnect()
    pair.client.cancel(mine)
    assert [message["type"] for message in pair.up()] == ["response.resume"]
    pair.down()
    assert [message["type"] for message in pair.up()] == ["response.cancel"]
    assert pair.server.request(EndRequested).response is theirs
    assert pair.server.is_idle()
