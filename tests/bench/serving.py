"""A real server inside the benchmark's process, on a free loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from caesura.protocol.opening import APPEND_MODE
from caesura.runtime.app import create_app
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model
from caesura.sampler.replay import ReplayScript


@asynccontextmanager
async def serving(model: Model, script: ReplayScript | None, context_length: int) -> AsyncIterator[str]:
    """Serve the model as ``bench``, with a script as its replay; gives the WebSocket's URL."""
    engine = LlamaEngine(model, context_length=context_length, sequences=1)
    service = Service(model, engine, frozenset({"bench"}), script)
    rollouts = Rollouts(service)
    config = uvicorn.Config(
        create_app(service, rollouts),
        port=0,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1/responses?{APPEND_MODE}"
    finally:
        server.should_exit = True
        await task
        await rollouts.close()
        await engine.close()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop that `caesura serve` uses."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
