"""Processor time: whose it is, from a ``/proc`` that is made up, and from the real one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from caesura.client.bench.cpu import CpuMeter, descendants, listening_pid, thread_times


class Machine:
    """A ``/proc`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder

    def process(self, pid: int, parent: int, *command: str) -> None:
        folder = self.proc / str(pid)
        (folder / "task").mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} (a (b) c) S {parent} 1 1")
        (folder / "cmdline").write_bytes(b"\0".join(part.encode() for part in command) + b"\0")

    def thread(self, pid: int, tid: int, ns: int, name: str = "python") -> None:
        folder = self.proc / str(pid) / "task" / str(tid)
        folder.mkdir(exist_ok=True)
        (folder / "comm").write_text(f"{name}\n")
        (folder / "schedstat").write_text(f"{ns} 7 7\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.process(10, 1, "python", "serve")
    made.thread(10, 10, 1000)
    return made


def _spent(meter: CpuMeter) -> dict[str, int]:
    spent = meter.stop()
    assert spent.pop("client") >= 0
    return spent


def test_the_engine_is_the_thread_with_its_name(machine: Machine) -> None:
    machine.thread(10, 11, 100, "caesura-engine")
    machine.thread(10, 12, 5000)
    meter = CpuMeter(10, proc=machine.proc)
    meter.start()
    machine.thread(10, 10, 1300)
    machine.thread(10, 11, 150, "caesura-engine")
    machine.thread(10, 12, 5004)
    machine.thread(10, 13, 9)
    assert _spent(meter) == {"engine": 50, "server": 313}


def test_without_a_name_it_is_the_busiest_that_is_not_the_main_one(machine: Machine) -> None:
    machine.thread(10, 11, 10)
    machine.thread(10, 12, 500)
    meter = CpuMeter(10, proc=machine.proc)
    meter.start()
    machine.thread(10, 10, 1001)
    machine.thread(10, 11, 12)
    machine.thread(10, 12, 600)
    assert _spent(meter) == {"engine": 100, "server": 3}


def test_an_engine_process_has_all_its_threads(machine: Machine) -> None:
    machine.thread(10, 11, 10)
    machine.process(20, 10, "python", "-P", "-m", "caesura.sampler.engine_process")
    machine.thread(20, 20, 40)
    machine.thread(20, 21, 400)
    meter = CpuMeter(10, proc=machine.proc)
    meter.start()
    machine.thread(10, 11, 11)
    machine.thread(20, 20, 42)
    machine.thread(20, 21, 430)
    assert _spent(meter) == {"engine": 32, "server": 1}


def test_of_another_server_all_is_the_servers(machine: Machine) -> None:
    machine.thread(10, 11, 10, "caesura-engine")
    machine.process(20, 10, "worker")
    machine.process(30, 20, "worker")
    machine.thread(30, 30, 5)
    meter = CpuMeter(10, engine=False, proc=machine.proc)
    meter.start()
    machine.thread(10, 11, 13, "caesura-engine")
    machine.thread(30, 30, 9)
    assert _spent(meter) == {"server": 7}


def test_of_a_server_that_is_not_there_nothing_is_told(machine: Machine) -> None:
    for pid in (None, 99):
        meter = CpuMeter(pid, proc=machine.proc)
        meter.start()
        assert _spent(meter) == {}


def test_descendants(machine: Machine) -> None:
    machine.process(20, 10, "a")
    machine.process(30, 20, "b")
    machine.process(40, 1, "c")
    assert sorted(descendants(10, machine.proc)) == [20, 30]


def test_the_time_of_real_threads() -> None:
    """This one has worked, and so has one that waits now."""
    done, wait = threading.Event(), threading.Event()

    def work() -> None:
        sum(range(200_000))
        done.set()
        wait.wait()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        done.wait(30)
        times = thread_times(os.getpid())
        assert thread.native_id is not None
        assert times[os.getpid()].ns > 0
        assert times[thread.native_id].ns > 0
    finally:
        wait.set()
        thread.join()


def test_the_time_of_this_process() -> None:
    meter = CpuMeter(None)
    meter.start()
    before = time.process_time_ns()
    sum(range(100_000))
    least = time.process_time_ns() - before
    assert meter.stop()["client"] >= least


@pytest.fixture
def listener() -> Iterator[tuple[int, int]]:
    """Pid and port of a process that listens."""
    program = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.terminate()


def test_a_peer_is_found_by_its_port(listener: tuple[int, int]) -> None:
    pid, port = listener
    for url in (f"http://127.0.0.1:{port}/v1", f"ws://localhost:{port}", f"127.0.0.1:{port}"):
        assert listening_pid(url) == pid
    with socket.create_server(("127.0.0.1", 0)) as mine:
        assert listening_pid(f"http://127.0.0.1:{mine.getsockname()[1]}") == os.getpid()


@pytest.mark.parametrize("url", ["http://10.1.2.3:80", "https://example.com", "http://127.0.0.1:1", "http://[", "x:y"])
def test_a_peer_that_is_not_on_this_machine(url: str) -> None:
    assert listening_pid(url) is None
