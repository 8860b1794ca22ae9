"""A Response outlives its connection: whatever point it is cut at, the client gets every event once, and the tokens are
those of a rollout that was never disturbed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from caesura.protocol.connection import ClientResponse, Outcome
from caesura.protocol.events import (
    ErrorEvent,
    OutputTextDelta,
    ResponseAppended,
    ResponseCancelled,
    ResponseCompleted,
    ResponseCreated,
    ResponseDetached,
    ResponseDone,
    ResponseIncomplete,
    ResponseResumed,
)
from caesura.protocol.items import FunctionCallOutput
from caesura.protocol.limits import Limits
from caesura.protocol.messages import ResponseCreate
from caesura.runtime import session
from caesura.sampler.engine import Ledger

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
FIELDS: dict[str, Any] = {"tools": [TOOL], "input": "What is there?", "temperature": 0.9, "seed": 3}
"""Sampled, not replayed: the first turn is forced to call, and the model says what it likes."""


def calls(*arguments: str) -> list[dict[str, Any]]:
    return [{"name": "look", "arguments": {"at": argument}} for argument in arguments]


LONG = "A long text, which takes a while to be sampled. " * 20
PAUSING = [{"calls": calls("a")}, {"text": "ok"}]
MANY_TURNS = [
    {"text": "Let me look at both.", "calls": calls("a", "b")},
    *({"text": f"And at number {number}.", "calls": calls(f"number {number}")} for number in range(12)),
    {"text": "All seen, and nothing found."},
]


def own_events(received: list[Any]) -> list[Any]:
    """The Response's events, in order."""
    return [each.event for each in received if each.outcome is Outcome.EVENT]


def said(events: list[Any]) -> list[str]:
    """All that the final Response says, without ids."""
    (end,) = [event for event in events if isinstance(event, ResponseCompleted | ResponseIncomplete)]
    output = msgspec.to_builtins(end)["response"]["output"]
    return [item.get("arguments") or "".join(part["text"] for part in item["content"]) for item in output]


async def carry_through(peer: Any, response: ClientResponse, losses: list[int]) -> tuple[list[Any], int]:
    """To its end, cutting the connection after so many frames each time; all that was received, and the losses."""
    received: list[Any] = []
    num_losses = 0
    if losses:
        peer.cut_after(losses[0])
    while not response.has_ended:
        await until_cut_or_asked(peer, response)
        if peer.is_cut:
            num_losses += 1
            received += peer.received
            peer = await peer.again(losses[num_losses] if num_losses < len(losses) else None)
        elif not response.has_ended:
            for call in response.open_calls:
                await peer.answer_call(response, call, f"output of {call.arguments}")
    received += peer.received
    await peer.session.disconnect()
    return received, num_losses


async def until_cut_or_asked(peer: Any, response: ClientResponse) -> None:
    await peer.until(lambda: peer.is_cut or response.has_ended or (response.is_paused and response.open_calls))


class Run:
    """One rollout with so many losses, for comparison."""

    def __init__(self, losses: list[int]) -> None:
        self.losses = losses
        self.received: list[Any] = []
        self.num_losses = 0
        self.ledgers: list[Ledger] = []

    async def __call__(self, peer: Any) -> None:
        self.ledgers = peer.watch_ledgers()
        response = await peer.create(**FIELDS, idempotency_key=f"key{id(self)}")
        self.received, self.num_losses = await carry_through(peer, response, self.losses)

    def assert_same_as(self, other: Run) -> None:
        mine, theirs = own_events(self.received), own_events(other.received)
        assert [event.sequence_number for event in mine] == list(range(len(mine)))
        # An append whose acceptance was not said before the loss is sent again, and that is acknowledged.
        mine, theirs = ([each for each in run if not isinstance(each, ResponseAppended)] for run in (mine, theirs))
        assert [type(event) for event in mine] == [type(event) for event in theirs]
        assert said(mine) == said(theirs)
        assert self.ledgers[-1].tokens == other.ledgers[-1].tokens
        assert not [each for each in self.received if isinstance(each.event, ErrorEvent)]


@pytest.mark.requirement("detached-lives", "resume-replay", "resume-continues", "resume-first", "create-idempotent")
def test_a_connection_lost_after_every_single_event(play: Any) -> None:
    undisturbed, disturbed = Run([]), Run([1] * 2000)
    # After each loss one frame is response.resumed: two frames a connection make one event each time.
    disturbed.losses[1:] = [2] * 1999
    play(undisturbed, MANY_TURNS, ctx=4096)
    play(disturbed, MANY_TURNS, ctx=4096)
    disturbed.assert_same_as(undisturbed)
    assert disturbed.num_losses > 300


