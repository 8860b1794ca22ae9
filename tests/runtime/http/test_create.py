"""``POST /v1/responses``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from caesura.protocol.limits import Limits
from caesura.runtime.http.api import Api
from caesura.runtime.http.routes import routes
from starlette.applications import Starlette

TOOL: dict[str, Any] = {
    "type": "function",
    "name": "read_file",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
CALL = {"name": "read_file", "arguments": {"path": "a.py"}}
LONG = "A long text that is cut off in the middle of it all. " * 20
TIMING = re.compile(r"[a-z_]+;dur=[0-9.e+-]+(, [a-z_]+;dur=[0-9.e+-]+)*")


def test_without_stream_it_is_the_final_response(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await server.create()
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(b"".join(answer.chunks))
        response = answer.json
        assert (response["object"], response["status"]) == ("response", "completed")
        assert response["output"][0]["content"][0]["text"] == "Hello."
        assert response["usage"]["output_tokens"] > 0
        timing = answer.headers["server-timing"]
        assert TIMING.fullmatch(timing)
        names = set(re.findall(r"([a-z_]+);", timing))
        assert {"inference", "api", "post", "validate", "render", "tokenise", "total"} <= names

    serve(scenario, [{"text": "Hello."}])


def test_with_stream_it_is_its_events(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await server.create(stream=True)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
        assert TIMING.fullmatch(answer.headers["server-timing"])
        assert answer.chunks[-1] == b"data: [DONE]\n\n"
        events = answer.events
        assert len(answer.chunks) == len(events) + 1
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert answer.types[0] == "response.created"
        assert answer.types[-1] == "response.completed"
        assert "".join(event.get("delta", "") for event in events) == "Hello, wörld\u2028!"
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello, wörld\u2028!"

    serve(scenario, [{"text": "Hello, wörld\u2028!"}])


def test_a_call_ends_the_response_and_the_full_history_goes_on(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        question = {"role": "user", "content": "What is in a.py?"}
        first = (await server.create(input=[question], tools=[TOOL], store=False)).json
        assert first["status"] == "completed"
        (call,) = first["output"]
        assert (call["type"], call["name"], call["status"]) == ("function_call", "read_file", "completed")
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "empty"}
        second = (await server.create(input=[question, *first["output"], output], tools=[TOOL], store=False)).json
        assert second["output"][0]["content"][0]["text"] == "Nothing."

    serve(scenario, [{"calls": [CALL]}, {"text": "Nothing."}])


def test_a_stored_response_is_continued_by_its_id(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        first = (await server.create(input="What is in a.py?", tools=[TOOL])).json
        output = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "empty"}
        second = await server.create(input=[output], tools=[TOOL], previous_response_id=first["id"])
        assert second.status == 200
        assert second.json["previous_response_id"] == first["id"]
        assert second.json["output"][0]["content"][0]["text"] == "Nothing."
        assert second.json["usage"]["input_tokens"] > first["usage"]["input_tokens"]
        server.key = "somebody else"
        other = await server.create(input=[output], tools=[TOOL], previous_response_id=first["id"])
        assert (other.status, other.error["code"]) == (400, "previous_response_not_found")

    serve(scenario, [{"calls": [CALL]}, {"text": "Nothing."}])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "gpt-17"}, 404, "model_not_found", "model"),
        ({"model": None}, 400, "missing_required_parameter", "model"),
        ({"input": None}, 400, "missing_required_parameter", "input"),
        ({"temperature": "hot"}, 400, "invalid_value", "temperature"),
        ({"temperature": -1}, 400, "invalid_value", "temperature"),
        ({"input": "long " * 3000}, 400, "context_length_exceeded", "input"),
        ({"previous_response_id": "resp_x"}, 400, "previous_response_not_found", "previous_response_id"),
        ({"background": True, "store": False}, 400, "invalid_value", "background"),
    ],
)
def test_what_is_wrong_is_answered_before_anything_is_sent(
    serve: Any, stream: bool, fields: dict[str, Any], status: int, code: str, param: str
) -> None:
    async def scenario(server: Any) -> None:
        answer = await server.create(stream=stream, **fields)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param)

    serve(scenario, [{"text": "Never said."}])


def test_a_body_that_is_no_create(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await server.request("POST", "/v1/responses", b"{")
        assert (answer.status, answer.error["code"]) == (400, "invalid_json")
        answer = await server.create(input="x" * 3000)
        assert (answer.status, answer.error["code"]) == (413, "message_too_large")
        answer = await server.create(input=[[[[[["deep"]]]]]])
        assert (answer.status, answer.error["code"]) == (400, "message_too_deep")

    serve(scenario, limits=Limits(max_message_bytes=2000, max_depth=5))


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_fails_after_it_began_is_answered_as_failed(serve: Any, stream: bool) -> None:
    """A script without the turn that is asked for."""
    history = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "?"},
    ]

    async def scenario(server: Any) -> None:
        answer = await server.create(input=history, stream=stream)
        assert answer.status == 200
        response = answer.events[-1]["response"] if stream else answer.json
        assert response["status"] == "failed"
        assert response["error"]["code"] == "server_error"

    serve(scenario, [{"text": "The first turn."}])


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_the_sampling(serve: Any, stream: bool) -> None:
    async def scenario(server: Any) -> None:
        call = server.begin(stream=stream)
        if stream:
            await call.until(lambda: "response.output_text.delta" in call.types)
        else:
            await server.until_something_runs()
        call.leave()
        await call.ended()
        await server.until_nothing_runs()
        await server.all_sequences_are_free()
        assert "response.completed" not in str(call.messages)
        assert not call.is_answered

    serve(scenario, [{"text": LONG}])


def test_a_client_that_leaves_before_its_body_has_come(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        call = server.begin()
        call._body.clear()
        call.leave()
        await call.ended()
        assert call.messages == []

    serve(scenario)


def test_a_client_that_reads_nothing_holds_nobody_up(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        slow = server.begin(stream=True)
        slow.stall()
        other = await server.create()
        assert other.json["status"] == "completed"
        await slow.ended()
        assert not slow.is_answered
        await server.until_nothing_runs()
        await server.all_sequences_are_free()

    serve(scenario, [{"text": LONG}], limits=Limits(max_unsent_events=50))


def test_many_at_once(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        calls = [server.begin(stream=bool(number % 2)) for number in range(8)]
        for call in calls:
            await call.ended()
            assert call.status == 200
        ids = {(call.events[-1]["response"] if call.events else call.json)["id"] for call in calls[1::2]}
        assert len(ids) == 4

    serve(scenario, [{"text": "One of many. " * 5}])


class Held:
    """A sequence that samples nothing until it may."""

    def __init__(self, sequence: Any, go_on: asyncio.Event) -> None:
        self._sequence = sequence
        self._go_on = go_on

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sequence, name)

    async def sample(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        await self._go_on.wait()
        async for tokens in self._sequence.sample(*arguments, **options):
            yield tokens


def test_a_quiet_stream_is_kept_alive(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a long prompt is computed, say."""
    go_on = asyncio.Event()

    async def scenario(server: Any) -> None:
        open_sequence = server.service.engine.open

        async def hold(*arguments: Any, **options: Any) -> Held:
            return Held(await open_sequence(*arguments, **options), go_on)

        monkeypatch.setattr(server.service.engine, "open", hold)
        api = Api(server.service, server.rollouts, started_at=0, keep_alive=0.001)
        server.app = Starlette(routes=routes(api))
        call = server.begin(stream=True)
        await call.until(lambda: b": keep-alive\n\n" in call.chunks)
        go_on.set()
        await call.ended()
        assert call.types[-1] == "response.completed"
        assert [event["sequence_number"] for event in call.events] == list(range(len(call.events)))
        monkeypatch.undo()

    serve(scenario, [{"text": "At last."}])


