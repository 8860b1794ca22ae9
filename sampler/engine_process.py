"""The engine's process: a `LlamaEngine` behind a pipe. `process_engine` starts it and has the other side.

    python -m caesura.sampler.engine_process    (its standard input is the pipe, a socket)

It holds nothing that the parent could not make again: the parent keeps the ledgers. So whatever goes wrong here ends
the process, and the parent starts another. It also ends when the pipe does, which is when the parent is gone, for
whatever reason. Decoding runs in the engine's own thread without the GIL, so that is noticed at once.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
from typing import NoReturn

from . import engine_pipe
from .engine import Engine
from .engine_messages import Begin, CrossedError, Ready, Refused
from .engine_pipe import PipeBroken
from .engine_server import EngineServer, die

CLOSE_SECONDS = 5.0
"""A clean end removes what the engine keeps on disk. After this long the process ends without."""


async def _serve(engine: Engine, sock: socket.socket) -> None:
    await EngineServer(engine, sock).ended
    await asyncio.wait_for(engine.close(), CLOSE_SECONDS)


def _take_pipe() -> socket.socket:
    """The pipe, from standard input, which is empty for whoever reads it from now on."""
    sock = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return sock


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main() -> NoReturn:
    sock = _take_pipe()
    try:
        begin: Begin = engine_pipe.receive(sock, Begin)
        try:
            from .llama_engine import LlamaEngine
            from .model import load_model

            settings = pickle.loads(begin.settings)
            simulated = settings.get("cost_model") is not None
            model = load_model(begin.model, context_length=begin.context_length, vocab_only=simulated)
            engine = LlamaEngine(model, **settings)
        except Exception as error:
            sock.sendall(engine_pipe.frame(Refused(CrossedError.of(error))))
            os._exit(1)
        ready = Ready(engine.context_length, engine.max_sequences, engine.batch_invariant, model.vocab.size)
        sock.sendall(engine_pipe.frame(ready))
    except (OSError, PipeBroken):
        os._exit(0)  # the parent went away meanwhile
    try:
        _event_loop().run_until_complete(_serve(engine, sock))
    except Exception as error:
        die(error)
    os._exit(0)


if __name__ == "__main__":
    main()
