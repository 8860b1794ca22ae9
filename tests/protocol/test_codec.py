"""Text frames to messages and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from caesura.protocol.codec import decode_client_message, decode_server_event, encode
from caesura.protocol.errors import CaesuraError, MessageTooDeep, MessageTooLarge, RemoteProtocolViolation
from caesura.protocol.events import OutputTextDelta, ResponseCreated, ResponseDetached, ResponseResumed
from caesura.protocol.items import FunctionCallOutput, InputMessage
from caesura.protocol.limits import Limits
from caesura.protocol.messages import ClientMessage, ResponseAppend, ResponseCancel, ResponseCreate, ResponseResume
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import resource

requirement = pytest.mark.requirement


def depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


LEAVES = st.none() | st.integers(-9, 9) | st.text(st.sampled_from('[]{}"\\/ a\n😀'), max_size=6)
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.sampled_from('[{"\\'), max_size=3), inner),
    max_leaves=40,
)


@requirement("limit-depth")
@settings(max_examples=200, deadline=None)
@given(NESTED, st.integers(1, 8), st.booleans())
def test_the_depth_check_against_a_plain_recursion(value: Any, bound: int, ascii_only: bool) -> None:
    frame = json.dumps({"type": "response.append", "input": value}, ensure_ascii=ascii_only)
    is_too_deep = depth(value) + 1 > bound
    try:
        message = decode_client_message(frame, Limits(max_depth=bound))
    except MessageTooDeep:
        assert is_too_deep
    else:
        assert not is_too_deep
        assert isinstance(message, ResponseAppend)
        assert message.input == value


@requirement("limit-message-size")
@given(st.text(st.sampled_from("aä€😀"), max_size=40), st.integers(40, 120))
def test_the_size_is_counted_in_bytes(text: str, bound: int) -> None:
    frame = json.dumps({"type": "response.create", "input": text}, ensure_ascii=False)
    try:
        decode_client_message(frame, Limits(max_message_bytes=bound))
    except MessageTooLarge:
        assert len(frame.encode()) > bound
    else:
        assert len(frame.encode()) <= bound


TEXT = st.text(max_size=12)
KEYS = st.text(min_size=1, max_size=12)
ITEMS = st.lists(
    st.builds(FunctionCallOutput, call_id=TEXT, output=TEXT, status=st.sampled_from(FunctionCallOutput.STATUSES))
    | st.builds(InputMessage, role=st.sampled_from(InputMessage.ROLES), text=TEXT),
    max_size=4,
)
CLIENT_MESSAGES: st.SearchStrategy[ClientMessage] = st.one_of(
    st.builds(ResponseCreate, model=TEXT, input=TEXT, idempotency_key=st.none() | KEYS, stream_id=st.none() | TEXT),
    st.builds(ResponseAppend, input=ITEMS, response_id=st.none() | TEXT),
    st.builds(ResponseCancel, response_id=st.none() | TEXT, idempotency_key=st.none() | KEYS),
    st.builds(ResponseResume, response_id=TEXT, starting_after=st.integers(-1, 2**60)),
)


@requirement("text-frames")
@given(CLIENT_MESSAGES)
def test_what_a_client_writes_is_read_as_it_was_meant(message: ClientMessage) -> None:
    frame = encode(message)
    assert isinstance(json.loads(frame), dict)
    assert encode(decode_client_message(frame)) == frame


@pytest.mark.parametrize(
    "event",
    [
        ResponseCreated(response=resource("resp_1"), sequence_number=0),
        OutputTextDelta(item_id="m", output_index=0, content_index=0, delta="ü", sequence_number=7, stream_id="one"),
        ResponseResumed(response_id="r", starting_after=-1, last_sequence_number=3, status="in_progress"),
        ResponseDetached(response_id="r"),
    ],
)
def test_what_a_server_writes_is_read_as_it_was_meant(event: Any) -> None:
    frame = encode(event)
    assert ("stream_id" in json.loads(frame)) == (event.stream_id == "one")
    again = decode_server_event(frame)
    assert again is not None
    assert json.loads(encode(again)) == json.loads(frame)


@requirement("client-unknown-events")
@pytest.mark.parametrize("kind", ["response.from_the_future", "responsesapi.websocket_timing", "response.create"])
def test_an_unknown_event_is_none(kind: str) -> None:
    assert decode_server_event(json.dumps({"type": kind, "sequence_number": 3, "x": {}})) is None


@requirement("client-binary")
@pytest.mark.parametrize(
    "frame",
    [
        b"{}",
        "not json",
        "[]",
        "{}",
        '{"type":"response.created"}',
        '{"type":"response.done","sequence_number":"3"}',
        '{"type":"error","status":"400","error":{}}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_what_a_client_can_not_read_breaks_the_protocol(frame: str | bytes) -> None:
    with pytest.raises(RemoteProtocolViolation):
        decode_server_event(frame)


@given(st.text() | st.binary())
def test_nothing_but_our_errors_is_raised(frame: str | bytes) -> None:
    with pytest.raises(CaesuraError):
        decode_client_message(frame)
    try:
        event = decode_server_event(frame)
    except RemoteProtocolViolation:
        return
    assert event is None