def test_in_the_background(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        begun = await server.create(background=True)
        assert begun.status == 200
        assert begun.json["status"] in ("queued", "in_progress")
        assert begun.json["background"] is True
        response_id = begun.json["id"]
        assert (await server.get(f"/v1/responses/{response_id}")).json["status"] == "in_progress"
        await server.until_nothing_runs()
        ended = (await server.get(f"/v1/responses/{response_id}")).json
        assert (ended["id"], ended["status"]) == (response_id, "completed")
        assert ended["output"][0]["content"][0]["text"] == LONG.strip()

    serve(scenario, [{"text": LONG.strip()}])


def test_a_streamed_one_in_the_background_outlives_its_client(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        call = server.begin(background=True, stream=True)
        await call.until(lambda: "response.output_text.delta" in call.types)
        call.leave()
        await call.ended()
        response_id = call.events[0]["response"]["id"]
        await server.until_nothing_runs()
        assert (await server.get(f"/v1/responses/{response_id}")).json["status"] == "completed"

    serve(scenario, [{"text": LONG}])


def test_no_background_without_a_store(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await server.create(background=True)
        assert (answer.status, answer.error["param"]) == (400, "background")
        assert (await server.create()).json["store"] is False

    serve(scenario, [{"text": "Hello."}], stores=False)


def test_no_room_for_another_one(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        call = server.begin(stream=True)
        await call.until(lambda: bool(call.events))
        for stream in (False, True):
            answer = await server.create(stream=stream)
            assert (answer.status, answer.error["type"]) == (429, "rate_limit_error")
            assert answer.error["code"] == "credential_response_limit_reached"
            assert int(answer.headers["retry-after"]) > 0
        await call.ended()
        assert (await server.create()).status == 200

    serve(scenario, [{"text": LONG}], limits=Limits(max_open_per_credential=1))


def test_an_idempotency_key_is_answered_with_the_response_that_it_began_in_the_background(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        first = await server.create(background=True, idempotency_key="k")
        again = await server.create(background=True, idempotency_key="k")
        streamed = await server.create(background=True, idempotency_key="k", stream=True)
        assert again.json["id"] == streamed.events[0]["response"]["id"] == first.json["id"]
        assert streamed.types[0] == "response.created"
        both = await asyncio.gather(*[server.create(idempotency_key="k") for _ in range(2)])
        assert len({first.json["id"], *(answer.json["id"] for answer in both)}) == 3

    serve(scenario, [{"text": "Hello."}])


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_in_flight_when_the_server_stops_is_answered(serve: Any, stream: bool) -> None:
    async def scenario(server: Any) -> None:
        call = server.begin(stream=stream)
        beside = server.begin(stream=True)
        await beside.until(lambda: len(beside.events) > 5)  # the other one, which came before, has begun then
        server.rollouts.end_all()
        for each in (call, beside):
            await each.ended()
        assert call.status == 200
        assert (call.events[-1]["response"] if stream else call.json)["status"] == "cancelled"
        assert beside.is_done

    serve(scenario, [{"text": LONG}])
