"""``POST /v1/responses/compact``."""

from __future__ import annotations

from typing import Any

import pytest
from caesura.runtime.compaction import decode_summary

USER = {"role": "user", "content": "The launch is on Tuesday."}
ASSISTANT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Noted."}]}
RULES = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]}


async def compact(server: Any, **fields: Any) -> Any:
    return await server.request("POST", "/v1/responses/compact", {"model": "test", **fields})


def texts(output: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["role"], item["content"][0]["text"]) for item in output]


def test_the_model_writes_the_summary(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await compact(server, input=[RULES, USER, ASSISTANT], prompt_cache_key="k")
        assert answer.status == 200
        assert "inference;dur=" in answer.headers["server-timing"]
        body = answer.json
        assert set(body) == {"id", "object", "created_at", "output", "usage"}
        assert body["object"] == "response.compaction"
        assert isinstance(body["created_at"], int)
        assert body["usage"]["output_tokens"] > 0
        *kept, item = body["output"]
        assert texts(kept) == [("developer", "Be brief."), ("user", "The launch is on Tuesday.")]
        assert all(message["type"] == "message" and message["id"] and message["status"] for message in kept)
        assert set(item) == {"type", "id", "encrypted_content"}
        assert item["type"] == "compaction"
        assert item["id"].startswith("cmp_")
        assert decode_summary(item["encrypted_content"]) == "Launch: Tuesday."
        got = await server.get(f"/v1/responses/{body['id']}")
        assert got.status == 404

    serve(scenario, [{"text": "Never said."}, {"text": "Launch: Tuesday."}])


def test_its_output_begins_a_new_chain(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        output = (await compact(server, input=[USER, ASSISTANT])).json["output"]
        seen = (await server.create(input=[*output, {"role": "user", "content": "When?"}])).json
        assert seen["status"] == "completed"
        listed = await server.get(f"/v1/responses/{seen['id']}/input_items")
        assert listed.json["data"][1]["type"] == "compaction"
        again = await compact(server, input=[*output, {"role": "user", "content": "And then?"}])
        *kept, _ = again.json["output"]
        assert texts(kept) == [("user", "The launch is on Tuesday."), ("user", "And then?")]

    serve(scenario, [{"text": "Hm."}, {"text": "Launch: Tuesday."}, {"text": "Again."}])


def test_a_stored_conversation(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        first = (await server.create(input=[RULES, USER])).json
        second = (await server.create(input="And support?", previous_response_id=first["id"])).json
        answer = await compact(server, previous_response_id=second["id"])
        *kept, item = answer.json["output"]
        assert [text for _, text in texts(kept)] == ["Be brief.", "The launch is on Tuesday.", "And support?"]
        assert decode_summary(item["encrypted_content"]) == "A summary."
        reference = {
            "type": "item_reference",
            "id": kept_id(await server.get(f"/v1/responses/{first['id']}/input_items")),
        }
        answer = await compact(server, input=[reference, ASSISTANT])
        *kept, _ = answer.json["output"]
        assert texts(kept) == [("user", "The launch is on Tuesday.")]
        missing = await compact(server, previous_response_id="resp_nothing")
        assert (missing.status, missing.error["code"]) == (400, "previous_response_not_found")

    serve(scenario, [{"text": "Noted."}, {"text": "They know."}, {"text": "A summary."}])


def kept_id(listed: Any) -> str:
    response_id: str = listed.json["data"][0]["id"]
    return response_id


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": None}, 400, "model"),
        ({"model": "gpt-17"}, 404, "model"),
        ({"input": None}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, 400, None),
        ({"input": 3}, 400, "input"),
    ],
)
def test_what_can_not_be_compacted(serve: Any, fields: dict[str, Any], status: int, param: str | None) -> None:
    async def scenario(server: Any) -> None:
        answer = await compact(server, **{"input": "hi", **fields})
        assert answer.status == status
        assert param is None or answer.error["param"] == param

    serve(scenario, [{"text": "Never said."}])


def test_a_model_that_only_calls_writes_no_summary_and_the_chain_goes_on(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await compact(server, input="hi")
        *_, item = answer.json["output"]
        assert decode_summary(item["encrypted_content"])
        assert (await server.create(input=[*answer.json["output"], USER])).json["status"] == "completed"

    serve(scenario, [{"calls": [{"name": "f", "arguments": {}}]}])


@pytest.mark.parametrize(
    "turn",
    [
        {"text": "Launch: Tuesday.", "calls": [{"name": "f", "arguments": {}}]},
        {"text": 'Launch: Tuesday. <tool_call>\n{"name": "and so on, never ending'},
    ],
)
def test_a_call_ends_the_summary(serve: Any, turn: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await compact(server, input="hi")
        assert decode_summary(answer.json["output"][-1]["encrypted_content"]) == "Launch: Tuesday."

    serve(scenario, [turn])


def test_nothing_of_it_is_stored(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[Any] = []

    async def scenario(server: Any) -> None:
        monkeypatch.setattr(server.service.store, "put", lambda record, earlier: stored.append(record))
        assert (await compact(server, input="hi")).status == 200
        assert stored == []
        assert (await server.create()).status == 200
        assert len(stored) == 1

    serve(scenario, [{"text": "A summary."}])


def test_a_summary_that_fails_is_an_error(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await compact(server, input=[USER, ASSISTANT])
        assert (answer.status, answer.error["code"]) == (500, "server_error")

    serve(scenario, [{"text": "The script ends before the summary."}])


def test_a_long_summary_is_cut(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        answer = await compact(server, input="hi")
        assert answer.json["usage"]["output_tokens"] == 512 // 4

    serve(scenario, [{"text": "On and on. " * 100}], ctx=512)


def test_a_conversation_that_is_too_long_for_the_context(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        history = [message for _ in range(40) for message in (USER, ASSISTANT)]
        assert (await server.create(input=[*history, USER])).error["code"] == "context_length_exceeded"
        answer = await compact(server, input=history)
        assert answer.status == 200
        *kept, item = answer.json["output"]
        assert len(kept) == 40
        assert decode_summary(item["encrypted_content"]) == "A summary."

    serve(scenario, [{"text": "A summary."}] * 41, ctx=512)


def test_a_client_that_leaves_gets_no_summary(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        call = server.call("POST", "/v1/responses/compact", {"model": "test", "input": "hi"})
        await server.until_something_runs()
        call.leave()
        await call.ended()
        await server.until_nothing_runs()
        await server.all_sequences_are_free()
        assert call.messages == []

    serve(scenario, [{"text": "On and on. " * 60}])
