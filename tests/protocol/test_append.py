"""``response.append``: what it takes, what it changes, and how it is answered."""

from __future__ import annotations

from typing import Any

import pytest
from caesura.protocol.errors import ContextLengthExceeded
from caesura.protocol.events import OutputItemDone
from caesura.protocol.server import AppendRequested
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import Json, Server, call, message, output

requirement = pytest.mark.requirement


@requirement("append-resumes", "append-lane", "sequence-numbers", "done-silence")
def test_the_append_that_answers_the_last_open_call_ends_the_pause() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    peer.append(output("a"))
    request = server.accept()
    assert not request.is_repeat
    assert response.is_sampling
    assert peer.read() == []  # what comes next is the acknowledgement
    server.say(response)
    assert [event["sequence_number"] for event in peer.read()] == [3, 4]


@requirement("append-one-by-one", "append-ack", "append-ack-numbered")
def test_calls_are_answered_one_by_one_in_any_order() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a", "b", "c")
    peer.append(output("b"))
    server.accept()
    (ack,) = peer.read()
    assert ack == {
        "type": "response.appended",
        "sequence_number": 5,
        "response_id": response.id,
        "answered": ["b"],
        "pending": ["a", "c"],
    }
    peer.append(output("c"), output("a"))
    server.accept()
    assert response.is_sampling
    assert peer.read() == []


@requirement("append-early", "append-early-no-pause", "append-ack")
def test_a_call_is_answered_while_the_model_samples_the_next() -> None:
    server = Server()
    peer = server.connect()
    response = peer.create()
    server.call(response, "a")
    peer.read()
    peer.append(output("a"))
    server.accept()
    (ack,) = peer.read()
    assert (ack["answered"], ack["pending"], ack["sequence_number"]) == (["a"], [], 2)
    assert response.is_sampling
    assert response.required_input == []  # nothing to pause for


@requirement("append-early", "done-required-input")
def test_a_pause_asks_only_for_what_was_not_answered_early() -> None:
    server = Server()
    peer = server.connect()
    response = peer.create()
    server.call(response, "a", "b")
    peer.read()
    peer.append(output("a"))
    server.accept()
    server.pause(response, "c")
    done = peer.read()[-1]
    assert done["response"]["required_input"] == [
        {"type": "function_call_output", "call_id": call_id, "name": "f"} for call_id in ("b", "c")
    ]


@requirement("done-required-input", "append-unknown-call")
def test_a_call_that_was_cut_is_not_waited_for() -> None:
    server = Server()
    peer = server.connect()
    response = peer.create()
    server.emit(response, OutputItemDone(output_index=0, item=call("a", status="incomplete")))
    peer.read()
    peer.append(output("a"))
    assert peer.code() == "tool_call_not_found"


GOOD = [output("a"), output("b")]


@requirement("append-atomic", "append-error-input", "error-lives", "error-apart", "append-unknown-call")
@pytest.mark.parametrize(
    ("items", "code", "param"),
    [
        ([*GOOD, output("nobody")], "tool_call_not_found", "input[2].call_id"),
        ([*GOOD, output("a", "no")], "tool_call_already_answered", "input[2].output"),
        ([*GOOD, output("known", "no")], "tool_call_already_answered", "input[2].output"),
        ([*GOOD, message(role="assistant")], "invalid_value", "input[2].role"),
        ([*GOOD, message(role="robot")], "invalid_value", "input[2].role"),
        ([output("a"), message(), output("b")], "invalid_value", "input[2]"),
        ([*GOOD, {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}], "invalid_value", None),
        ([*GOOD, {"type": "item_reference", "id": "x"}], "invalid_value", "input[2].type"),
        ([*GOOD, output("a", [{"type": "input_image"}])], "unsupported_content", "input[2].output[0]"),
        ([*GOOD, output("a", status="done")], "invalid_value", "input[2].status"),
        ([*GOOD, 3], "invalid_value", "input[2]"),
        ([], "missing_required_parameter", "input"),
        (None, "missing_required_parameter", "input"),
        ("", "missing_required_parameter", "input"),
        ([{"type": "reasoning", "summary": []}], "missing_required_parameter", "input"),
        (3, "invalid_value", "input"),
    ],
)
def test_one_bad_item_refuses_the_whole_append(items: Any, code: str, param: str | None) -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("known", "a", "b")
    peer.append(output("known"))
    server.accept()
    number = peer.read()[0]["sequence_number"]
    peer.send("response.append", input=items)
    error = peer.error()
    assert error["error"]["code"] == code
    assert param is None or error["error"]["param"] == param
    assert (error["response_id"], error.get("input", "absent")) == (response.id, items)
    assert server.is_idle()
    assert response.is_paused
    assert list(response.pending_calls) == ["a", "b"]
    assert response.next_sequence_number == number + 1
    peer.append(*GOOD)
    server.accept()
    assert response.is_sampling


