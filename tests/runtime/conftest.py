"""A server's session and a client's core joined in memory, on the real engine and the demo model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.connection import ClientConnection
from caesura.protocol.items import FunctionCallOutput, InputMessage
from caesura.protocol.messages import ErrorEvent, ResponseCreate, ResponseDone, ServerEvent
from caesura.protocol.response import ResponseMachine
from caesura.runtime.service import Service
from caesura.runtime.session import Session
from caesura.sampler.engine import Engine, Ledger, TokenSequence
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model, load_model
from caesura.sampler.random_model import SHAPES, write_random_model
from caesura.sampler.replay import ReplayScript

SECONDS = 20
"""Bound on every wait: a hang fails instead of blocking the suite."""


class Peer:
    """A client that talks to a :class:`Session` without a transport. ``events`` is all that came, in order."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.session = Session(service, self._frame)
        self.connection = ClientConnection()
        self.events: list[ServerEvent] = []
        self._news = asyncio.Event()

    async def _frame(self, text: str) -> None:
        self.events += [received.event for received in self.connection.receive(text, 0.0)]
        self._news.set()

    async def create(self, **fields: Any) -> ResponseMachine:
        response = self.connection.create(ResponseCreate(**{"model": "test", "input": "hi", **fields}))
        await self.send_pending()
        return response

    async def append(self, response: ResponseMachine, *items: FunctionCallOutput | InputMessage) -> None:
        self.connection.append(response, items)
        await self.send_pending()

    async def answer(self, response: ResponseMachine, text: str = "ok") -> None:
        await self.append(response, *(FunctionCallOutput(call_id=call, output=text) for call in response.pending_calls))

    def watch_ledgers(self) -> list[Ledger]:
        """The ledgers of the sequences that the engine opens from now on."""
        ledgers: list[Ledger] = []
        engine: Any = self.service.engine
        original = engine.open

        async def open_and_watch(tokens: Sequence[int]) -> TokenSequence:
            sequence: TokenSequence = await original(tokens)
            ledgers.append(sequence.ledger)
            return sequence

        engine.open = open_and_watch
        return ledgers

    async def send_pending(self) -> None:
        for frame in self.connection.data_to_send():
            await self.session.receive(frame)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_paused_or_ended(self, response: ResponseMachine) -> None:
        await self.until(lambda: response.is_paused or response.has_ended)

    async def finish(self, response: ResponseMachine, text: str = "ok") -> None:
        """Answer every pause until the Response ends."""
        await self.until_paused_or_ended(response)
        while not response.has_ended:
            await self.answer(response, text)
            await self.until_paused_or_ended(response)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def error(self) -> ErrorEvent:
        (event,) = self.of(ErrorEvent)
        assert isinstance(event, ErrorEvent)
        return event

    @property
    def num_pauses(self) -> int:
        return len(self.of(ResponseDone))


@pytest.fixture(scope="module")
def model(demo_model_path: Path) -> Model:
    return load_model(demo_model_path)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """It says anything at all."""
    return load_model(write_random_model(tmp_path_factory.mktemp("models") / "tiny.gguf", SHAPES["tiny"]))


@pytest.fixture
def script(tmp_path: Path) -> Callable[[Sequence[dict[str, Any]]], ReplayScript]:
    """Make a replay script from its turns."""

    def make(turns: Sequence[dict[str, Any]]) -> ReplayScript:
        file = tmp_path / "script.json"
        file.write_text(json.dumps({"turns": turns}))
        return ReplayScript.load(file)

    return make


Scenario = Callable[[Peer], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(model: Model, script: Callable[[Sequence[dict[str, Any]]], ReplayScript]) -> Play:
    """``play(scenario, turns)`` runs an async scenario against a session; afterwards every sequence must be free."""

    def run(
        scenario: Scenario,
        turns: Sequence[dict[str, Any]] | None = None,
        *,
        ctx: int = 2048,
        sequences: int = 2,
        max_sequences: int = 16,
        served: Model = model,
        kind: Callable[..., Engine] = LlamaEngine,
        **settings: Any,
    ) -> None:
        replay = None if turns is None else script(turns)

        async def main() -> None:
            engine = kind(served, context_length=ctx, sequences=sequences, max_sequences=max_sequences, **settings)
            try:
                peer = Peer(Service(served, engine, frozenset({"test"}), replay))
                await scenario(peer)
                await peer.session.close()
                await _all_sequences_are_free(engine)
            finally:
                await engine.close()

        asyncio.run(main())

    return run


async def _all_sequences_are_free(engine: Engine) -> None:
    opened = [await engine.open([1]) for _ in range(engine.max_sequences)]
    for sequence in opened:
        await sequence.close()
