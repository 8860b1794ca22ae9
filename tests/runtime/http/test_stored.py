"""Responses that are carried out, have ended, or are stored, by their ids."""

from __future__ import annotations

from typing import Any

import pytest
from caesura.protocol.limits import Limits
from caesura.runtime.store import StoreFailed

TOOL: dict[str, Any] = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
CALL = {"name": "f", "arguments": {}}
LONG = "A long text that takes a while to be said. " * 20


def path(response_id: str, rest: str = "") -> str:
    return f"/v1/responses/{response_id}{rest}"


async def background(server: Any, **fields: Any) -> str:
    answer = await server.create(background=True, **fields)
    response_id: str = answer.json["id"]
    return response_id


# --- retrieve ---------------------------------------------------------------------------------------------------------


def test_a_stored_response_is_what_was_answered(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        created = await server.create(metadata={"a": "b"}, user="me")
        got = await server.get(path(created.json["id"]))
        assert got.status == 200
        assert got.json == created.json

    serve(scenario, [{"text": "Hello."}])


def test_what_can_not_be_found(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        stored = (await server.create()).json["id"]
        unstored = (await server.create(store=False)).json["id"]
        running = await background(server)
        for response_id in (unstored, "resp_nothing", "compact"):
            for method, rest in (("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("DELETE", "")):
                answer = await server.request(method, path(response_id, rest))
                assert (answer.status, answer.error["code"]) == (404, "response_not_found")
        server.key = "somebody else"
        for response_id in (stored, running):
            for method, rest in (("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("DELETE", "")):
                answer = await server.request(method, path(response_id, rest))
                assert (answer.status, answer.error["code"]) == (404, "response_not_found")
            assert (await server.request("POST", path(response_id, "/cancel"))).status == 404

    serve(scenario, [{"text": LONG}])


@pytest.mark.parametrize(
    ("target", "param"),
    [
        ("/v1/responses/a.b", "response_id"),
        (f"/v1/responses/{'x' * 129}", "response_id"),
        ("/v1/responses/r?stream=perhaps", "stream"),
        ("/v1/responses/r?stream=true&starting_after=x", "starting_after"),
        ("/v1/responses/r?stream=true&starting_after=-2", "starting_after"),
        ("/v1/responses/r?stream=true&starting_after=99999999999999999999", "starting_after"),
        ("/v1/responses/r/input_items?limit=0", "limit"),
        ("/v1/responses/r/input_items?limit=101", "limit"),
        ("/v1/responses/r/input_items?order=up", "order"),
    ],
)
def test_parameters_that_can_not_be_used(serve: Any, target: str, param: str) -> None:
    async def scenario(server: Any) -> None:
        answer = await server.get(target)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_value", param)

    serve(scenario)


def test_methods_that_a_path_does_not_have(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        for method, target, allowed in (
            ("PUT", "/v1/responses/r", {"GET", "HEAD", "DELETE"}),
            ("GET", "/v1/responses", {"POST"}),
            ("GET", "/v1/responses/r/cancel", {"POST"}),
        ):
            answer = await server.request(method, target)
            assert answer.status == 405
            assert set(answer.headers["allow"].split(", ")) == allowed

    serve(scenario)


def test_a_store_that_can_not_be_read(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise StoreFailed("the disk is gone")

    async def scenario(server: Any) -> None:
        for method in ("get", "history", "delete"):
            monkeypatch.setattr(server.service.store, method, fail)
        for method, rest in (("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("DELETE", "")):
            answer = await server.request(method, path("resp_1", rest))
            assert (answer.status, answer.error["code"]) == (500, "server_error")
            assert "disk" not in answer.error["message"]

    serve(scenario)


# --- events -----------------------------------------------------------------------------------------------------------


def test_the_events_of_one_in_the_background_are_replayed_and_go_on(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        first = server.begin(background=True, stream=True)
        await first.until(lambda: len(first.events) > 5)
        first.leave()
        await first.ended()
        response_id, last = first.events[0]["response"]["id"], first.events[-1]["sequence_number"]
        rest = await server.get(path(response_id, f"?stream=true&starting_after={last}"))
        assert rest.status == 200
        assert rest.chunks[-1] == b"data: [DONE]\n\n"
        events = first.events + rest.events
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] == "response.completed"
        assert "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta") == LONG

        again = await server.get(path(response_id, "?stream=true"))
        assert again.events == events
        nothing = await server.get(path(response_id, f"?stream=true&starting_after={len(events) - 1}"))
        assert nothing.chunks == [b"data: [DONE]\n\n"]
        beyond = await server.get(path(response_id, f"?stream=true&starting_after={len(events)}"))
        assert (beyond.status, beyond.error["param"]) == (400, "starting_after")

    serve(scenario, [{"text": LONG}])


def test_another_reader_takes_the_events_over(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        first = server.begin(background=True, stream=True)
        await first.until(lambda: len(first.events) > 5)
        response_id = first.events[0]["response"]["id"]
        second = server.call("GET", path(response_id, "?stream=true"))
        await second.ended()
        await first.ended()
        assert second.types[-1] == "response.completed"
        assert first.is_answered
        assert (first.is_done, second.is_done) == (False, True)  # the first one's end is nobody's to tell there
        assert not {"response.detached", "response.resumed"} & {*first.types, *second.types}

    serve(scenario, [{"text": LONG}])


def test_what_goes_to_another_connection_is_left_there(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        first = server.begin(stream=True)
        await first.until(lambda: len(first.events) > 5)
        response_id = first.events[0]["response"]["id"]
        second = await server.get(path(response_id, "?stream=true"))
        assert (second.status, second.error["code"]) == (409, "response_in_progress")
        assert (await server.get(path(response_id))).json["status"] == "in_progress"
        await first.ended()
        assert first.types[-1] == "response.completed"

    serve(scenario, [{"text": LONG}])


def test_events_that_are_not_kept_any_more(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        ended = (await server.create()).json["id"]
        answer = await server.get(path(ended, "?stream=true"))
        assert (answer.status, answer.error["code"], answer.error["param"]) == (409, "events_lost", "stream")
        response_id = await background(server)
        await server.until_nothing_runs()
        answer = await server.get(path(response_id, "?stream=true"))
        assert (answer.status, answer.error["code"], answer.error["param"]) == (409, "events_lost", "starting_after")

    serve(scenario, [{"text": LONG}], limits=Limits(max_replay_events=5))


# --- cancel and delete ------------------------------------------------------------------------------------------------


def test_cancel_ends_one_in_the_background(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        reader = server.begin(background=True, stream=True)
        await reader.until(lambda: "response.output_text.delta" in reader.types)
        response_id = reader.events[0]["response"]["id"]
        answer = await server.request("POST", path(response_id, "/cancel"))
        assert (answer.status, answer.json["id"], answer.json["status"]) == (200, response_id, "cancelled")
        await server.all_sequences_are_free()
        await reader.ended()
        assert reader.types[-1] == "response.incomplete"
        assert reader.events[-1]["response"]["status"] == "cancelled"
        assert (await server.get(path(response_id))).json == answer.json
        again = await server.request("POST", path(response_id, "/cancel"))
        assert (again.status, again.json) == (200, answer.json)

    serve(scenario, [{"text": LONG}])


@pytest.mark.parametrize("stream", [False, True])
def test_cancel_ends_one_that_somebody_waits_for(serve: Any, stream: bool) -> None:
    async def scenario(server: Any) -> None:
        waiting = server.begin(stream=stream)
        response_id = await server.until_something_runs()
        answer = await server.request("POST", path(response_id, "/cancel"))
        assert answer.json["status"] == "cancelled"
        await waiting.ended()
        response = waiting.events[-1]["response"] if stream else waiting.json
        assert (waiting.status, response["status"]) == (200, "cancelled")

    serve(scenario, [{"text": LONG}])


def test_cancel_of_one_that_has_ended_changes_nothing(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        created = (await server.create()).json
        answer = await server.request("POST", path(created["id"], "/cancel"))
        assert (answer.status, answer.json) == (200, created)

    serve(scenario, [{"text": "Hello."}])


def test_delete(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        response_id = await background(server)
        answer = await server.request("DELETE", path(response_id))
        assert (answer.status, answer.error["code"]) == (409, "response_in_progress")
        await server.until_nothing_runs()
        answer = await server.request("DELETE", path(response_id))
        assert answer.json == {"id": response_id, "object": "response", "deleted": True}
        for method, rest in (
            ("GET", ""),
            ("GET", "?stream=true"),
            ("GET", "/input_items"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        ):
            answer = await server.request(method, path(response_id, rest))
            assert (answer.status, answer.error["code"]) == (404, "response_not_found")
        answer = await server.create(previous_response_id=response_id)
        assert answer.error["code"] == "previous_response_not_found"

    serve(scenario, [{"text": LONG}])


# --- input items ------------------------------------------------------------------------------------------------------


def test_input_items_are_what_it_was_generated_from(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        first = (await server.create(input="Call f.", tools=[TOOL])).json
        output = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "done"}
        second = (await server.create(input=[output], tools=[TOOL], previous_response_id=first["id"])).json
        listed = (await server.get(path(second["id"], "/input_items?order=asc"))).json
        assert (listed["object"], listed["has_more"]) == ("list", False)
        message, call, answer = listed["data"]
        assert (listed["first_id"], listed["last_id"]) == (message["id"], answer["id"])
        assert (message["role"], message["content"]) == ("user", [{"type": "input_text", "text": "Call f."}])
        assert {key: call[key] for key in first["output"][0]} == first["output"][0]
        assert (answer["type"], answer["output"]) == ("function_call_output", "done")
        assert all(item["id"] and item["status"] == "completed" for item in listed["data"])
        latest_first = (await server.get(path(second["id"], "/input_items"))).json
        assert latest_first["data"] == listed["data"][::-1]
        alone = (await server.get(path(first["id"], "/input_items"))).json
        assert alone["data"] == [message]

    serve(scenario, [{"calls": [CALL]}, {"text": "Done."}])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_input_items_page_by_page(serve: Any, order: str) -> None:
    history = [{"role": "user", "content": f"Message {number}"} for number in range(25)]

    async def scenario(server: Any) -> None:
        response_id = (await server.create(input=history)).json["id"]
        found: list[str] = []
        target, sizes = path(response_id, f"/input_items?order={order}"), []
        while True:
            page = (await server.get(target)).json
            sizes.append(len(page["data"]))
            found += [item["content"][0]["text"] for item in page["data"]]
            if not page["has_more"]:
                break
            target = path(response_id, f"/input_items?order={order}&limit=4&after={page['last_id']}")
        assert sizes == [20, 4, 1]
        wanted = [item["content"] for item in history]
        assert found == (wanted if order == "asc" else wanted[::-1])
        whole = (await server.get(path(response_id, "/input_items?limit=100"))).json
        assert len(whole["data"]) == 25
        unknown = await server.get(path(response_id, "/input_items?after=msg_nothing"))
        assert (unknown.status, unknown.error["param"]) == (400, "after")

    serve(scenario, [{"text": "Hello."}])


def test_input_items_of_one_that_has_not_ended(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        response_id = await background(server)
        answer = await server.get(path(response_id, "/input_items"))
        assert (answer.status, answer.error["code"]) == (409, "response_in_progress")
        await server.until_nothing_runs()
        assert len((await server.get(path(response_id, "/input_items"))).json["data"]) == 1

    serve(scenario, [{"text": LONG}])


# --- models -----------------------------------------------------------------------------------------------------------


def test_models(serve: Any) -> None:
    async def scenario(server: Any) -> None:
        listed = (await server.get("/v1/models")).json
        assert [model["id"] for model in listed["data"]] == ["other", "test"]
        for model in listed["data"]:
            assert (model["object"], model["owned_by"]) == ("model", "caesura")
            assert model["created"] > 0
            assert (await server.get(f"/v1/models/{model['id']}")).json == model
        answer = await server.get("/v1/models/gpt-17")
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert (await server.get("/health")).json["status"] == "ok"
        assert (await server.request("HEAD", "/v1/models")).status == 200

    serve(scenario)
