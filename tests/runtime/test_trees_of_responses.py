"""A conversation's tokens depend on what was said in it and on nothing else: not on the lane, not on what else went on
from the same Response before or at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caesura.protocol.limits import Limits
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sockets import Socket, answer, calls_of, text_of

Host = Callable[..., None]
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
TURNS = [{"text": f"Turn {number}.", "calls": [{"name": "look", "arguments": {}}]} for number in range(12)]
LANES = (None, "a", "b")

STEP = st.tuples(st.integers(0, 11), st.sampled_from(["one", "two", ""]), st.sampled_from(LANES))
"""Which of the Responses so far it goes on from, what is said there (nothing: the call is left unanswered), where."""


class Tree:
    def __init__(self, socket: Socket, rollouts: Rollouts) -> None:
        self._socket = socket
        self._rollouts = rollouts
        self.responses: list[tuple[dict[str, Any], tuple[str, ...]]] = []
        self.tokens: dict[tuple[str, ...], list[int]] = {}

    def begin(self, parent: int, said: str, lane: str | None) -> tuple[str, ...]:
        """Send a create; the path of what it makes."""
        response, path = self.responses[parent % len(self.responses)]
        output = [answer(call, said) for call in calls_of(response) if said]
        named = {} if lane is None else {"stream_id": lane}
        items = [*output, {"role": "user", "content": "Go on."}]
        self._socket.send(input=items, previous_response_id=response["id"], tools=[TOOL], store=False, **named)
        return (*path, said)

    async def end(self, path: tuple[str, ...], lane: str | None) -> None:
        end = await self._socket.end(lane)
        response = end.get("response")
        if response is None:  # its parent was forgotten for another one, and nothing else can go wrong
            assert end["error"]["code"] == "previous_response_not_found"
            return
        assert text_of(response) == f"Turn {len(path) - 1}."
        usage, tokens = response["usage"], response["caesura"]["tokens"]
        assert usage["output_tokens"] == tokens["sampled"]
        assert usage["input_tokens"] == tokens["carried"] + tokens["prefilled"] + tokens["appended"]
        self.responses.append((response, path))
        previous = self._rollouts.previous(self._socket.session.connection, response["id"])
        if previous is not None and previous.row is not None:
            row = previous.row.sequence.ledger.tokens[: previous.length]
            assert len(row) == usage["total_tokens"]
            assert self.tokens.setdefault(path, row) == row


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(STEP, min_size=1, max_size=3), min_size=1, max_size=5), remembered=st.integers(1, 6))
def test_the_same_path_has_the_same_tokens(host: Host, rounds: list[list[Any]], remembered: int) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        tree = Tree(socket, rollouts)
        socket.send(input="Go on.", tools=[TOOL], store=False)
        await tree.end(("",), None)
        for steps in rounds:  # those of a round are under way together
            begun = [(tree.begin(*step), step[2]) for step in steps]
            for path, lane in begun:
                await tree.end(path, lane)
        await socket.lose()

    host(scenario, TURNS, sequences=4, max_sequences=24, limits=Limits(max_remembered=remembered))
