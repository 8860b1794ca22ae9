"""The process around the app: model, engine, socket, uvicorn, signals."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import uvicorn

from ..sampler.engine import Engine
from ..sampler.eviction import DEFAULT_POLICY
from ..sampler.llama_engine import LlamaEngine
from ..sampler.memory_plan import MemoryPlan
from ..sampler.model import Model
from ..sampler.process_engine import ProcessEngine
from ..sampler.replay import ReplayScript
from .app import create_app
from .service import Service

GRACE_SECONDS = 5
"""How long open connections may take to close on shutdown."""

ENGINES: dict[str, Callable[..., Engine]] = {"thread": LlamaEngine, "process": ProcessEngine}
"""Where llama.cpp runs: in a thread of this process, or in a process that can crash without ending a Response."""
DEFAULT_ENGINE = "thread"


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the engine. See :class:`caesura.sampler.llama_engine.LlamaEngine`.

    :ivar sequences: how many can be sampled at once.
    :ivar max_open: how many Responses can be open at once, most of them paused.
    :ivar engine: a name of :data:`ENGINES`.
    """

    sequences: int
    threads: int
    max_open: int
    plan: MemoryPlan
    flash_attention: bool = False
    eviction: str = DEFAULT_POLICY
    share_prefixes: bool = True
    engine: str = DEFAULT_ENGINE


class _Server(uvicorn.Server):
    """uvicorn's server with two differences. It says when it is ready. And a signal ends it with exit status 0:
    uvicorn raises the signal again when it is done, so that a supervisor would take an orderly stop for a crash."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        yield


async def serve(
    model: Model,
    model_names: frozenset[str],
    settings: Settings,
    listener: socket.socket,
    *,
    replay: ReplayScript | None = None,
    on_ready: Callable[[bool], None] = lambda batch_invariant: None,
) -> None:
    """Serve until SIGTERM or SIGINT. The listening socket is the caller's, bound but maybe not listening yet.

    ``on_ready`` is told whether the engine is batch-invariant.

    :raises SamplerError: the engine can't be started with these settings.
    """
    engine = ENGINES[settings.engine](
        model,
        context_length=model.context_length,
        sequences=settings.sequences,
        max_sequences=settings.max_open,
        plan=settings.plan,
        threads=settings.threads,
        flash_attention=settings.flash_attention,
        eviction=settings.eviction,
        share_prefixes=settings.share_prefixes,
    )
    try:
        config = uvicorn.Config(
            create_app(Service(model, engine, model_names, replay)),
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        await _Server(config, partial(on_ready, engine.batch_invariant)).serve(sockets=[listener])
    finally:
        await engine.close()
