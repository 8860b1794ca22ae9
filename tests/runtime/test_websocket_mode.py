"""OpenAI's WebSocket mode: a chain of Responses on a connection that remembers them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.limits import Limits
from caesura.protocol.modes import APPEND
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.sqlite_store import SqliteStore
from sockets import CALL, KNOWN_EVENTS, TOOL, TWO_CALLS, Socket, answer, calls_of, text_of

Host = Callable[..., None]


def watch_rows(service: Service) -> list[Any]:
    """The ledgers of the sequences that the engine opens from now on."""
    ledgers: list[Any] = []
    engine: Any = service.engine
    original = engine.open

    async def open_and_watch(*arguments: Any, **options: Any) -> Any:
        sequence = await original(*arguments, **options)
        ledgers.append(sequence.ledger)
        return sequence

    engine.open = open_and_watch
    return ledgers


def test_a_continuation_computes_only_what_is_new(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        rows = watch_rows(service)
        socket = Socket(rollouts)
        response = await socket.create(input="Look!", tools=[TOOL], store=False)
        sampled, length = response["usage"]["output_tokens"], len(rows[0])
        for turn in range(3):
            parent, (call,) = response["id"], calls_of(response)
            response = await socket.create(
                input=[answer(call, f"result {turn}")], tools=[TOOL], store=False, previous_response_id=parent
            )
            tokens = response["caesura"]["tokens"]
            assert response["previous_response_id"] == parent
            assert tokens["carried"] == length
            assert tokens["prefilled"] == tokens["recomputed"] == tokens["copied"] == 0
            assert tokens["decoded"] == tokens["appended"] + tokens["sampled"]
            usage = response["usage"]
            assert usage["input_tokens"] == length + tokens["appended"]
            assert usage["input_tokens_details"]["cached_tokens"] == length - 1
            assert usage["output_tokens"] == tokens["sampled"]
            length, sampled = length + tokens["appended"] + tokens["sampled"], sampled + tokens["sampled"]
        assert text_of(response) == "All seen."
        assert len(rows) == 1
        assert len(rows[0]) == length
        assert rows[0].recomputed == 0
        assert {event["type"] for event in socket.events} <= KNOWN_EVENTS
        await socket.lose()

    host(scenario, [CALL, CALL, CALL, {"text": "All seen."}])


def test_its_tokens_are_those_of_one_long_response(host: Host) -> None:
    """Whatever carries the rollout: nothing is rendered or tokenised again."""

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        rows = watch_rows(service)
        socket = Socket(rollouts)
        response = await socket.create(input="Look twice!", tools=[TOOL], instructions="Be brief.")
        for turn in range(2):
            outputs = [answer(call, f"{turn}: {call['arguments']}") for call in calls_of(response)]
            response = await socket.create(
                input=outputs, tools=[TOOL], instructions="Be brief.", previous_response_id=response["id"]
            )
        long = Socket(rollouts, APPEND)
        long.send(input="Look twice!", tools=[TOOL], instructions="Be brief.")
        for turn in range(2):
            done = await long.event("response.done")
            outputs = [answer(call, f"{turn}: {call['arguments']}") for call in calls_of(done["response"])]
            long.session.receive(json.dumps({"type": "response.append", "input": outputs}))
        assert text_of((await long.end())["response"]) == text_of(response) == "Seen."
        assert len(rows) == 2
        assert rows[0].tokens == rows[1].tokens
        await socket.lose()
        await long.lose()

    host(scenario, [CALL, TWO_CALLS, {"text": "Seen."}])


def test_a_conversation_goes_on_after_text(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="One?")
        second = await socket.create(input="Two?", previous_response_id=first["id"])
        assert (text_of(first), text_of(second)) == ("First.", "Second.")
        assert second["caesura"]["tokens"]["prefilled"] == 0
        await socket.lose()

    host(scenario, [{"text": "First."}, {"text": "Second."}])


def test_a_call_that_is_not_answered_does_not_end_the_chain(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        rows = watch_rows(service)
        socket = Socket(rollouts)
        first = await socket.create(input="Look!", tools=[TOOL])
        second = await socket.create(input="Never mind.", previous_response_id=first["id"])
        assert text_of(second) == "Fine."
        assert "interrupted" in service.model.vocab.decode(rows[0].tokens)
        await socket.lose()

    host(scenario, [CALL, {"text": "Fine."}])


def test_tools_are_remembered_and_instructions_are_not(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="Look!", tools=[TOOL], instructions="Be brief.")
        second = await socket.create(input=[answer(calls_of(first)[0])], previous_response_id=first["id"])
        assert [tool["name"] for tool in second["tools"]] == ["look"]
        assert second["instructions"] is None
        assert second["caesura"]["tokens"]["prefilled"] > 0  # rendered anew, since the head is another one
        assert text_of(second) == "Seen."
        await socket.lose()

    host(scenario, [CALL, {"text": "Seen."}])


def test_what_is_rendered_anew_shares_what_is_the_same(host: Host) -> None:
    """Here an assistant message in the input: it can't simply be appended."""

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        first = await socket.create(input="One? " * 100)
        history = [{"role": "assistant", "content": "So I said."}, {"role": "user", "content": "Two?"}]
        second = await socket.create(input=history, previous_response_id=first["id"])
        assert text_of(second) == "Third."  # two turns of the assistant came before it
        assert second["usage"]["input_tokens_details"]["cached_tokens"] > first["usage"]["input_tokens"] - 32
        await socket.lose()

    host(scenario, [{"text": "First."}, {"text": "-"}, {"text": "Third."}])