@requirement("append-idempotent")
@pytest.mark.parametrize("is_paused", [True, False])
def test_the_same_output_again_is_acknowledged_and_changes_nothing(is_paused: bool) -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a", "b") if is_paused else peer.create()
    if not is_paused:
        server.call(response, "a", "b")
    peer.append(output("a"), message())
    server.accept()
    first = peer.read()[-1]
    peer.append(output("a"), message())
    assert server.accept().is_repeat
    (again,) = peer.read()
    assert again == {**first, "sequence_number": first["sequence_number"] + 1}
    assert list(response.pending_calls) == ["b"]


@requirement("append-idempotent")
def test_the_append_that_ended_the_pause_may_be_sent_again() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    peer.append(output("a", [{"type": "input_text", "text": "o"}, {"type": "input_text", "text": "k"}]))
    server.accept()
    peer.append(output("a", "ok", status="completed"))
    assert server.accept().is_repeat
    (ack,) = peer.read()
    assert (ack["answered"], ack["pending"]) == (["a"], [])
    assert response.is_sampling


@requirement("append-idempotent", "append-messages")
def test_an_append_of_known_outputs_and_a_known_message_is_a_repeat_whichever_output_came_with_it() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a", "b", "c")
    peer.append(output("a"))
    server.accept()
    both = [output("a"), output("b"), message()]
    peer.append(*both)
    server.accept()
    peer.append(*both)
    assert server.request(AppendRequested).is_repeat
    assert list(response.pending_calls) == ["c"]


def test_a_repeat_with_another_message_brings_that_message() -> None:
    server = Server()
    peer = server.connect()
    peer.paused("a", "b")
    peer.append(output("a"), message("one"))
    server.accept()
    peer.append(output("a"), message("two"))
    assert not server.accept().is_repeat


@requirement("append-conflict")
def test_a_different_output_is_refused_and_the_first_one_stands() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a", "b")
    peer.append(output("a"))
    server.accept()
    peer.read()
    for other in (output("a", "changed my mind"), output("a", status="failed")):
        peer.append(other)
        error = peer.error()
        assert (error["status"], error["error"]["code"]) == (409, "tool_call_already_answered")
    first = response.answers["a"].output
    assert first is not None
    assert (first.output, first.status) == ("ok", "completed")


@requirement("append-ended", "cancel-append")
@pytest.mark.parametrize("status", ["completed", "failed", "incomplete", "cancelled"])
@pytest.mark.parametrize("by_id", [True, False])
def test_an_append_to_a_response_that_has_ended(status: str, by_id: bool) -> None:
    server = Server()
    peer = server.connect()
    response = peer.create()
    server.call(response, "a")
    server.end(response, status)
    peer.read()
    peer.append(output("a"), **({"response_id": response.id} if by_id else {}))
    error = peer.error()
    assert error["error"]["code"] == "response_already_completed"
    assert status in error["error"]["message"]
    assert error["response_id"] == response.id


@requirement("append-no-response")
@pytest.mark.parametrize("fields", [{}, {"response_id": "resp_x"}, {"stream_id": "one"}, {"stream_id": "not a name"}])
def test_an_append_to_nothing(fields: Json) -> None:
    server = Server()
    peer = server.connect()
    peer.append(output("a"), **fields)
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (404, "response_not_found")
    assert error["input"] == [output("a")]
    assert "response_id" not in error


@requirement("append-no-response")
def test_an_append_to_what_is_only_asked_for() -> None:
    server = Server()
    peer = server.connect()
    peer.send("response.create", model="m", input="hi")
    peer.append(output("a"))
    assert peer.code() == "response_not_found"


