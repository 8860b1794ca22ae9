"""``caesura serve`` in a process of its own, and what that process costs: read from ``/proc``, in nanoseconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ServerProcess:
    """``url`` without a path. Times are those of the scheduler, which counts what each thread ran, exactly; the clock
    ticks of ``/proc/PID/stat`` are longer than a turn."""

    pid: int
    url: str
    model: str

    @property
    def websocket_url(self) -> str:
        return f"{self.url.replace('http', 'ws', 1)}/v1/responses"

    def thread_ns(self) -> dict[int, int]:
        """Processor time of each thread since it began. The main thread's id is that of the process."""
        times = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        return times

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def num_threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))


@contextmanager
def server_process(*options: str) -> Iterator[ServerProcess]:
    """A server that is ready, with these options of ``caesura serve``."""
    command = [sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            words = process.stdout.readline().split()
            assert words[:2] == ["caesura:", "serving"], f"the server did not start: {words}"
            yield ServerProcess(process.pid, words[-1], words[2])
        finally:
            process.terminate()
