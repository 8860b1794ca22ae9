"""What the Open Responses suite checks over WebSocket, in this project's words. A test is named after the suite's."""

from __future__ import annotations

from typing import Any

from compliance_checks import ERROR, INTEGER, check, check_stream, only, record

NOT_FOUND = "previous_response_not_found"


def completed(turn: Any) -> dict[str, Any]:
    assert turn.error is None, turn.error
    final = check_stream(turn.events)
    assert final["status"] == "completed"
    return final


def refused(turn: Any) -> str:
    """The code of an error that came instead of a Response."""
    assert turn.events == [turn.error]
    check(record(type=only("error"), status=INTEGER, sequence_number=INTEGER, error=ERROR), turn.error)
    assert 400 <= turn.error["status"] < 500
    return str(turn.error["error"]["code"])


def test_websocket_response(api: Any) -> None:
    with api.websocket() as socket:
        final = completed(socket.create(input=[{"type": "message", "role": "user", "content": "Good morning!"}]))
    assert final["output"]
    assert final["store"] is True


def test_websocket_sequential_responses(api: Any) -> None:
    with api.websocket() as socket:
        first = completed(socket.create(store=False, input="Good morning!"))
        second = completed(socket.create(store=False, input="Good evening!"))
    assert first["id"] != second["id"]
    assert second["previous_response_id"] is None


def test_websocket_continuation(api: Any) -> None:
    with api.websocket() as socket:
        first = completed(socket.create(store=False, input="Good morning! I am Ada."))
        second = completed(socket.create(store=False, input="Who am I?", previous_response_id=first["id"]))
        alone = completed(socket.create(store=False, input="Who am I?"))
    assert second["previous_response_id"] == first["id"]
    assert second["usage"]["input_tokens"] > alone["usage"]["input_tokens"]


def test_websocket_reconnect_store_false_recovery(api: Any) -> None:
    with api.websocket() as socket:
        first = completed(socket.create(store=False, input="Good morning!"))
    with api.websocket() as socket:
        missed = socket.create(store=False, input="And now?", previous_response_id=first["id"])
        assert refused(missed) == NOT_FOUND
        completed(socket.create(store=False, input="Good morning! And now?"))


def test_websocket_reconnect_after_store_true(api: Any) -> None:
    with api.websocket() as socket:
        first = completed(socket.create(store=True, input="Good morning!"))
    with api.websocket() as socket:
        second = completed(socket.create(input="And now?", previous_response_id=first["id"]))
    assert second["previous_response_id"] == first["id"]


def test_websocket_previous_response_not_found(api: Any) -> None:
    with api.websocket() as socket:
        turn = socket.create(store=False, input="And now?", previous_response_id="resp_that_never_was")
        assert refused(turn) == NOT_FOUND
        assert turn.error["error"]["param"] == "previous_response_id"
        completed(socket.create(store=False, input="Good morning!"))


def test_websocket_failed_continuation_evicts_cache(api: Any) -> None:
    nobody_asked = {"type": "function_call_output", "call_id": "call_that_never_was", "output": "42"}
    with api.websocket() as socket:
        first = completed(socket.create(store=False, input="Good morning!"))
        failed = socket.create(store=False, input=[nobody_asked], previous_response_id=first["id"])
        assert refused(failed) != NOT_FOUND
        retried = socket.create(store=False, input="And now?", previous_response_id=first["id"])
        assert refused(retried) == NOT_FOUND


def test_websocket_compact_new_chain(api: Any) -> None:
    history = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "The meeting is on Friday."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Noted."}]},
    ]
    compacted = api.request("POST", "/responses/compact", {"model": api.model, "input": history})
    assert compacted.status == 200
    asked = {"type": "message", "role": "user", "content": "When is the meeting?"}
    with api.websocket() as socket:
        final = completed(socket.create(store=False, input=[*compacted.body["output"], asked], tools=[]))
    assert final["previous_response_id"] is None
