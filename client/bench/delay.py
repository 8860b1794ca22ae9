"""A round trip that costs something: a TCP proxy, in a process of its own, that holds everything back for a while.

On loopback a round trip is free, and a design that needs more of them looks as good as one that needs fewer. The proxy
adds latency alone: bandwidth stays what it is, nothing is lost, and TCP's slow start is not imitated.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from ..processes import reap
from .driver import BenchError

_STOP_SECONDS = 5.0

_EARLY_SECONDS = 100e-6
"""A processor that sleeps takes 50 to 200 us to run again. So timers are set this much too early, and what is left is
waited out awake: less than this a chunk."""


@contextmanager
def delay_proxy(target_url: str, rtt_ms: float) -> Iterator[str]:
    """The same server at another URL, ``rtt_ms`` milliseconds further away.

    Each direction takes half of them. A chunk is due that long after it has arrived, whatever is on its way already. A
    connection to the proxy is there at once, as on any loopback: what connecting would cost is no part of a session,
    for no design.

    :raises BenchError: ``target_url`` is no http or ws address, or the proxy does not start.
    """
    parts = urlsplit(target_url)
    if parts.scheme not in ("http", "ws") or not parts.hostname:
        raise BenchError(f"no latency can be added to {target_url!r}: it is no http or ws address")
    command = [sys.executable, "-m", __name__, parts.hostname, str(parts.port or 80), str(rtt_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise BenchError("the proxy that adds latency did not start")
            yield urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}"))
        finally:
            process.stdin.close()  # it ends when nobody holds the other end, so it never outlives this process
            reap(process, _STOP_SECONDS)


class _PreciseSelector(selectors.EpollSelector):
    """Waits to the microsecond. ``epoll_wait`` takes milliseconds and Python rounds up, so that each timer of an event
    loop is up to one late; ``select`` takes microseconds, and an epoll descriptor can be selected like any other."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            select.select([self.fileno()], [], [], timeout)
        return super().select(0)


class _Direction:
    """Chunks on their way to one side; None is the end of the stream."""

    def __init__(self, half: float) -> None:
        self.transport: asyncio.Transport | None = None
        self._half = half
        self._chunks: deque[tuple[float, bytes | None]] = deque()
        self._loop = asyncio.get_running_loop()

    def send(self, chunk: bytes | None) -> None:
        # Timers with equal times may fire in any order, so each releases the oldest chunk, not one of its own.
        due = self._loop.time() + self._half
        self._chunks.append((due, chunk))
        self._loop.call_at(due - _EARLY_SECONDS, self._release)

    def _release(self) -> None:
        due, chunk = self._chunks.popleft()
        while self._loop.time() < due:
            pass
        if self.transport is None or self.transport.is_closing():
            return
        if chunk is None:
            self.transport.close()
        else:
            self.transport.write(chunk)


class _End(asyncio.Protocol):
    """One of the two connections. What it receives goes out at the other one; a slow reader there stops it here."""

    def __init__(self, out: _Direction, back: _Direction) -> None:
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self._out = out
        self._back = back

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self._back.transport = cast(asyncio.Transport, transport)
        other = self.other.transport if self.other is not None else None
        if other is None:
            self.transport.pause_reading()  # there is nowhere to send it yet
        else:
            other.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._out.send(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._out.send(None)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class _Proxy:
    def __init__(self, host: str, port: int, rtt: float) -> None:
        self._host = host
        self._port = port
        self._rtt = rtt
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self) -> _End:
        """A client's connection; the server's is opened beside it."""
        up, down = _Direction(self._rtt / 2), _Direction(self._rtt / 2)
        client, server = _End(up, down), _End(down, up)
        client.other, server.other = server, client
        task = asyncio.create_task(self._connect(server, down))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return client

    async def _connect(self, server: _End, down: _Direction) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: server, self._host, self._port)
        except OSError:
            down.send(None)


async def _serve(host: str, port: int, rtt: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Proxy(host, port, rtt).accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)  # nothing is ever written to it: it is readable when it is closed
    await ended.wait()


def main(arguments: list[str]) -> None:
    """HOST PORT RTT_MS: serve on a free port of this machine, which is printed, until stdin is closed."""
    host, port, rtt_ms = arguments
    with suppress(OSError):  # else the kernel lets each timer be 50 us late, to save energy
        Path("/proc/self/timerslack_ns").write_text("1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bench, which closes stdin
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(_serve(host, int(port), float(rtt_ms) / 1e3))


def _precise_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(_PreciseSelector())


if __name__ == "__main__":
    main(sys.argv[1:])
