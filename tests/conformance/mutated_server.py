"""Our own server in this process, with patches or without, under the suite."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from caesura.client.conformance.drivers import Scripted
from caesura.client.conformance.outcome import CheckOutcome
from caesura.client.conformance.registry import Check
from caesura.client.conformance.runner import run_checks
from caesura.client.conformance.server_case import ServerCase
from caesura.client.conformance.server_checks import checks
from caesura.client.conformance.settings import Settings
from caesura.client.conformance.transcript import Transcript
from caesura.protocol.limits import Limits
from caesura.runtime.app import create_app
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.llama_sequence import LlamaSequence
from caesura.sampler.model import load_model
from server_mutants import LIMITS, Mutant, Patches

CHECK_SECONDS = 30.0

STOP_SECONDS = 10.0

SHORT = 40
"""Tokens that come as they are sampled."""

TOKEN_SECONDS = 0.001
"""What each further token of a turn takes. A tiny model is done before anything can be said meanwhile; a larger one
takes its time from the processor."""


class Workshop:
    """One engine for all servers. Make it inside the event loop that it runs in."""

    def __init__(self, model_path: Path) -> None:
        model = load_model(model_path)
        self._engine = LlamaEngine(model, context_length=2048)
        self._service = Service(model, self._engine, frozenset({model.name}), scripted=True)

    async def run(
        self, names: Collection[str], limits: str, wait: float, mutant: Mutant | None = None
    ) -> list[CheckOutcome]:
        """Run these checks on a server of its own; one after the other if its limits are small, since they share them.

        :param wait: seconds that a check waits at most for something that does not come.
        """
        selected = [check for check in checks if check.name in names]
        assert len(selected) == len(set(names))
        bounds: dict[str, Any] = dict(LIMITS[limits])
        with ExitStack() as patches:
            Patches(patches).around(LlamaSequence, "sample")(_paced)
            if mutant is not None:
                patches.enter_context(mutant.applied())
            async with self._serving(Limits(**bounds)) as url:
                settings = Settings(url, self._service.model.name, "key", "other-key", wait, bounds)

                async def open_case(check: Check, transcript: Transcript) -> ServerCase:
                    return ServerCase(settings, Scripted(), transcript)

                return await run_checks(
                    selected, open_case, why_not=settings.why_not, jobs=1 if bounds else 4, check_seconds=CHECK_SECONDS
                )

    @asynccontextmanager
    async def _serving(self, limits: Limits) -> AsyncIterator[str]:
        """Its address. uvicorn's own way to stop takes a tenth of a second, which is most of what a mutant needs."""
        rollouts = Rollouts(self._service, limits)
        listener = socket.create_server(("127.0.0.1", 0))
        # asyncio does so for sockets that name their protocol alone; without it small frames wait for 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            create_app(self._service, rollouts),
            ws="websockets-sansio",
            ws_max_size=4 * limits.max_message_bytes,
            ws_per_message_deflate=False,
            ws_ping_interval=limits.ping_interval,
            lifespan="off",
            log_config=None,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/responses"
        finally:
            for each in server.servers:
                each.close()
            for connection in list(server.server_state.connections):
                connection.shutdown()
            if server.server_state.tasks:
                await asyncio.wait(server.server_state.tasks, timeout=STOP_SECONDS)
            await rollouts.close()

    async def close(self) -> None:
        await self._engine.close()


def _paced(original: Any, *arguments: Any, **named: Any) -> AsyncIterator[list[Any]]:
    """A sequence's stream of tokens, one at a time, and slow once it is long."""
    stream = original(*arguments, **named)

    async def one_by_one() -> AsyncIterator[list[Any]]:
        async with aclosing(stream):
            count = 0
            async for tokens in stream:
                for token in tokens:
                    count += 1
                    if count > SHORT:
                        await asyncio.sleep(TOKEN_SECONDS)
                    yield [token]

    return one_by_one()