@pytest.mark.parametrize("at", [1, 2, 3, 5, 9, 14, 20, 27, 35, 44])
def test_a_connection_lost_once(play: Any, at: int) -> None:
    turns = MANY_TURNS[:2] + MANY_TURNS[-1:]
    undisturbed, disturbed = Run([]), Run([at])
    play(undisturbed, turns)
    play(disturbed, turns)
    disturbed.assert_same_as(undisturbed)


def test_sampled_tokens_are_the_same_too(play: Any) -> None:
    """Not replayed: drawn from the model's own probabilities, wherever the connection was lost."""
    undisturbed = Run([])
    play(undisturbed)
    for losses in ([3], [1, 2, 2, 2, 2, 2], [10, 7]):
        disturbed = Run(losses)
        play(disturbed)
        disturbed.assert_same_as(undisturbed)


@pytest.mark.requirement("detached-lives", "resume-ended")
def test_it_is_sampled_on_while_nobody_is_there(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create()
        await peer.until(lambda: bool(peer.of(OutputTextDelta)))
        await peer.lose()
        await peer.until_nothing_runs()
        again = await peer.again()
        await again.until(lambda: response.has_ended)
        assert len(again.of(ResponseCompleted)) == 1
        (resumed,) = again.of(ResponseResumed)
        assert resumed.status == "completed"

    play(scenario, [{"text": LONG}])


@pytest.mark.requirement("resume-takeover", "resume-told", "resume-elsewhere")
def test_whoever_resumes_takes_over(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        other = peer.another()
        taken = other.client.resume(response.id)
        await other.send_pending()
        await other.until(lambda: taken.is_paused)
        await peer.until(lambda: response.is_lost)
        (told,) = peer.of(ResponseDetached)
        assert (told.response_id, told.reason) == (response.id, "taken_over")
        num_events = len(peer.events)
        peer.session.receive(f'{{"type":"response.append","response_id":"{response.id}","input":"x"}}')
        await peer.until(lambda: bool(peer.of(ErrorEvent)))
        assert peer.error.error.code == "response_detached"
        await other.finish(taken)
        assert len(other.of(ResponseCompleted)) == 1
        assert len(peer.events) == num_events + 1

    play(scenario, PAUSING)


@pytest.mark.requirement("resume-decided")
def test_an_append_and_a_takeover_at_once(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        other = peer.another()
        taken = other.client.resume(response.id)
        (first, second) = response.open_calls
        await peer.append(response, FunctionCallOutput(call_id=first.call_id, output="ok"))
        await other.send_pending()
        await other.until(lambda: taken.is_paused and bool(other.of(ResponseAppended)))
        (resumed,) = other.of(ResponseResumed)
        assert [call.call_id for call in resumed.required_input] == [second.call_id]
        await other.finish(taken)

    play(scenario, [{"calls": calls("a", "b")}, {"text": "ok"}])


@pytest.mark.requirement("resume-credential")
def test_nobody_else_finds_it(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        stranger = peer.another(credential="someone else")
        taken = stranger.client.resume(response.id)
        await stranger.send_pending()
        await stranger.until(lambda: taken.is_lost)
        assert stranger.error.error.code == "response_not_found"
        await peer.finish(response)

    play(scenario, PAUSING)


@pytest.mark.requirement("resume-gap", "resume-snapshot")
def test_a_gap_is_said_and_the_snapshot_goes_on(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until(lambda: bool(peer.of(OutputTextDelta)))
        await peer.lose()
        await peer.until_on_server(response, lambda served: served.is_paused)
        again = await peer.again()
        await again.until(lambda: response.is_paused and bool(response.open_calls))
        (lost,) = [each for each in again.received if each.outcome is Outcome.SNAPSHOT]
        assert lost.event.error.code == "events_lost"
        assert "".join(part.text for part in lost.event.snapshot.response.output[0].content) == LONG.strip()
        await again.finish(response)
        assert len(again.of(ResponseCompleted)) == 1

    play(scenario, [{"text": LONG, "calls": calls("a")}, {"text": "ok"}], limits=Limits(max_replay_events=5))


@pytest.mark.requirement("pause-timeout")
def test_a_pause_that_is_never_answered(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until(lambda: response.has_ended)
        (event,) = peer.of(ResponseIncomplete)
        assert event.response.incomplete_details == {"reason": "append_timeout"}
        assert peer.num_pauses == 1

    play(scenario, PAUSING, limits=Limits(pause_timeout=0.05))


@pytest.mark.requirement("grace-period")
def test_a_response_that_nobody_resumes(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until_paused_or_ended(response)
        await peer.lose()
        await peer.until_nothing_runs()
        again = await peer.again()
        await again.until(lambda: response.has_ended)
        (cancelled,) = again.of(ResponseCancelled)
        assert cancelled.response.incomplete_details == {"reason": "abandoned"}

    play(scenario, PAUSING, limits=Limits(grace=1.0))


@pytest.mark.requirement("lifetime-close", "lifetime-resumable")
def test_a_connection_closes_for_its_age_and_its_responses_go_on(play: Any) -> None:
    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until(lambda: peer.closed is not None)
        assert peer.closed == (1001, "websocket_connection_limit_reached")
        assert peer.error.error.code == "websocket_connection_limit_reached"
        again = await peer.again()
        await again.finish(response)
        assert len(again.of(ResponseCompleted)) == 1

    play(scenario, PAUSING, limits=Limits(lifetime=0.4))


@pytest.mark.requirement("limit-slow-reader")
def test_a_slow_reader_is_detached(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CLOSE_SECONDS", 0.02)

    async def scenario(peer: Any) -> None:
        response = await peer.create(tools=[TOOL])
        await peer.until(lambda: bool(peer.of(OutputTextDelta)))
        peer.stall()
        await peer.until(lambda: peer.closed is not None)
        assert peer.closed == (1008, "slow_reader")
        again = await peer.again()
        await again.finish(response)
        assert len(again.of(ResponseCompleted)) == 1

    play(scenario, [{"text": LONG, "calls": calls("a")}, {"text": "ok"}], limits=Limits(max_unsent_events=20))


def test_a_connection_that_can_not_be_sent_on_is_closed(play: Any) -> None:
    """Whatever broke: the client is not left waiting, and goes on with another one."""

    async def scenario(peer: Any) -> None:
        async def broken(_: str) -> None:
            raise RuntimeError("no way to send")

        response = await peer.create(tools=[TOOL])
        await peer.until(lambda: bool(peer.of(ResponseCreated)))
        peer.session._send = broken
        await peer.until(lambda: peer.closed is not None)
        assert peer.closed == (1011, "sending failed")
        again = await peer.again()
        await again.finish(response)
        assert len(again.of(ResponseCompleted)) == 1

    play(scenario, [{"text": LONG, "calls": calls("a")}, {"text": "ok"}])


class TestCancel:
    @pytest.mark.requirement("cancel-paused", "cancel-final")
    def test_in_a_pause(self, play: Any) -> None:
        async def scenario(peer: Any) -> None:
            response = await peer.create(tools=[TOOL])
            await peer.until_paused_or_ended(response)
            await peer.cancel(response)
            (event,) = peer.of(ResponseCancelled)
            assert event.response.status == "cancelled"
            assert event.response.incomplete_details == {"reason": "client_request"}
            assert len(event.response.output) == 1
            assert event.response.usage.output_tokens > 0

        play(scenario, PAUSING)

    @pytest.mark.requirement("cancel-sampling")
    def test_while_it_is_sampled(self, play: Any) -> None:
        async def scenario(peer: Any) -> None:
            response = await peer.create()
            await peer.until(lambda: bool(peer.of(OutputTextDelta)))
            await peer.cancel(response)
            assert isinstance(peer.events[-1], ResponseCancelled)
            assert peer.of(ResponseCompleted) == []

        play(scenario, [{"text": LONG}])

    def test_before_it_is_created(self, play: Any) -> None:
        async def scenario(peer: Any) -> None:
            response = peer.client.create(ResponseCreate(model="test", input="hi"))
            peer.client.cancel(response)
            await peer.send_pending()
            await peer.until(lambda: response.has_ended)
            (event,) = peer.of(ResponseCancelled)
            assert event.sequence_number == 0
            assert peer.events == [event]
            assert event.response.incomplete_details == {"reason": "client_request"}

        play(scenario, [{"text": LONG}])

    @pytest.mark.requirement("cancel-append", "append-ended")
    def test_later_appends_are_told(self, play: Any) -> None:
        async def scenario(peer: Any) -> None:
            response = await peer.create(tools=[TOOL])
            await peer.until_paused_or_ended(response)
            await peer.cancel(response)
            peer.session.receive('{"type":"response.append","input":"more"}')
            await peer.until(lambda: bool(peer.of(ErrorEvent)))
            assert peer.error.error.code == "response_already_completed"
            assert "cancelled" in peer.error.error.message

        play(scenario, PAUSING)

    @pytest.mark.requirement("supersede")
    def test_a_create_supersedes(self, play: Any) -> None:
        async def scenario(peer: Any) -> None:
            first = await peer.create(tools=[TOOL])
            await peer.until_paused_or_ended(first)
            second = await peer.create(tools=[TOOL])
            await peer.until_paused_or_ended(second)
            (cancelled,) = peer.of(ResponseCancelled)
            assert cancelled.response.id == first.id
            assert cancelled.response.incomplete_details == {"reason": "superseded"}
            created = [event for event in peer.of(ResponseCreated) if event.response.id == second.id]
            assert peer.events.index(cancelled) < peer.events.index(created[0])
            assert peer.of(ResponseDone)

        play(scenario, PAUSING)
