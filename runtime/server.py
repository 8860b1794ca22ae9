"""The process around the app: model, engine, socket, uvicorn, signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import uvicorn

from ..protocol.limits import DEFAULT_LIMITS, Limits
from ..sampler.cost_model import CostModel
from ..sampler.engine import Engine
from ..sampler.eviction import DEFAULT_POLICY
from ..sampler.llama_engine import LlamaEngine
from ..sampler.memory_plan import MemoryPlan
from ..sampler.model import Model
from ..sampler.process_engine import ProcessEngine
from ..sampler.replay import ReplayScript
from .access.guard import Access, guarded
from .access.transport import HEADER_SLACK_BYTES, HttpProtocol, WebSocketProtocol
from .app import create_app
from .guards.guard import Guard, Guards
from .metrics import Metrics
from .rollouts import Rollouts
from .service import Service
from .spans import Spans
from .store import ResponseStore

_TRANSPORT_MARGIN = 4

KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection: one that is closed as they use it again is an error to them."""

GRACE_SECONDS = 5
"""How long open connections may take to close on shutdown."""

LAST_CALL_SECONDS = 3
"""How long what is in flight then may take to end by itself; after that it is ended."""

OpenStore = Callable[[Callable[[], None]], ResponseStore]

ENGINES: dict[str, Callable[..., Engine]] = {"thread": LlamaEngine, "process": ProcessEngine}
"""Where llama.cpp runs: in a thread of this process, or in a process that can crash without ending a Response."""
DEFAULT_ENGINE = "thread"


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the engine. See :class:`caesura.sampler.llama_engine.LlamaEngine`.

    :ivar sequences: how many can be sampled at once.
    :ivar max_open: how many Responses can be open at once, most of them paused.
    :ivar engine: a name of :data:`ENGINES`.
    :ivar cost_model: of a simulated engine; None for a real one.
    """

    sequences: int
    threads: int
    max_open: int
    plan: MemoryPlan
    flash_attention: bool = False
    eviction: str = DEFAULT_POLICY
    share_prefixes: bool = True
    engine: str = DEFAULT_ENGINE
    cost_model: CostModel | None = None


def _is_news(record: logging.LogRecord) -> bool:
    """uvicorn takes a handshake that is refused with an answer for one that was forgotten, and a stream that is cut off
    since nobody reads it for one that broke, and logs errors."""
    return "without completing" not in record.getMessage()


class _Server(uvicorn.Server):
    """uvicorn's server with three differences. It says when it is ready. Requests that are in flight long after a
    signal are told that they end, before uvicorn breaks them off. And a signal ends it with exit status 0: uvicorn
    raises the signal again when it is done, so that a supervisor would take an orderly stop for a crash."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_last_call: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_last_call = on_last_call

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # All that was imported and made until now is here to stay. Collecting garbage would go through it every now and
        # then, some hundred milliseconds in which no token moves.
        gc.collect()
        gc.freeze()
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(LAST_CALL_SECONDS, self._on_last_call)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

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
    scripted: bool = False,
    anticipate: bool = True,
    spans: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    access: Access | None = None,
    guards: Sequence[Guard] = (),
    open_store: OpenStore | None = None,
    on_ready: Callable[[bool], None] = lambda batch_invariant: None,
) -> None:
    """Serve until SIGTERM or SIGINT. The listening socket is the caller's, bound but maybe not listening yet.

    ``access`` says who may use it. ``scripted`` lets requests bring the model's turns (:mod:`.scripted`).
    ``anticipate`` is :attr:`.service.Service.anticipates`. ``spans`` keeps when what happened (:mod:`.spans`).
    ``open_store`` is given what to call for a Response that could not be stored. ``on_ready`` is told whether the
    engine is batch-invariant.

    :raises StoreUnusable: from ``open_store``.
    :raises SamplerError: the engine can't be started with these settings.
    """
    access = Access() if access is None else access
    metrics = Metrics()
    store = None if open_store is None else open_store(metrics.store_write_failed)
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
        cost_model=settings.cost_model,
    )
    service = Service(
        model,
        engine,
        model_names,
        replay,
        scripted,
        store,
        Guards(guards),
        metrics,
        anticipates=anticipate,
        spans=Spans() if spans else None,
    )
    rollouts = Rollouts(service, limits)
    metrics.watch(lambda: rollouts.num_open, lambda: rollouts.num_paused)
    try:
        config = uvicorn.Config(
            guarded(create_app(service, rollouts), access, metrics),
            http=HttpProtocol,
            # HttpProtocol obeys it too. uvicorn has no such bound for httptools.
            h11_max_incomplete_event_size=access.bounds.max_header_bytes + HEADER_SLACK_BYTES,
            ws=WebSocketProtocol,
            # Messages a little too large are answered with an error; the transport closes on far larger ones.
            ws_max_size=_TRANSPORT_MARGIN * limits.max_message_bytes,
            ws_per_message_deflate=False,
            ws_ping_interval=limits.ping_interval,
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        await _Server(config, partial(on_ready, engine.batch_invariant), rollouts.end_all).serve(sockets=[listener])
    finally:
        await rollouts.close()
        await engine.close()
        if store is not None:
            await store.close()
