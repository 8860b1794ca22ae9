"""The engine's process as an operating-system object: started, ready, ended. `engine_process` is what it runs."""

from __future__ import annotations

import contextlib
import pickle
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

from . import engine_pipe
from .engine_messages import Begin, Ready, Refused
from .engine_pipe import PipeBroken
from .errors import EngineStartFailed
from .model import Model

# -P: a module of the working directory must not shadow one of Python's.
COMMAND = [sys.executable, "-P", "-m", "caesura.sampler.engine_process"]


class EngineChild:
    """One child process. The constructor starts it; `wait_ready` and `end` block and may run in any thread.

    Its standard input is the pipe, so no other descriptor is inherited; its standard error is the parent's. It has a
    session of its own: Ctrl-C in the terminal is for the parent, which ends it in order.
    """

    def __init__(self, model: Model, settings: dict[str, Any]) -> None:
        self._begin = Begin(str(model.path), model.context_length, pickle.dumps(settings))
        self._vocabulary_size = model.vocab.size
        self._ending = threading.Lock()
        self.socket, inherited = socket.socketpair()
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                COMMAND,
                stdin=inherited.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self.socket.close()
            raise EngineStartFailed(f"the engine's process can't be started: {error}") from error
        finally:
            inherited.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> Ready:
        """Raises EngineStartFailed, ModelError or another SamplerError: what the engine's constructor raised."""
        try:
            self.socket.sendall(engine_pipe.frame(self._begin))
            answer: Ready | Refused = engine_pipe.receive(self.socket, Ready | Refused)
        except (OSError, PipeBroken):
            raise EngineStartFailed(f"the engine's process ended while it started: {self.end(0)}") from None
        if isinstance(answer, Refused):
            self.end(0)
            raise answer.error.restore()
        if answer.vocabulary_size != self._vocabulary_size:
            self.end(0)
            raise EngineStartFailed(f"{self._begin.model} was replaced by another model: start the server again")
        return answer

    def end(self, seconds: float) -> str:
        """Close the pipe, wait so long, kill if need be, reap. Returns how it ended. Idempotent."""
        with self._ending:
            with contextlib.suppress(OSError):  # closed already
                self.socket.shutdown(socket.SHUT_RDWR)
            try:
                status = self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                status = self._process.wait()
            self.socket.close()
        return f"exit status {status}" if status >= 0 else f"killed by {_signal_name(-status)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
