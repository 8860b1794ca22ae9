"""Two cores joined in memory: a client's connection and a server's, with no transport between them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from caesura.protocol import errors
from caesura.protocol.connection import (
    AppendRequested,
    ClientConnection,
    CreateRequested,
    Received,
    ResponseCancelled,
    ServerConnection,
)
from caesura.protocol.items import FunctionCall, FunctionCallOutput, InputMessage
from caesura.protocol.messages import (
    ErrorEvent,
    OutputItemAdded,
    OutputItemDone,
    Response,
    ResponseCompleted,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
)
from caesura.protocol.response import ResponseMachine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

NOW = 1_000.0


class Pair:
    """A client and a server; :meth:`exchange` moves the frames."""

    def __init__(self) -> None:
        self.client = ClientConnection()
        self.server = ServerConnection()
        self.received: list[Received] = []

    def exchange(self) -> list[Received]:
        for frame in self.client.data_to_send():
            self.server.receive(frame, NOW)
        fresh = [event for frame in self.server.data_to_send() for event in self.client.receive(frame, NOW)]
        self.received += fresh
        return fresh

    def create(self, stream_id: str | None = None) -> tuple[ResponseMachine, ResponseMachine]:
        """A Response in progress, as its client and as its server see it."""
        mine = self.client.create(ResponseCreate(model="m", input="hi", stream_id=stream_id))
        self.exchange()
        request = self.server.next_request()
        assert isinstance(request, CreateRequested)
        self.begin(request)
        return mine, request.response

    def begin(self, request: CreateRequested) -> None:
        self.server.accept(request)
        self.server.emit(request.response, ResponseCreated(response=resource(f"resp_{id(request.response)}")))
        self.exchange()

    def pause(self, response: ResponseMachine, *call_ids: str) -> None:
        for index, call_id in enumerate(call_ids):
            self.server.emit(response, OutputItemDone(output_index=index, item=call(call_id)))
        self.server.emit(response, ResponseDone())
        self.exchange()

    def next_append(self) -> AppendRequested:
        request = self.server.next_request()
        assert isinstance(request, AppendRequested)
        return request


def resource(response_id: str, status: str = "in_progress") -> Response:
    return Response(id=response_id, created_at=NOW, status=status, model="m")


def call(call_id: str) -> FunctionCall:
    return FunctionCall(id=f"fc_{call_id}", call_id=call_id, name="f", arguments="{}")


def output(call_id: str, text: str = "ok") -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=text)


def append_frame(*items: FunctionCallOutput) -> str:
    return json.dumps({"type": "response.append", "input": msgspec.to_builtins(items)})


def only_error(frames: list[str]) -> dict[str, Any]:
    (frame,) = frames
    event: dict[str, Any] = json.loads(frame)
    assert event["type"] == "error"
    assert set(event) >= {"type", "status", "sequence_number", "error"}
    assert set(event["error"]) == {"type", "code", "message", "param"}
    return event


def test_a_whole_rollout() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    pair.pause(theirs, "a", "b")
    assert mine.is_paused
    assert list(mine.pending_calls) == ["a", "b"]
    pair.client.append(mine, [output("b")])
    pair.exchange()
    request = pair.next_append()
    assert not request.resumes
    pair.server.accept(request)
    pair.client.append(mine, [output("a"), InputMessage(role="user", text="and hurry")])
    pair.exchange()
    request = pair.next_append()
    assert request.resumes
    pair.server.accept(request)
    assert not theirs.is_paused
    pair.server.emit(theirs, ResponseCompleted(response=resource(str(theirs.id), "completed")))
    pair.exchange()
    assert mine.has_ended
    assert theirs.has_ended
    assert [received.event.sequence_number for received in pair.received] == list(range(5))
    assert mine.num_pauses == theirs.num_pauses == 1


def test_nothing_may_be_streamed_while_paused() -> None:
    pair = Pair()
    _, theirs = pair.create()
    pair.pause(theirs, "a")
    with pytest.raises(errors.LocalProtocolViolation):
        pair.server.emit(theirs, OutputItemAdded(output_index=1, item=call("x")))
    assert pair.server.data_to_send() == []


def test_a_client_does_not_accept_events_in_a_pause() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    pair.pause(theirs, "a")
    rogue = OutputItemAdded(output_index=1, item=call("x"), sequence_number=mine.next_sequence_number)
    with pytest.raises(errors.RemoteProtocolViolation):
        pair.client.receive(msgspec.json.encode(rogue).decode(), NOW)


def test_a_client_notices_a_lost_event() -> None:
    pair = Pair()
    mine, _ = pair.create()
    skipped = OutputItemAdded(output_index=0, item=call("x"), sequence_number=mine.next_sequence_number + 1)
    with pytest.raises(errors.RemoteProtocolViolation, match="sequence_number"):
        pair.client.receive(msgspec.json.encode(skipped).decode(), NOW)


def test_an_unknown_event_type_is_passed_over() -> None:
    pair = Pair()
    pair.create()
    assert pair.client.receive('{"type":"response.from_the_future","sequence_number":1,"x":{}}', NOW) == []


@pytest.mark.parametrize(
    ("frame", "code", "param"),
    [
        (append_frame(output("nobody")), "unknown_call_id", "input[0].call_id"),
        (append_frame(output("a"), output("a", "no")), "conflicting_output", "input[1].output"),
        ('{"type":"response.append"}', "missing_required_parameter", "input"),
        (
            '{"type":"response.append","input":[{"type":"function_call","call_id":"a","name":"f","arguments":""}]}',
            "invalid_value",
            "input[0].type",
        ),
        ("not json", "invalid_json", None),
        ("[]", "invalid_json", None),
        ("\ud800", "invalid_json", None),
        ('{"type":"response.create","input":' + "[" * 200_000 + "]" * 200_000 + "}", "invalid_json", None),
        (b"\x00\x01", "binary_frame", None),
        ('{"type":"response.destroy"}', "unknown_message_type", "type"),
        ("{}", "unknown_message_type", "type"),
        ('{"type":"response.create","model":"m"}', "missing_required_parameter", "input"),
        ('{"type":"response.create","model":5,"input":"x"}', "invalid_value", "model"),
        ('{"type":"response.create","model":"m","input":"x","stream_id":"a b"}', "invalid_stream_id", "stream_id"),
    ],
)
def test_bad_input_gets_an_error_and_the_paused_response_lives_on(
    frame: str | bytes, code: str, param: str | None
) -> None:
    pair = Pair()
    _, theirs = pair.create()
    pair.pause(theirs, "a")
    pair.server.receive(frame, NOW)
    error = only_error(pair.server.data_to_send())
    assert (error["error"]["code"], error["error"]["param"]) == (code, param)
    assert 400 <= error["status"] < 500
    assert pair.server.next_request() is None
    pair.server.receive(append_frame(output("a")), NOW)
    pair.server.accept(pair.next_append())
    assert not theirs.is_paused


def test_the_same_output_twice_is_no_error_but_a_different_one_is() -> None:
    pair = Pair()
    _, theirs = pair.create()
    pair.pause(theirs, "a", "b")
    pair.server.receive(append_frame(output("a")), NOW)
    pair.server.accept(pair.next_append())
    pair.server.receive(append_frame(output("a")), NOW)
    pair.server.accept(pair.next_append())
    assert pair.server.data_to_send() == []
    pair.server.receive(append_frame(output("a", "changed my mind")), NOW)
    error = only_error(pair.server.data_to_send())
    assert error["error"]["code"] == "conflicting_output"
    assert list(theirs.pending_calls) == ["b"]


def test_an_append_while_sampling_or_after_the_end() -> None:
    pair = Pair()
    _, theirs = pair.create()
    pair.server.emit(theirs, OutputItemDone(output_index=0, item=call("a")))
    pair.server.data_to_send()
    pair.server.receive(append_frame(output("a")), NOW)
    assert only_error(pair.server.data_to_send())["error"]["code"] == "response_not_paused"
    pair.server.emit(theirs, ResponseCompleted(response=resource("r", "completed")))
    pair.server.data_to_send()
    pair.server.receive(append_frame(output("a")), NOW)
    assert only_error(pair.server.data_to_send())["error"]["code"] == "response_already_completed"


def test_an_append_to_nothing() -> None:
    server = ServerConnection()
    server.receive(append_frame(output("a")), NOW)
    assert only_error(server.data_to_send())["error"]["code"] == "response_not_found"


def test_a_refused_append_leaves_both_sides_paused() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    pair.pause(theirs, "a")
    pair.client.append(mine, [output("a", "far too long")])
    assert not mine.is_paused
    pair.exchange()
    pair.server.reject(pair.next_append(), errors.ContextLengthExceeded("too long", param="input"))
    (received,) = pair.exchange()
    assert isinstance(received.event, ErrorEvent)
    assert received.response is mine
    assert not received.rejected
    assert mine.is_paused
    assert theirs.is_paused
    pair.client.append(mine, [output("a", "short")])
    pair.exchange()
    pair.server.accept(pair.next_append())
    assert not theirs.is_paused


def test_a_rejected_create_leaves_the_paused_response_alone() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    pair.pause(theirs, "a")
    refused = pair.client.create(ResponseCreate(model="unknown", input="hi"))
    pair.exchange()
    request = pair.server.next_request()
    assert isinstance(request, CreateRequested)
    pair.server.reject(request, errors.ModelNotFound("no such model", param="model"))
    (received,) = pair.exchange()
    assert received.rejected
    assert received.response is refused
    assert refused.has_ended
    assert mine.is_paused
    assert theirs.is_paused


def test_a_create_supersedes_the_paused_response_of_its_lane() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    pair.pause(theirs, "a")
    _, successor = pair.create()
    assert pair.server.next_request() == ResponseCancelled(theirs)
    assert mine.has_ended
    assert theirs.has_ended
    assert not successor.has_ended


def test_lanes_run_beside_each_other_and_echo_their_name() -> None:
    pair = Pair()
    one, their_one = pair.create("one")
    _, their_two = pair.create("two")
    pair.pause(their_one, "a")
    pair.pause(their_two, "b")
    pair.client.append(one, [output("a")])
    pair.exchange()
    request = pair.next_append()
    assert request.response is their_one
    assert {received.event.stream_id for received in pair.received} == {"one", "two"}


def test_creates_of_one_lane_run_in_order() -> None:
    pair = Pair()
    _, first = pair.create()
    waiting = pair.client.create(ResponseCreate(model="m", input="second"))
    pair.exchange()
    assert pair.server.next_request() is None
    pair.server.emit(first, ResponseCompleted(response=resource(str(first.id), "completed")))
    pair.exchange()
    request = pair.server.next_request()
    assert isinstance(request, CreateRequested)
    pair.begin(request)
    assert not waiting.is_unborn


def test_a_create_that_waited_gets_its_turn_when_the_one_before_it_pauses() -> None:
    """A client that has asked for another Response on the lane doesn't answer the paused one: nobody waits for ever."""
    pair = Pair()
    mine, theirs = pair.create()
    waiting = pair.client.create(ResponseCreate(model="m", input="second"))
    pair.exchange()
    pair.pause(theirs, "a")
    request = pair.server.next_request()
    assert isinstance(request, CreateRequested)
    pair.begin(request)
    assert mine.has_ended
    assert theirs.has_ended
    assert not waiting.is_unborn
    pair.server.next_request()
    pair.server.receive(append_frame(output("a")), NOW)
    assert only_error(pair.server.data_to_send())["error"]["code"] == "response_already_completed"


