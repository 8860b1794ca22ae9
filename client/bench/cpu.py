"""Processor time by process, and within our server by what it was spent on: from ``/proc``, in nanoseconds.

The scheduler's own count of each thread (``schedstat``) is used: the clock ticks of ``/proc/PID/stat`` are longer than
a turn. Where there is no ``/proc`` nothing is told.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PROC = Path("/proc")
ENGINE_THREAD = "caesura-engine"
ENGINE_MODULE = "caesura.sampler.engine_process"

_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class ThreadTime:
    """``name`` as the kernel knows it, 15 characters at most. ``ns`` since the thread began."""

    name: str
    ns: int


def thread_times(pid: int, proc: Path = PROC) -> dict[int, ThreadTime]:
    """Of each thread of a process, by its id; the main thread's is the process's. Empty if there is no such process."""
    times = {}
    try:
        tasks = list((proc / str(pid) / "task").iterdir())
    except OSError:
        return {}
    for task in tasks:
        try:
            name, stat = (task / "comm").read_text().strip(), (task / "schedstat").read_text()
        except OSError:  # the thread has ended
            continue
        times[int(task.name)] = ThreadTime(name, int(stat.split()[0]))
    return times


def descendants(pid: int, proc: Path = PROC) -> list[int]:
    """All processes that it has started, and those that these have."""
    parents: dict[int, list[int]] = {}
    for folder in proc.glob("[0-9]*"):
        try:
            # The name before it is in parentheses and may hold anything.
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found[1:]


@dataclass(frozen=True, slots=True)
class _Reading:
    """``kinds``: which part each thread's time belongs to."""

    times: dict[tuple[int, int], int]
    kinds: dict[tuple[int, int], str]


class CpuMeter:
    """Processor time of this process and of a server, from ``start`` to ``stop``.

    A thread that ends in between is not counted. A thread that is running is counted up to its last tick, some
    milliseconds ago at most.

    :param pid: of the server; None if it can't be told.
    :param engine: it is one of ours: its engine's thread, or process, is told apart from all else. Of another server
        all is ``server``, with the processes that it started.
    """

    def __init__(self, pid: int | None, *, engine: bool = True, proc: Path = PROC) -> None:
        self._pid = pid
        self._engine = engine
        self._proc = proc
        self._client = 0
        self._before: dict[tuple[int, int], int] = {}

    def start(self) -> None:
        self._before = self._read().times
        self._client = time.process_time_ns()

    def stop(self) -> dict[str, int]:
        """Nanoseconds of ``client``, ``server`` and ``engine``; those that can't be told are absent."""
        spent = {"client": time.process_time_ns() - self._client}
        now = self._read()
        for thread, ns in now.times.items():
            kind = now.kinds[thread]
            spent[kind] = spent.get(kind, 0) + ns - self._before.get(thread, 0)
        return spent

    def _read(self) -> _Reading:
        reading = _Reading({}, {})
        if self._pid is None:
            return reading
        for pid in (self._pid, *descendants(self._pid, self._proc)):
            threads = thread_times(pid, self._proc)
            engine_threads = self._engine_threads(pid, threads) if self._engine else set()
            for tid, thread in threads.items():
                reading.times[pid, tid] = thread.ns
                reading.kinds[pid, tid] = "engine" if tid in engine_threads else "server"
        return reading

    def _engine_threads(self, pid: int, threads: dict[int, ThreadTime]) -> set[int]:
        """Python before 3.14 does not tell the kernel a thread's name. Where none has the engine's, it is the busiest
        of those that the server has started; llama.cpp's own threads, if it has some, are the server's then."""
        if pid != self._pid:
            return set(threads) if self._is_engine_process(pid) else set()
        named = {tid for tid, thread in threads.items() if thread.name == ENGINE_THREAD}
        if named or any(map(self._is_engine_process, descendants(pid, self._proc))):
            return named
        others = {tid: thread.ns for tid, thread in threads.items() if tid != pid}
        return {max(others, key=others.__getitem__)} if others else set()

    def _is_engine_process(self, pid: int) -> bool:
        try:
            return ENGINE_MODULE.encode() in (self._proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False


def listening_pid(url: str, proc: Path = PROC) -> int | None:
    """The process of this machine that listens where ``url`` points to; None if there is none, it is another machine,
    or it belongs to someone else."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or {"https": 443, "wss": 443}.get(parts.scheme, 80)
        host = parts.hostname or ""
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            return None
    except ValueError:
        return None
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port, proc)}
    if not sockets:
        return None
    for folder in sorted(proc.glob("[0-9]*"), key=lambda folder: int(folder.name)):
        try:
            if any(_target(link) in sockets for link in (folder / "fd").iterdir()):
                return int(folder.name)
        except OSError:
            continue
    return None


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _listening_inodes(port: int, proc: Path) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
