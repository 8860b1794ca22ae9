"""The client under test as a process: started, read, and killed if it hangs."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

LONGEST_LINE = 1 << 20
"""Characters of a line of its output; what goes beyond is another line."""

PIPE_SECONDS = 1.0
"""How long its pipes may stay open after its end: what it has started itself may hold them for ever."""

OnLine = Callable[[str, str], None]
"""Called with ``stdout`` or ``stderr`` and a line."""


class ClientNotStarted(Exception):
    """The command can't be run; the message is for the user."""


class ClientRun(Protocol):
    """One run of the client. It may be waited for any number of times, by several at once."""

    async def wait(self) -> int:
        """Its exit status, once it has ended and all that it printed is read; negative for a signal."""
        ...

    async def kill(self) -> None:
        """End it, whatever it does; returns when it has ended."""
        ...


Launch = Callable[[str, Mapping[str, str], OnLine], Awaitable[ClientRun]]
"""Starts the client: the URL, the environment variables that it is given besides the suite's own, and who gets its
lines. Raises ``ClientNotStarted``."""


def launch_command(command: Sequence[str]) -> Launch:
    """A ``Launch`` of this command, ``{url}`` in it replaced by the URL."""

    async def launch(url: str, environment: Mapping[str, str], on_line: OnLine) -> ClientRun:
        argv = [each.replace("{url}", url) for each in command]
        # Pipes of our own: with asyncio's, waiting for a process waits for whatever it has left behind that holds them.
        pipes = {"stdout": os.pipe(), "stderr": os.pipe()}
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=DEVNULL,
                stdout=pipes["stdout"][1],
                stderr=pipes["stderr"][1],
                env={**os.environ, **_without_proxy(), **environment},
                start_new_session=True,  # so that what it starts can be killed with it
            )
        except (OSError, ValueError) as error:
            for read_end, _ in pipes.values():
                os.close(read_end)
            raise ClientNotStarted(f"can't run {argv[0]}: {error}") from error
        finally:
            for _, write_end in pipes.values():
                os.close(write_end)
        return _Process(process, {name: read_end for name, (read_end, _) in pipes.items()}, on_line)

    return launch


def _without_proxy() -> dict[str, str]:
    """A proxy from the environment can't reach the suite's server on this machine."""
    known = {name: os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy")}
    return {name: f"{value},127.0.0.1".lstrip(",") for name, value in known.items()}


class _Process:
    def __init__(self, process: asyncio.subprocess.Process, pipes: Mapping[str, int], on_line: OnLine) -> None:
        self._process = process
        self._on_line = on_line
        self._readers = [asyncio.create_task(self._read(name, pipe)) for name, pipe in pipes.items()]
        self._end = asyncio.create_task(self._follow(), name="conformance client")

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    async def kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.shield(self._end)

    async def _follow(self) -> int:
        status = await self._process.wait()
        _, hanging = await asyncio.wait(self._readers, timeout=PIPE_SECONDS)
        for reader in hanging:
            reader.cancel()
        return status

    async def _read(self, name: str, pipe: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(pipe, "rb", buffering=0)
        )
        try:
            rest = b""
            while chunk := await stream.read(1 << 16):  # readline fails for a line that is too long
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._on_line(name, line.decode(errors="replace"))
            if rest:
                self._on_line(name, rest.decode(errors="replace"))
        finally:
            transport.close()