def test_a_call_that_was_cut_is_not_waited_for() -> None:
    pair = Pair()
    mine, theirs = pair.create()
    cut = msgspec.structs.replace(call("a"), status="incomplete")
    pair.server.emit(theirs, OutputItemDone(output_index=0, item=cut))
    pair.exchange()
    assert not theirs.pending_calls
    assert not mine.pending_calls


def test_too_many_lanes_and_too_many_waiting() -> None:
    server = ServerConnection()
    for index in range(33):
        server.receive(json.dumps({"type": "response.create", "input": "x", "stream_id": f"s{index}"}), NOW)
    assert only_error(server.data_to_send())["error"]["code"] == "websocket_stream_limit_reached"
    for _ in range(17):
        server.receive('{"type":"response.create","input":"x","stream_id":"s0"}', NOW)
    assert {json.loads(frame)["error"]["code"] for frame in server.data_to_send()} == {"server_overloaded"}


def test_closing_cancels_all_that_lives() -> None:
    pair = Pair()
    _, paused = pair.create("one")
    pair.pause(paused, "a")
    _, running = pair.create("two")
    assert set(pair.server.close()) == {paused, running}
    assert paused.has_ended
    assert running.has_ended


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(["model", "input", "tools", "stream_id", "instructions", "seed", "temperature", "metadata"])
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["response.create", "response.append", "response.done", ""])},
    optional={name: JSON for name in ("model", "input", "tools", "stream_id", "temperature", "seed")},
)
FRAMES = (
    st.binary()
    | st.text(alphabet=st.characters())
    | JSON.map(json.dumps)
    | st.dictionaries(FIELDS, JSON).map(json.dumps)
    | MESSAGES.map(json.dumps)
)


