"""What is kept of a Response, whatever carried it, is the conversation that it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.modes import APPEND, WEBSOCKET, Mode
from caesura.runtime import continuation
from caesura.runtime.guards import SecretScanner
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.sqlite_store import SqliteStore
from caesura.runtime.store import ResponseStore
from caesura.sampler.chat_template import ChatTemplate
from sockets import Socket, answer, calls_of, text_of

Host = Callable[..., None]
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}


def look(*places: str) -> list[dict[str, Any]]:
    return [{"name": "look", "arguments": {"at": place}} for place in places]


@pytest.fixture
def store(tmp_path: Path) -> Callable[[], ResponseStore]:
    return lambda: SqliteStore(tmp_path / "responses.sqlite3")


async def append_rollout(socket: Socket, num_pauses: int, **fields: Any) -> dict[str, Any]:
    socket.send(**fields)
    for turn in range(num_pauses):
        done = await socket.event("response.done")
        outputs = [answer(call, f"{turn}: {call['arguments']}") for call in calls_of(done["response"])]
        extra = [{"role": "user", "content": "Go on."}] if turn else []
        socket.session.receive(json.dumps({"type": "response.append", "input": [*outputs, *extra]}))
    end = await socket.end()
    response: dict[str, Any] = end["response"]
    return response


async def bodies(service: Service, response_id: str) -> list[dict[str, Any]]:
    assert service.store is not None
    chain = await service.store.history(response_id, "")
    assert chain is not None
    return [json.loads(item.body) for stored in chain for item in stored.items]


def outline(items: list[dict[str, Any]]) -> list[str]:
    return [f"{item['role']} message" if item["type"] == "message" else item["type"] for item in items]


def test_a_long_response_is_stored_in_the_order_in_which_it_was_said(host: Host, store: Any) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts, APPEND)
        response = await append_rollout(socket, 2, input="Look!", tools=[TOOL])
        items = await bodies(service, response["id"])
        assert outline(items) == [
            "user message",
            "function_call",
            "function_call",
            "function_call_output",
            "function_call_output",
            "assistant message",
            "function_call",
            "function_call_output",
            "user message",
            "assistant message",
        ]
        assert [item["output"] for item in items if item["type"] == "function_call_output"][-1].startswith("1: ")
        assert all(item["id"] for item in items)
        await socket.lose()

    turns = [{"calls": look("a", "b")}, {"text": "And there.", "calls": look("c")}, {"text": "Seen."}]
    host(scenario, turns, store=store)


@pytest.mark.parametrize("mode", [APPEND, WEBSOCKET])
def test_a_rollout_in_append_mode_can_be_gone_on_from(host: Host, store: Any, mode: Mode) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        first = Socket(rollouts, APPEND)
        parent = await append_rollout(first, 1, input="Look!", tools=[TOOL])
        await first.lose()
        second = Socket(rollouts, mode)
        child = await second.create(input="And now?", previous_response_id=parent["id"])
        assert text_of(child) == "Third."
        told = parent["usage"]["total_tokens"]
        assert child["usage"]["input_tokens"] > told - 60  # all of it, less the tools where they aren't remembered
        await second.lose()

    host(scenario, [{"calls": look("a")}, {"text": "Seen."}, {"text": "Third."}], store=store)


def test_a_call_that_was_cut_is_no_part_of_what_is_gone_on_from(host: Host, store: Any) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        cut = await socket.create(input="Look!", tools=[TOOL], max_output_tokens=18)
        (call,) = calls_of(cut)
        assert (cut["status"], call["status"]) == ("incomplete", "incomplete")
        here = await socket.create(input="Never mind.", tools=[TOOL], previous_response_id=cut["id"])
        await socket.lose()
        other = Socket(rollouts)
        there = await other.create(input="Never mind.", tools=[TOOL], previous_response_id=cut["id"])
        assert text_of(here) == "Fine."
        assert there["status"] == "completed"
        assert there["usage"]["input_tokens"] < here["usage"]["input_tokens"]  # without what was sampled of the call
        await other.lose()

    far = look("a long way from here, behind the trees and the hills")
    host(scenario, [{"calls": far}, {"text": "Fine."}], store=store)


def test_a_secret_that_a_guard_took_out_is_not_stored(host: Host, store: Any) -> None:
    secret = "ghp_" + "a1B2" * 9

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="Look!", tools=[TOOL])
        (call,) = calls_of(first)
        child = await socket.create(input=[answer(call, f"token={secret}")], previous_response_id=first["id"])
        assert text_of(child) == "Seen."
        long = Socket(rollouts, APPEND)
        long.send(input="Look!", tools=[TOOL])
        (call,) = calls_of((await long.event("response.done"))["response"])
        long.session.receive(json.dumps({"type": "response.append", "input": [answer(call, f"token={secret}")]}))
        end = await long.end()
        for response_id in (child["id"], end["response"]["id"]):
            stored = json.dumps(await bodies(service, response_id))
            assert secret not in stored
            assert "[redacted" in stored
        await socket.lose()
        await long.lose()

    host(scenario, [{"calls": look("a")}, {"text": "Seen."}], store=store, guards=[SecretScanner("redact")])


def test_a_response_whose_parent_was_deleted_meanwhile_keeps_its_history(host: Host, store: Any) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="One?")
        assert service.store is not None
        assert await service.store.delete(first["id"], "")  # not by the API, which has the connection forget it too
        second = await socket.create(input="Two?", previous_response_id=first["id"])
        assert outline(await bodies(service, second["id"])) == ["user message", "assistant message"] * 2
        await socket.lose()

    host(scenario, [{"text": "First."}, {"text": "Second."}], store=store)


def test_an_item_is_referred_to(host: Host, store: Any) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="One?", store=False)
        (message,) = first["output"]
        by_id = [{"type": "item_reference", "id": message["id"]}, {"role": "user", "content": "Again?"}]
        second = await socket.create(input=by_id, previous_response_id=first["id"])
        assert text_of(second) == "Third."  # the message is there twice
        await socket.lose()
        other = Socket(rollouts)
        found = await other.create(input=[{"role": "user", "content": "One?"}, {"id": second["output"][0]["id"]}])
        assert text_of(found) == "Second."
        lost = await other.create(input=by_id)
        assert (lost["status"], lost["error"]["code"]) == (404, "item_not_found")
        await other.lose()

    host(scenario, [{"text": "First."}, {"text": "Second."}, {"text": "Third."}], store=store)


def test_nothing_is_stored_that_asks_not_to_be(host: Host, store: Any) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        response = await socket.create(input="One?", store=False)
        assert response["store"] is False
        assert service.store is not None
        assert await service.store.get(response["id"], "") is None
        await socket.lose()

    host(scenario, [{"text": "First."}], store=store)


def test_truncation_drops_the_oldest_turns(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        response = await socket.create(input="Number 0. " + "word " * 60, truncation="auto")
        for number in range(1, 8):
            said = f"Number {number}. " + "word " * 60
            kept = await socket.create(input=said, truncation="auto", previous_response_id=response["id"])
            assert text_of(kept) == f"Turn {number}."
            response = kept
        assert response["truncation"] == "auto"
        assert response["usage"]["input_tokens"] < 256
        too_long = await socket.create(input="word " * 60, previous_response_id=response["id"])
        assert too_long["error"]["code"] == "context_length_exceeded"
        await socket.lose()

    host(scenario, [{"text": f"Turn {number}."} for number in range(9)], ctx=256)


@pytest.mark.parametrize("fields", [{"max_output_tokens": 40}, {}])
def test_truncation_leaves_room_for_the_output(host: Host, fields: dict[str, Any]) -> None:
    """In a chain that grows by appending, too: no turn is cut for want of room."""

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        response = await socket.create(input="Number 0.", truncation="auto", **fields)
        for number in range(1, 16):
            previous = response["id"]
            response = await socket.create(input="Go on.", truncation="auto", previous_response_id=previous, **fields)
            assert (response["status"], text_of(response)) == ("completed", f"Turn {number}. " + "word " * 8)
            assert response["usage"]["input_tokens"] <= 256 - fields.get("max_output_tokens", 256 // 8)
        await socket.lose()

    host(scenario, [{"text": f"Turn {number}. " + "word " * 8} for number in range(16)], ctx=256)


@pytest.mark.parametrize("bound", [0, 10**9])
def test_a_long_prompt_is_rendered_beside_the_loop(host: Host, monkeypatch: pytest.MonkeyPatch, bound: int) -> None:
    threads: set[str] = set()
    monkeypatch.setattr(continuation, "LONG_PROMPT", bound)
    encode = ChatTemplate.encode_marked

    def encode_and_watch(self: ChatTemplate, marked: str) -> list[int]:
        threads.add(threading.current_thread().name)
        return encode(self, marked)

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        monkeypatch.setattr(ChatTemplate, "encode_marked", encode_and_watch)
        socket = Socket(rollouts)
        assert text_of(await socket.create(input="One?")) == "First."
        too_long = await socket.create(input="word " * 3000)
        assert too_long["error"]["code"] == "context_length_exceeded"
        await socket.lose()

    host(scenario, [{"text": "First."}])
    assert (threading.main_thread().name in threads) is bool(bound)
    assert len(threads) == 1


def test_prefix_reuse_is_switched_off_by_a_request(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        said = "The same beginning. " * 30
        await socket.create(input=said, store=False)
        again = await socket.create(input=said, store=False)
        without = await socket.create(input=said, store=False, caesura={"prefix_reuse": False})
        assert again["usage"]["input_tokens_details"]["cached_tokens"] > 100
        assert without["usage"]["input_tokens_details"]["cached_tokens"] == 0
        await socket.lose()

    host(scenario, [{"text": "First."}])