@requirement("append-response-id", "append-lane")
def test_which_response_an_append_is_for() -> None:
    server = Server()
    peer = server.connect()
    default, named = peer.paused("a"), peer.paused("a", stream_id="one")
    peer.append(output("a", "for the default lane"))
    assert server.accept().response is default
    peer.append(output("a", "for the named one"), stream_id="one")
    assert server.accept().response is named
    server.pause(named, "b")
    peer.append(output("b"), response_id=named.id)
    assert server.accept().response is named


@requirement("append-messages")
def test_messages_come_after_the_outputs() -> None:
    server = Server()
    peer = server.connect()
    peer.paused("a")
    peer.append(output("a"), message("one", "user"), message("two", "developer"), message("three", "system"))
    request = server.accept()
    assert [each.call_id for each in request.append.outputs] == ["a"]
    assert [(each.role, each.text) for each in request.append.messages] == [
        ("user", "one"),
        ("developer", "two"),
        ("system", "three"),
    ]


@requirement("append-messages", "append-ack")
@pytest.mark.parametrize("items", [[message()], "and hurry"])
def test_messages_alone_are_taken_in_a_pause(items: Any) -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    peer.send("response.append", input=items)
    server.accept()
    (ack,) = peer.read()
    assert (ack["answered"], ack["pending"]) == ([], ["a"])
    assert response.is_paused


@requirement("append-messages-paused")
@pytest.mark.parametrize("items", [[message()], [output("a"), message("new")]])
def test_messages_without_a_new_output_wait_for_a_pause(items: list[Json]) -> None:
    server = Server()
    peer = server.connect()
    response = peer.create()
    server.call(response, "a")
    peer.append(output("a"))
    server.accept()
    peer.read()
    peer.append(*items)
    error = peer.error()
    assert (error["status"], error["error"]["code"]) == (409, "response_not_paused")
    assert error["input"] == items


@requirement("append-messages-last", "append-messages-role")
@pytest.mark.parametrize("items", [[message(), output("a")], [message(role="assistant")]])
def test_which_messages_are_refused(items: list[Json]) -> None:
    server = Server()
    peer = server.connect()
    peer.paused("a")
    peer.append(*items)
    assert peer.code() == "invalid_value"


@requirement("append-parts", "append-failed")
@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_outputs_are_strings_or_parts_and_have_a_status(status: str) -> None:
    server = Server()
    peer = server.connect()
    peer.paused("a")
    parts = [{"type": "input_text", "text": "it "}, {"type": "output_text", "text": "broke"}]
    peer.append(output("a", parts, status=status))
    (item,) = server.accept().append.outputs
    assert (item.output, item.status) == ("it broke", status)


def test_reasoning_that_a_client_sends_back_is_passed_over() -> None:
    server = Server()
    peer = server.connect()
    peer.paused("a")
    peer.append({"type": "reasoning", "summary": []}, output("a"))
    assert len(server.accept().append.outputs) == 1


@requirement("append-atomic", "append-error-input")
def test_an_append_that_the_runtime_refuses_leaves_the_response_paused() -> None:
    server = Server()
    peer = server.connect()
    response = peer.paused("a")
    peer.append(output("a", "far too long"))
    server.reject(server.request(AppendRequested), ContextLengthExceeded("too long", param="input"))
    error = peer.error()
    assert (error["response_id"], error["input"]) == (response.id, [output("a", "far too long")])
    assert response.is_paused
    peer.append(output("a", "short"))
    server.accept()
    assert response.is_sampling


@requirement("append-one-by-one", "append-atomic")
@settings(max_examples=60, deadline=None)
@given(st.permutations(range(5)), st.lists(st.integers(1, 5), max_size=5))
def test_any_partition_of_the_answers_in_any_order(order: list[int], sizes: list[int]) -> None:
    """Whatever comes when: each call is answered once, the last append ends the pause, and what the runtime reads the
    outputs by, the order of the calls, stays that of the sampling."""
    server = Server()
    peer = server.connect()
    response = peer.paused(*map(str, range(5)))
    left = [str(number) for number in order]
    while left:
        size = sizes.pop() if sizes else len(left)
        chosen, left = left[:size], left[size:]
        peer.append(*(output(call_id, f"out {call_id}") for call_id in chosen))
        server.accept()
        assert list(response.pending_calls) == sorted(left)
        assert response.is_paused == bool(left)
    assert {call_id: each.output.output for call_id, each in response.answers.items() if each.output} == {
        str(number): f"out {number}" for number in range(5)
    }
    assert [item.call_id for item in response.output] == list(map(str, range(5)))  # type: ignore[union-attr]
