"""Two cores joined in memory, a client's and a server's, with no transport between them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import pytest
from caesura.protocol import errors
from caesura.protocol.client import Outcome
from caesura.protocol.events import DoneResponse, OutputItemAdded, OutputItemDone, ResponseDone
from caesura.protocol.items import FunctionCallOutput, InputMessage
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.server import AppendRequested, CreateRequested
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pair import Pair, result
from peers import Server, call

requirement = pytest.mark.requirement


@requirement("client-done", "client-answers-all", "client-no-history", "client-own-calls", "text-frames")
def test_a_whole_rollout() -> None:
    pair = Pair()
    mine, theirs = pair.paused("a", "b")
    assert mine.is_paused
    assert not mine.has_ended
    assert [each.call_id for each in mine.open_calls] == ["a", "b"]
    pair.answer(mine, "b")
    assert [each.call_id for each in mine.open_calls] == ["a"]
    pair.up()
    pair.server.accept()
    pair.client.append(mine, [result("a"), InputMessage(role="user", text="and hurry")])
    pair.up()
    pair.server.accept()
    assert theirs.is_sampling
    pair.server.end(theirs)
    pair.down()
    assert mine.has_ended
    assert pair.numbers(mine) == list(range(6))
    assert mine.num_pauses == theirs.num_pauses == 1
    assert [len(message["input"]) for message in pair.sent if message["type"] == "response.append"] == [1, 2]


@requirement("done-silence")
def test_nothing_may_be_streamed_while_paused() -> None:
    pair = Pair()
    _, theirs = pair.paused("a")
    with pytest.raises(errors.LocalProtocolViolation):
        pair.server.emit(theirs, OutputItemAdded(output_index=1, item=call("x")))
    assert pair.connection.next_frame() is None
    assert theirs.log.last == theirs.next_sequence_number - 1


def test_a_client_does_not_accept_events_in_a_pause() -> None:
    pair = Pair()
    mine, _ = pair.paused("a")
    rogue = OutputItemAdded(output_index=1, item=call("x"), sequence_number=mine.next_sequence_number)
    with pytest.raises(errors.RemoteProtocolViolation, match="open calls"):
        pair.client.receive(msgspec.json.encode(rogue).decode())


@requirement("client-gap")
@pytest.mark.parametrize("offset", [1, -1, 100])
def test_a_client_notices_a_lost_event_and_one_that_comes_twice(offset: int) -> None:
    pair = Pair()
    mine, _ = pair.create()
    before = repr(mine)
    wrong = OutputItemAdded(output_index=0, item=call("x"), sequence_number=mine.next_sequence_number + offset)
    with pytest.raises(errors.RemoteProtocolViolation, match="sequence_number"):
        pair.client.receive(msgspec.json.encode(wrong).decode())
    assert repr(mine) == before


@requirement("client-unknown-events")
def test_an_unknown_event_is_passed_over_and_its_number_too() -> None:
    pair = Pair()
    mine, theirs = pair.create(stream_id="one")
    number = mine.next_sequence_number
    unknown = {"type": "response.from_the_future", "sequence_number": number, "stream_id": "one", "x": {}}
    assert pair.client.receive(json.dumps(unknown)) is None
    assert pair.client.receive('{"type":"responsesapi.websocket_timing","timing_metrics":{}}') is None
    assert pair.client.receive(json.dumps({**unknown, "stream_id": "two"})) is None
    known = OutputItemDone(output_index=0, item=call("a"), sequence_number=number + 1, stream_id="one")
    received = pair.client.receive(msgspec.json.encode(known).decode())
    assert received is not None
    assert received.response is mine
    assert theirs.is_sampling


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"response.in_progress","sequence_number":0,"response":{"id":"x","created_at":0,"status":"","model":""}}',
        '{"type":"response.resumed","response_id":"x","starting_after":-1,"last_sequence_number":0,"status":""}',
        '{"type":"response.done","sequence_number":0,"stream_id":"nobody"}',
        "[]",
    ],
)
def test_a_server_that_sends_what_was_never_asked_for(frame: str) -> None:
    pair = Pair()
    with pytest.raises(errors.RemoteProtocolViolation):
        pair.client.receive(frame)


@requirement("client-own-calls", "client-same-output")
def test_what_a_client_may_not_append() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    too_soon: list[Sequence[FunctionCallOutput | InputMessage]] = [
        [result("a")],
        [InputMessage(role="user", text="now")],
    ]
    for items in too_soon:
        with pytest.raises(errors.LocalProtocolViolation):
            pair.client.append(mine, items)
    pair.server.pause(theirs, "a", "b")
    pair.down()
    pair.answer(mine, "a")
    for answers in ([result("a", "changed my mind")], [result("b"), result("nobody")]):
        with pytest.raises(errors.LocalProtocolViolation, match="not open"):
            pair.client.append(mine, answers)
    user, assistant = (InputMessage(role=role, text="x") for role in ("user", "assistant"))
    wrongs: list[Sequence[FunctionCallOutput | InputMessage]] = [[], [user, result("b")], [assistant]]
    for wrong in wrongs:
        with pytest.raises(errors.InvalidRequest):
            pair.client.append(mine, wrong)
    pair.client.append(mine, [InputMessage(role="user", text="one")])
    with pytest.raises(errors.LocalProtocolViolation, match="under way"):
        pair.client.append(mine, [InputMessage(role="user", text="two")])
    pair.answer(mine, "b")
    assert len(pair.up()) == 3
    with pytest.raises(errors.LocalProtocolViolation, match="has to wait"):
        pair.client.append(mine, [InputMessage(role="user", text="too late")])


def test_an_append_that_no_server_would_read_is_not_sent() -> None:
    pair = Pair()
    mine, _ = pair.paused("a")
    with pytest.raises(errors.MessageTooLarge):
        pair.answer(mine, "a", text="x" * (17 << 20))
    assert mine.open_calls
    assert not pair.up()


def test_a_refused_append_leaves_both_sides_paused() -> None:
    pair = Pair()
    mine, theirs = pair.paused("a", "b")
    pair.answer(mine, "b")
    pair.answer(mine, "a", text="far too long")
    pair.up()
    pair.server.accept()
    pair.server.reject(pair.server.request(AppendRequested), errors.ContextLengthExceeded("too long", param="input"))
    assert [received.outcome for received in pair.down()] == [Outcome.EVENT, Outcome.REFUSED]
    assert [each.call_id for each in mine.open_calls] == ["a"]
    assert mine.is_paused
    pair.answer(mine, "a", text="short")
    pair.up()
    pair.server.accept()
    pair.server.end(theirs)
    pair.down()
    assert mine.has_ended


def test_a_rejected_create_leaves_the_paused_response_alone() -> None:
    pair = Pair()
    mine, theirs = pair.paused("a")
    refused = pair.client.create(ResponseCreate(model="unknown", input="hi"))
    pair.up()
    pair.server.reject(pair.server.request(CreateRequested), errors.ModelNotFound("no such model", param="model"))
    (received,) = pair.down()
    assert (received.outcome, received.response) == (Outcome.REJECTED, refused)
    assert refused.has_ended
    assert mine.is_paused
    assert theirs.is_paused


def test_creates_of_one_lane_are_answered_in_order() -> None:
    """Two of them under way, and an error that refuses the second at once would be taken for the first's."""
    pair = Pair()
    mine, theirs = pair.create()
    waiting = [pair.client.create(ResponseCreate(model="m", input=text)) for text in ("second", "", "fourth")]
    pair.exchange()
    assert pair.server.is_idle()
    pair.server.end(theirs)
    pair.exchange()
    second = pair.server.begin()
    assert [outcome.name for outcome in pair.exchange()] == ["EVENT", "REJECTED"]
    assert [each.state.value for each in waiting] == ["in_progress", "rejected", "requested"]
    pair.server.end(second)
    pair.exchange()
    pair.server.begin()
    pair.exchange()
    assert not waiting[2].is_unborn
    assert mine.has_ended