def test_forks(host: Host) -> None:
    """The parent's id on other lanes, and again on its own: each goes on from the parent alone."""

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        parent = await socket.create(input="Look! " * 50, tools=[TOOL])
        (call,) = calls_of(parent)
        lanes = [None, "a", "b"]
        for lane in lanes:
            named = {} if lane is None else {"stream_id": lane}
            socket.send(input=[answer(call, f"for {lane}")], tools=[TOOL], previous_response_id=parent["id"], **named)
        ends = [(await socket.end(lane))["response"] for lane in lanes]
        again = await socket.create(input=[answer(call, "again")], tools=[TOOL], previous_response_id=parent["id"])
        for response in [*ends, again]:
            tokens = response["caesura"]["tokens"]
            assert text_of(response) == "Seen."
            assert tokens["carried"] + tokens["prefilled"] + tokens["appended"] == response["usage"]["input_tokens"]
            assert tokens["decoded"] < 60  # of more than 150: the rest was there or copied
        await socket.lose()

    host(scenario, [CALL, {"text": "Seen."}], sequences=4)


@pytest.mark.parametrize("output", [{"call_id": "call_unknown"}, {"output": {"no": "text"}}])
def test_a_failed_continuation_evicts_its_parent(host: Host, output: dict[str, Any]) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        parent = await socket.create(input="Look!", tools=[TOOL], store=False)
        (call,) = calls_of(parent)
        failed = await socket.create(input=[{**answer(call), **output}], previous_response_id=parent["id"])
        assert failed["type"] == "error"
        assert failed["status"] in (400, 404)
        gone = await socket.create(input=[answer(call)], previous_response_id=parent["id"])
        assert gone["status"] == 400
        assert gone["error"] == {
            "type": "invalid_request_error",
            "code": "previous_response_not_found",
            "message": f"Previous response with id '{parent['id']}' not found.",
            "param": "previous_response_id",
        }
        await socket.lose()

    host(scenario, [CALL, {"text": "Seen."}])