@settings(max_examples=400, deadline=None)
@given(st.lists(FRAMES, max_size=6))
def test_any_frames_are_handled_or_answered_with_an_error(frames: list[str | bytes]) -> None:
    pair = Pair()
    _, theirs = pair.create()
    pair.pause(theirs, "a")
    for frame in frames:
        pair.server.receive(frame, NOW)
        handled = 0
        while pair.server.next_request() is not None:
            handled += 1
        sent = pair.server.data_to_send()
        # A create that has to wait for its turn is neither answered nor handed out yet.
        assert handled + len(sent) <= 1
        for text in sent:
            only_error([text])
    assert theirs.is_paused


class Rollout(RuleBasedStateMachine):
    """A client and a server that do whatever the table allows, in any order: both always agree."""

    @initialize()
    def begin(self) -> None:
        self.pair = Pair()
        self.mine, self.theirs = self.pair.create()
        self.num_calls = 0
        self.streaming = True

    @precondition(lambda self: not self.theirs.is_paused and not self.theirs.has_ended)
    @rule()
    def stream(self) -> None:
        self.pair.server.emit(self.theirs, OutputItemAdded(output_index=0, item=call("never")))
        self.pair.exchange()

    @precondition(lambda self: not self.theirs.is_paused and not self.theirs.has_ended)
    @rule(num_calls=st.integers(1, 3))
    def pause(self, num_calls: int) -> None:
        self.pair.pause(self.theirs, *(f"c{self.num_calls + index}" for index in range(num_calls)))
        self.num_calls += num_calls

    @precondition(lambda self: self.theirs.is_paused)
    @rule(data=st.data(), refuse=st.booleans())
    def append(self, data: st.DataObject, refuse: bool) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.mine.pending_calls)), min_size=1, unique=True))
        before = self.pair.received[-1].event.sequence_number
        self.pair.client.append(self.mine, [output(call_id) for call_id in chosen])
        self.pair.exchange()
        request = self.pair.next_append()
        if refuse:
            self.pair.server.reject(request, errors.ContextLengthExceeded("too long"))
            (received,) = self.pair.exchange()
            assert isinstance(received.event, ErrorEvent)
            self.pair.received.pop()
        else:
            self.pair.server.accept(request)
            assert self.pair.exchange() == []
        assert self.pair.received[-1].event.sequence_number == before

    @precondition(lambda self: not self.theirs.is_paused and not self.theirs.has_ended)
    @rule()
    def complete(self) -> None:
        self.pair.server.emit(self.theirs, ResponseCompleted(response=resource(str(self.theirs.id), "completed")))
        self.pair.exchange()

    @precondition(lambda self: self.theirs.has_ended)
    @rule()
    def again(self) -> None:
        self.pair.received.clear()
        self.mine, self.theirs = self.pair.create()

    @invariant()
    def both_agree(self) -> None:
        if hasattr(self, "pair"):
            assert self.mine.state is self.theirs.state
            assert self.mine.pending_calls == self.theirs.pending_calls
            assert self.mine.next_sequence_number == self.theirs.next_sequence_number

    @invariant()
    def sequence_numbers_rise_by_one(self) -> None:
        if hasattr(self, "pair"):
            numbers = [received.event.sequence_number for received in self.pair.received]
            assert numbers == list(range(len(numbers)))


Rollout.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestRollout = Rollout.TestCase