@requirement("lane-echo")
def test_lanes_run_beside_each_other() -> None:
    pair = Pair()
    one, their_one = pair.paused("a", stream_id="one")
    two, _ = pair.paused("b", stream_id="two")
    pair.answer(one, "a")
    pair.up()
    assert pair.server.accept().response is their_one
    assert two.is_paused
    assert set(pair.client.open_responses) == {one, two}


def test_a_call_that_was_cut_is_not_waited_for() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    pair.server.emit(theirs, OutputItemDone(output_index=0, item=call("a", status="incomplete")))
    pair.down()
    assert not theirs.pending_calls
    assert not mine.pending_calls


def test_a_pause_may_come_with_nothing_in_it() -> None:
    """Servers of the first days sent neither an id nor the calls."""
    pair = Pair()
    mine, theirs = pair.create()
    pair.server.call(theirs, "a")
    pair.down()
    bare = ResponseDone(response=DoneResponse(), sequence_number=mine.next_sequence_number)
    pair.client.receive(msgspec.json.encode(bare).decode())
    assert mine.is_paused
    assert [each.call_id for each in mine.open_calls] == ["a"]


class Agreement(RuleBasedStateMachine):
    """One Response on a link that loses nothing: after each exchange both ends stand at the same point."""

    @initialize()
    def begin(self) -> None:
        self.pair = Pair(Server(lifetime=1e9))
        self.mine, self.theirs = self.pair.create()
        self.number = 0

    @precondition(lambda self: self.theirs.is_sampling)
    @rule(count=st.integers(1, 3))
    def pause(self, count: int) -> None:
        call_ids = [f"c{self.number + each}" for each in range(count)]
        self.number += count
        self.pair.server.pause(self.theirs, *call_ids)
        self.pair.exchange()

    @precondition(lambda self: self.theirs.is_paused)
    @rule(data=st.data(), refuse=st.booleans())
    def append(self, data: st.DataObject, refuse: bool) -> None:
        opened = [each.call_id for each in self.mine.open_calls]
        chosen = data.draw(st.lists(st.sampled_from(opened), min_size=1, unique=True))
        self.pair.answer(self.mine, *chosen)
        self.pair.up()
        if refuse:
            request = self.pair.server.request(AppendRequested)
            self.pair.server.reject(request, errors.ContextLengthExceeded("too long"))
        else:
            self.pair.server.accept()
            if self.theirs.is_sampling:
                self.pair.server.say(self.theirs)
        self.pair.exchange()

    @precondition(lambda self: self.theirs.is_sampling)
    @rule()
    def complete(self) -> None:
        self.pair.server.end(self.theirs)
        self.pair.exchange()

    @precondition(lambda self: self.theirs.has_ended)
    @rule()
    def again(self) -> None:
        self.pair.seen.clear()
        self.mine, self.theirs = self.pair.create()

    @invariant()
    def both_agree(self) -> None:
        if hasattr(self, "pair"):
            assert self.mine.state is self.theirs.state
            assert self.mine.pending_calls == self.theirs.pending_calls
            assert self.mine.next_sequence_number == self.theirs.next_sequence_number
            assert self.pair.numbers(self.mine) == list(range(self.mine.next_sequence_number))
            assert not self.mine.under_way


Agreement.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAgreement = Agreement.TestCase