def test_a_failed_fork_costs_its_parent_nothing(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        parent = await socket.create(input="Look!", tools=[TOOL], store=False)
        (call,) = calls_of(parent)
        socket.send(input=[answer({"call_id": "none"})], previous_response_id=parent["id"], stream_id="fork")
        failed = await socket.end("fork")
        assert failed["type"] == "error"
        assert failed["stream_id"] == "fork"
        child = await socket.create(input=[answer(call)], tools=[TOOL], previous_response_id=parent["id"])
        assert text_of(child) == "Seen."
        await socket.lose()

    host(scenario, [CALL, {"text": "Seen."}])


@pytest.mark.parametrize("news", [[], [{"role": "user", "content": "Look!"}]])
def test_a_warm_up_has_no_output_and_can_be_gone_on_from(host: Host, news: list[Any]) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        head: dict[str, Any] = {"instructions": "Be brief. " * 30, "tools": [TOOL], "store": False}
        warm = await socket.create(input=[{"role": "user", "content": "Hello."}], generate=False, **head)
        assert warm["status"] == "completed"
        assert warm["output"] == []
        assert warm["usage"]["output_tokens"] == 0
        for lane in (None, "other"):
            named = {} if lane is None else {"stream_id": lane}
            socket.send(input=news, previous_response_id=warm["id"], **head, **named)
            response = (await socket.end(lane))["response"]
            assert text_of(response) == "First."
            assert response["usage"]["input_tokens_details"]["cached_tokens"] > warm["usage"]["input_tokens"] - 32
        await socket.lose()

    host(scenario, [{"text": "First."}])


def test_a_stored_response_is_reached_from_another_connection(host: Host, tmp_path: Path) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        first = Socket(rollouts)
        parent = await first.create(input="Look!", tools=[TOOL])
        assert parent["store"] is True
        unstored = await first.create(input="Look!", tools=[TOOL], store=False)
        await first.lose()
        second = Socket(rollouts)
        child = await second.create(input=[answer(calls_of(parent)[0])], previous_response_id=parent["id"])
        assert text_of(child) == "Seen."
        assert [tool["name"] for tool in child["tools"]] == ["look"]
        gone = await second.create(input=[answer(calls_of(unstored)[0])], previous_response_id=unstored["id"])
        assert gone["error"]["code"] == "previous_response_not_found"
        strange = Socket(rollouts, credential="another")
        refused = await strange.create(input=[answer(calls_of(parent)[0])], previous_response_id=parent["id"])
        assert refused["error"]["code"] == "previous_response_not_found"
        await second.lose()
        await strange.lose()

    host(scenario, [CALL, {"text": "Seen."}], store=lambda: SqliteStore(tmp_path / "responses.sqlite3"))


def test_a_stored_response_that_goes_on_from_one_that_is_not_has_its_whole_history(host: Host, tmp_path: Path) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        first = Socket(rollouts)
        unstored = await first.create(input="Look!", tools=[TOOL], store=False)
        stored = await first.create(input=[answer(calls_of(unstored)[0])], previous_response_id=unstored["id"])
        await first.lose()
        second = Socket(rollouts)
        child = await second.create(input="And now?", previous_response_id=stored["id"])
        assert text_of(child) == "Third."
        await second.lose()

    turns = [CALL, {"text": "Seen."}, {"text": "Third."}]
    host(scenario, turns, store=lambda: SqliteStore(tmp_path / "responses.sqlite3"))


def test_only_so_many_are_remembered(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        ended = [await socket.create(input=f"Number {number}", store=False) for number in range(4)]
        for one, is_known in zip(ended[:3], (False, False, True), strict=True):
            socket.send(input="And?", previous_response_id=one["id"], stream_id="fork", store=False)
            assert ((await socket.end("fork"))["type"] == "response.completed") is is_known
        await socket.lose()

    host(scenario, [{"text": "First."}, {"text": "Second."}], limits=Limits(max_remembered=2))


def test_what_is_remembered_gives_way_to_what_is_asked_for(host: Host) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        sockets = [Socket(rollouts), Socket(rollouts)]
        for number in range(8):
            response = await sockets[number % 2].create(input=f"Number {number}", store=False)
            assert response["status"] == "completed"
        last = await sockets[1].create(input="And?", previous_response_id=response["id"], store=False)
        assert last["caesura"]["tokens"]["carried"] > 0
        for socket in sockets:
            await socket.lose()

    host(scenario, [{"text": "First."}, {"text": "Second."}], max_sequences=3)


def test_a_hosted_call_beside_a_local_one(host: Host) -> None:
    """The server's own tool has run before the Response ends; the client's output comes with the next request."""

    async def scenario(rollouts: Rollouts, service: Service) -> None:
        rows = watch_rows(service)
        socket = Socket(rollouts)
        tools = [TOOL, {"type": "caesura:calculate"}]
        first = await socket.create(input="Both!", tools=tools)
        hosted, call = first["output"]
        assert (hosted["type"], hosted["output"], hosted["status"]) == ("caesura:hosted_call", "42", "completed")
        second = await socket.create(input=[answer(call, "a tree")], tools=tools, previous_response_id=first["id"])
        assert text_of(second) == "Both done."
        told = service.model.vocab.decode(rows[0].tokens)
        assert told.index("42", told.index("6 * 7")) < told.index("a tree")
        await socket.lose()

    both = {
        "calls": [
            {"name": "calculate", "arguments": {"expression": "6 * 7"}},
            {"name": "look", "arguments": {"at": "here"}},
        ]
    }
    host(scenario, [both, {"text": "Both done."}])
