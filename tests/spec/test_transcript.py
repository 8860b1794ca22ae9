"""The worked transcript is what the real cores say to each other: each is played against the text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caesura.protocol.append_items import parse_append
from caesura.protocol.client import ClientProtocol, ClientResponse
from caesura.protocol.codec import decode_client_message, decode_server_event
from caesura.protocol.events import ResponseAppended, ResponseCompleted
from caesura.protocol.messages import ResponseAppend, ResponseCreate, ResponseResume
from caesura.protocol.server import AppendRequested, CreateRequested, ServerProtocol, ServerResponse

if TYPE_CHECKING:
    from .conftest import Example

NOW = 1_000.0
Turn = tuple[dict[str, Any], list[dict[str, Any]]]


def turns(transcript: list[Example]) -> list[Turn]:
    """What the client says, and all that the server says before the client speaks again."""
    found: list[Turn] = []
    for example in transcript:
        if example.direction == "client":
            found.append((example.message, []))
        else:
            found[-1][1].append(example.message)
    return found


def drained(next_frame: Callable[[], str | None]) -> list[dict[str, Any]]:
    frames = []
    while (frame := next_frame()) is not None:
        frames.append(json.loads(frame))
    return frames


def shown(sent: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """Of a message that was sent, what the text shows: it leaves out the fields that echo the request."""
    if "response" not in example:
        return sent
    return {**sent, "response": {key: sent["response"][key] for key in example["response"]}}


def test_it_tells_of_a_loss_an_early_answer_and_a_pause(transcript: list[Example]) -> None:
    said = [example.message["type"] for example in transcript]
    assert [kind for kind in said if kind in ("response.append", "response.appended", "response.done")] == [
        "response.append",
        "response.appended",
        "response.done",
        "response.append",
    ]
    assert said[-1] == "response.completed"
    numbers = [each.message["sequence_number"] for each in transcript if "sequence_number" in each.message]
    assert numbers == list(range(len(numbers)))


def test_the_server_says_it(transcript: list[Example]) -> None:
    server = ServerProtocol()
    connection = server.connect(NOW)
    response: ServerResponse | None = None

    def emit(messages: list[dict[str, Any]]) -> None:
        for message in messages:
            event = decode_server_event(json.dumps(message))
            if "sequence_number" in message and not isinstance(event, ResponseAppended):
                assert response is not None
                server.emit(response, event, NOW)  # type: ignore[arg-type]

    for said, answers in turns(transcript):
        message = decode_client_message(json.dumps(said))
        if isinstance(message, ResponseResume):
            emit(answers)  # the client does not get them: its connection is gone
            drained(connection.next_frame)
            connection.lost(NOW)
            connection = server.connect(NOW)
        connection.receive(json.dumps(said), NOW)
        request = server.next_request()
        if isinstance(request, CreateRequested | AppendRequested):
            response = request.response
            server.accept(request, NOW)
        if not isinstance(message, ResponseResume):
            emit(answers)
        sent = drained(connection.next_frame)
        assert [shown(*pair) for pair in zip(sent, answers, strict=True)] == answers
        assert server.next_request() is None
    assert response is not None
    assert response.has_ended


def test_the_client_says_it(transcript: list[Example]) -> None:
    client = ClientProtocol()
    client.connected()
    response: ClientResponse | None = None
    numbers: list[int] = []
    for said, answers in turns(transcript):
        message = decode_client_message(json.dumps(said))
        match message:
            case ResponseCreate():
                response = client.create(message)
            case ResponseAppend():
                assert response is not None
                append = parse_append(message.input, max_items=10)
                assert {call.call_id for call in response.open_calls} >= set(append.call_ids)
                client.append(response, [*append.outputs, *append.messages])
            case ResponseResume():
                client.disconnected()
                client.connected()
        assert drained(client.next_frame) == [said]
        for answer in answers:
            received = client.receive(json.dumps(answer))
            assert received is not None
            assert received.response is response
            if "sequence_number" in answer:
                numbers.append(answer["sequence_number"])
    assert response is not None
    assert response.has_ended
    assert numbers == list(range(response.next_sequence_number))
    assert response.num_pauses == 1
    assert not response.under_way


def test_it_ends_with_what_was_done(transcript: list[Example]) -> None:
    """Segments and the final output hold the same items."""
    events = [decode_server_event(each.frame) for each in transcript if each.direction == "server"]
    final = events[-1]
    assert isinstance(final, ResponseCompleted)
    done = [each.message["item"] for each in transcript if each.message["type"] == "response.output_item.done"]
    segments = [each.message["response"] for each in transcript if each.message["type"] == "response.done"]
    assert transcript[-1].message["response"]["output"] == done
    assert segments[0]["output"] == done[:2]
    usage = transcript[-1].message["response"]["usage"]
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]
    assert all(usage[key] >= segments[0]["usage"][key] for key in ("input_tokens", "output_tokens"))
