"""A server's session and a client's core joined in memory, on the real engine and the demo model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from caesura.protocol.connection import ClientProtocol, ClientResponse, Received, ServerResponse
from caesura.protocol.events import ErrorEvent, ResponseDone, ServerEvent
from caesura.protocol.items import FunctionCall, FunctionCallOutput, InputMessage
from caesura.protocol.limits import DEFAULT_LIMITS, Limits
from caesura.protocol.messages import ResponseCreate
from caesura.runtime.guards import Guard, Guards
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.runtime.session import Session
from caesura.runtime.spans import Spans
from caesura.runtime.store import ResponseStore
from caesura.sampler.engine import Engine, Ledger, TokenSequence
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model, load_model
from caesura.sampler.random_model import SHAPES, write_random_model
from caesura.sampler.replay import ReplayScript

SECONDS = 20
"""Bound on every wait: a hang fails instead of blocking the suite."""


class Peer:
    """A client that talks to a :class:`Session` without a transport. ``events`` is all that came, in order."""

    def __init__(self, service: Service, rollouts: Rollouts, client: ClientProtocol, credential: str = "") -> None:
        self.service = service
        self.rollouts = rollouts
        self.client = client
        self.session = Session(rollouts, self._frame, self._close, credential)
        self.closed: tuple[int, str] | None = None
        self.frames_left: int | None = None
        self._frames_to_come: int | None = None
        self._reading = asyncio.Event()
        self._reading.set()
        self.received: list[Received] = []
        self._news = asyncio.Event()
        client.connected()

    @classmethod
    def make(cls, service: Service, limits: Limits = DEFAULT_LIMITS) -> Peer:
        return cls(service, Rollouts(service, limits), ClientProtocol())

    async def again(self, frames: int | None = None) -> Peer:
        """The same client on a new connection, after this one was lost; to be lost after so many frames too."""
        await self.lose()
        peer = Peer(self.service, self.rollouts, self.client)
        if frames is not None:
            peer.cut_after(frames)
        await peer.send_pending()
        return peer

    async def lose(self) -> None:
        """The transport is gone."""
        await self.session.disconnect()
        self.client.disconnected()

    @property
    def events(self) -> list[ServerEvent]:
        """All that came, in order."""
        return [received.event for received in self.received]

    def cut_after(self, frames: int) -> None:
        """Lose the connection after so many more frames: what the server sends from then on gets lost on the way, and
        so does what the client sends. :meth:`again` is the rest of it."""
        self.frames_left = self._frames_to_come = frames

    @property
    def is_cut(self) -> bool:
        return self.frames_left == 0

    def another(self, credential: str = "") -> Peer:
        """Another client of the same server."""
        return Peer(self.service, self.rollouts, ClientProtocol(), credential)

    async def _frame(self, text: str) -> None:
        await self._reading.wait()
        if self._frames_to_come == 0:
            return
        if self._frames_to_come is not None:
            self._frames_to_come -= 1
        # Taken in later, as over a real transport: a server sends in the midst of what it does.
        asyncio.get_running_loop().call_soon(self._take, text)

    def _take(self, text: str) -> None:
        if self.frames_left is not None:
            self.frames_left -= 1
        received = self.client.receive(text)
        if received is not None:
            self.received.append(received)
        self._send_now()
        self._news.set()

    async def _close(self, code: int, reason: str) -> None:
        self.closed = code, reason
        self._news.set()

    async def create(self, **fields: Any) -> ClientResponse:
        response = self.client.create(ResponseCreate(**{"model": "test", "input": "hi", **fields}))
        await self.send_pending()
        return response

    async def append(self, response: ClientResponse, *items: FunctionCallOutput | InputMessage) -> None:
        self.client.append(response, items)
        await self.send_pending()

    async def answer(self, response: ClientResponse, text: str = "ok") -> None:
        outputs = [FunctionCallOutput(call_id=call.call_id, output=text) for call in response.open_calls]
        await self.append(response, *outputs)

    async def answer_call(self, response: ClientResponse, call: FunctionCall, text: str) -> None:
        await self.append(response, FunctionCallOutput(call_id=call.call_id, output=text))

    async def cancel(self, response: ClientResponse) -> None:
        """Ask for its end, and wait for it."""
        self.client.cancel(response)
        await self.send_pending()
        await self.until(lambda: response.has_ended)

    def stall(self) -> None:
        """Read nothing any more."""
        self._reading.clear()

    async def until_on_server(self, response: ClientResponse, condition: Callable[[ServerResponse], bool]) -> None:
        """Wait for something that nobody is told."""
        served = self.rollouts._core._responses[response.id or ""]
        async with asyncio.timeout(SECONDS):
            while not condition(served):  # noqa: ASYNC110  (nothing signals it to anybody)
                await asyncio.sleep(0.001)

    async def until_nothing_runs(self) -> None:
        """Every rollout has ended."""
        async with asyncio.timeout(SECONDS):
            while self.rollouts._running:
                await asyncio.wait([running.task for running in self.rollouts._running.values()])

    def watch_ledgers(self) -> list[Ledger]:
        """The ledgers of the sequences that the engine opens from now on."""
        ledgers: list[Ledger] = []
        engine: Any = self.service.engine
        original = engine.open

        async def open_and_watch(tokens: Sequence[int], **options: Any) -> TokenSequence:
            sequence: TokenSequence = await original(tokens, **options)
            ledgers.append(sequence.ledger)
            return sequence

        engine.open = open_and_watch
        return ledgers

    async def send_pending(self) -> None:
        self._send_now()

    def _send_now(self) -> None:
        while (frame := self.client.next_frame()) is not None:
            if not self.is_cut:
                self.session.receive(frame)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_paused_or_ended(self, response: ClientResponse) -> None:
        """Until it waits for an answer that is not under way, or has ended."""
        await self.until(lambda: (response.is_paused and bool(response.open_calls)) or response.has_ended)

    async def finish(self, response: ClientResponse, text: str = "ok") -> None:
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
        limits: Limits = DEFAULT_LIMITS,
        scripted: bool = False,
        **settings: Any,
    ) -> None:
        replay = None if turns is None else script(turns)

        async def main() -> None:
            engine = kind(served, context_length=ctx, sequences=sequences, max_sequences=max_sequences, **settings)
            try:
                peer = Peer.make(Service(served, engine, frozenset({"test"}), replay, scripted), limits)
                await scenario(peer)
                await peer.rollouts.close()
                await _all_sequences_are_free(engine)
            finally:
                await engine.close()

        asyncio.run(main())

    return run


Host = Callable[..., None]


@pytest.fixture
def host(model: Model, script: Callable[[Sequence[dict[str, Any]]], ReplayScript]) -> Host:
    """``host(scenario, turns)`` runs an async scenario, given a server's rollouts and its service; afterwards every
    sequence must be free."""

    def run(
        scenario: Callable[[Rollouts, Service], Awaitable[None]],
        turns: Sequence[dict[str, Any]] | None = None,
        *,
        ctx: int = 2048,
        sequences: int = 2,
        max_sequences: int = 16,
        limits: Limits = DEFAULT_LIMITS,
        store: Callable[[], ResponseStore] | None = None,
        served: Model = model,
        kind: Callable[..., Engine] = LlamaEngine,
        guards: Sequence[Guard] = (),
        scripted: bool = False,
        replay: ReplayScript | None = None,
        spans: Spans | None = None,
    ) -> None:
        replay = replay if turns is None else script(turns)

        async def main() -> None:
            engine = kind(served, context_length=ctx, sequences=sequences, max_sequences=max_sequences)
            kept = None if store is None else store()
            service = Service(served, engine, frozenset({"test"}), replay, scripted, kept, Guards(guards), spans=spans)
            rollouts = Rollouts(service, limits)
            try:
                await scenario(rollouts, service)
                await rollouts.close()
                await _all_sequences_are_free(engine)
            finally:
                await engine.close()
                if kept is not None:
                    await kept.close()

        asyncio.run(main())

    return run


async def _all_sequences_are_free(engine: Engine) -> None:
    opened = [await engine.open([1]) for _ in range(engine.max_sequences)]
    for sequence in opened:
        await sequence.close()
