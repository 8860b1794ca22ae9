"""Frames that can't be read or carried out: each is answered by one error, and nothing else changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import Server, output

requirement = pytest.mark.requirement

DEEP = '{"type":"response.create","input":' + "[" * 200_000 + "]" * 200_000 + "}"
BAD_FRAMES: list[tuple[str | bytes, str, str | None]] = [
    (b"\x00\x01", "binary_frame", None),
    (b'{"type":"response.create"}', "binary_frame", None),
    ("", "invalid_json", None),
    ("not json", "invalid_json", None),
    ("[]", "invalid_json", None),
    ('"response.create"', "invalid_json", None),
    ("null", "invalid_json", None),
    ('{"type":"response.create"', "invalid_json", None),
    ('{"type":"response.create","input":"\\ud800"}', "invalid_json", None),
    ("\ud800", "invalid_json", None),
    ('{"type":"response.create","input":NaN}', "invalid_json", None),
    (DEEP, "message_too_deep", None),
    ("{}", "unknown_message_type", "type"),
    ('{"type":"response.destroy"}', "unknown_message_type", "type"),
    ('{"type":"response.done"}', "unknown_message_type", "type"),
    ('{"type":"error"}', "unknown_message_type", "type"),
    ('{"type":null}', "unknown_message_type", "type"),
    ('{"type":["response.create"]}', "unknown_message_type", "type"),
    ('{"type":"response.create","model":"m"}', "missing_required_parameter", "input"),
    ('{"type":"response.create","model":5,"input":"x"}', "invalid_value", "model"),
    ('{"type":"response.create","input":"x","metadata":{"a":1}}', "invalid_value", "metadata[...]"),
    ('{"type":"response.create","input":"x","seed":1e400}', "invalid_value", "seed"),
    ('{"type":"response.create","input":"x","stream_id":"a b"}', "invalid_stream_id", "stream_id"),
    ('{"type":"response.create","input":"x","stream_id":3}', "invalid_value", "stream_id"),
    ('{"type":"response.append","input":1e400}', "invalid_value", "input"),
    ('{"type":"response.append","response_id":3,"input":[]}', "invalid_value", "response_id"),
    ('{"type":"response.cancel","response_id":{}}', "invalid_value", "response_id"),
    ('{"type":"response.resume"}', "invalid_value", None),
    ('{"type":"response.resume","response_id":"x","starting_after":null}', "invalid_value", "starting_after"),
    ('{"type":"response.resume","response_id":"x","starting_after":99999999999999999999}', "response_not_found", None),
]


@requirement("binary-refused", "bad-json", "unknown-type", "error-shape", "error-lives", "error-apart", "limit-depth")
@pytest.mark.parametrize(("frame", "code", "param"), BAD_FRAMES)
def test_a_bad_frame_is_answered_and_the_paused_response_lives_on(
    frame: str | bytes, code: str, param: str | None
) -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    for number in range(2):
        peer.send_raw(frame)
        error = peer.error()
        assert error["sequence_number"] == number  # the connection's own count
        assert error["error"]["code"] == code
        assert param is None or error["error"]["param"] == param
        assert set(error["error"]) == {"type", "code", "message", "param"}
        assert error["error"]["message"]
        assert 400 <= error["status"] < 500
        assert server.is_idle()
    assert response.next_sequence_number == 3
    peer.append(output("a"))
    server.accept()
    assert response.is_sampling


@requirement("error-lane")
@pytest.mark.parametrize(
    "frame",
    [
        '{"stream_id":"one","type":"response.destroy"}',
        '{"stream_id":"one","type":"response.create","model":5}',
        '{"stream_id":"one","type":"response.create"}',
        '{"stream_id":"one","type":"response.append","input":[]}',
        '{"stream_id":"one","type":"response.cancel"}',
        '{"stream_id":"one","type":"response.resume","response_id":"x"}',
        '{"stream_id":"one"}',
    ],
)
def test_an_error_echoes_the_lane(frame: str) -> None:
    server = Server()
    peer = server.connect()
    peer.send_raw(frame)
    assert peer.error()["stream_id"] == "one"
    fields = json.loads(frame)
    del fields["stream_id"]
    peer.send_raw(json.dumps(fields))
    assert "stream_id" not in peer.error()


@requirement("error-lane")
@pytest.mark.parametrize("name", ['"a b"', "3", "null", '"' + "x" * 300 + '"', '["one"]'])
def test_what_is_no_name_is_not_echoed(name: str) -> None:
    server = Server()
    peer = server.connect()
    peer.send_raw('{"stream_id":' + name + ',"type":"response.destroy"}')
    assert "stream_id" not in peer.error()


@requirement("unknown-fields", "append-response-id")
@pytest.mark.parametrize("extra", [{"client_metadata": {"a": [1]}}, {"stream": True, "background": None}, {"": ""}])
def test_fields_that_are_not_known_are_ignored(extra: dict[str, object]) -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a", **extra)
    peer.append(output("a", note=3), response_id=response.id, **extra)
    server.accept()
    peer.send("response.cancel", **extra)
    server.end_as_asked()
    peer.read()
    peer.send("response.resume", response_id=response.id, **extra)
    assert peer.types()[0] == "response.resumed"


@requirement("created-first", "sequence-numbers", "done-fields", "done-segment", "error-apart")
def test_a_whole_rollout_on_the_wire() -> None:
    server = Server()
    peer = server.connect()
    peer.send("response.create", model="m", input="hi")
    response = server.begin()
    server.say(response)
    server.pause(response, "a")
    peer.send_raw("not json")
    peer.append(output("a"))
    server.accept()
    server.say(response)
    server.pause(response, "b")
    peer.append(output("b"))
    server.accept()
    server.end(response)
    frames = peer.read()
    events = [event for event in frames if event["type"] != "error"]
    assert len(frames) == len(events) + 1
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[0]["response"]["status"]) == ("response.created", "in_progress")
    pauses = [event["response"] for event in events if event["type"] == "response.done"]
    assert [pause["id"] for pause in pauses] == [response.id] * 2
    assert [pause["status"] for pause in pauses] == ["in_progress"] * 2
    assert [[item["id"] for item in pause["output"]] for pause in pauses] == [["msg_0", "fc_a"], ["msg_2", "fc_b"]]
    assert [len(pause["required_input"]) for pause in pauses] == [1, 1]


@requirement("done-size", "done-segment")
def test_a_pause_costs_the_same_at_turn_1_and_at_turn_500() -> None:
    server = Server()
    peer = server.connect()
    response = peer.create()
    sizes = []
    for turn in range(500):
        server.pause(response, f"call-{turn:04}")
        *_, done = peer.read()
        sizes.append(len(json.dumps({**done, "sequence_number": 0})))
        peer.append(output(f"call-{turn:04}"))
        server.accept()
    assert len(set(sizes)) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
TYPES = st.sampled_from(
    ["response.create", "response.append", "response.cancel", "response.resume", "response.done", ""]
)
NAMES = ("model", "input", "tools", "stream_id", "temperature", "seed", "response_id", "starting_after")
FRAMES = (
    st.binary()
    | st.text(alphabet=st.characters())
    | JSON.map(json.dumps)
    | st.fixed_dictionaries({"type": TYPES}, optional=dict.fromkeys(NAMES, JSON)).map(json.dumps)
)


@requirement("error-lives", "error-shape")
@settings(max_examples=150, deadline=None)
@given(st.lists(FRAMES, max_size=6))
def test_any_frames_are_handled_or_answered_with_an_error(frames: list[str | bytes]) -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    for frame in frames:
        peer.send_raw(frame)
        request = server.core.next_request()
        answers = peer.read()
        assert all(answer["type"] == "error" for answer in answers)
        # A create that has to wait for its turn is neither answered nor handed out yet.
        assert (request is not None) + len(answers) <= 1
        assert server.is_idle()
    assert response.next_sequence_number == 3
    assert response.is_paused
