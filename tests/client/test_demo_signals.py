"""Ctrl-C and SIGTERM end the demo at once: their exit codes, no traceback, nothing left running or lying about."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BOUND = 30.0
SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])

PROGRAM = """
    import sys
    from caesura.client import command_line
    from caesura.client.demo import command, server

    class Demo:
        load = staticmethod(lambda: command.demo)

    command_line._commands = lambda: {"demo": Demo()}
    server.COMMAND = (sys.executable, "-c", NEVER_READY)
    sys.exit(command_line.main(["demo", *sys.argv[1:]]))
"""


async def start(temporary: Path, *arguments: str, never_ready: str = "") -> asyncio.subprocess.Process:
    program = f"NEVER_READY = {never_ready!r}\n" + textwrap.dedent(PROGRAM)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


@SIGNALS
def test_in_the_middle_of_a_rollout(
    fake_server: Callable[..., Any], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def script(rollout: Any) -> None:
            await rollout.say("I think about it")
            started.set()

        async with asyncio.timeout(BOUND), fake_server(script) as server:
            process = await start(tmp_path, "--url", server.url)
            await started.wait()
            process.send_signal(number)
            _, err = await process.communicate()
        assert (process.returncode, err) == (code, b"")

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


@SIGNALS
def test_while_its_server_starts(tmp_path: Path, number: signal.Signals, code: int) -> None:
    announced = tmp_path / "announced"
    os.mkfifo(announced)
    never_ready = f"""
import os, threading
with open({str(announced)!r}, "w") as file:
    file.write(str(os.getpid()))
threading.Event().wait()
"""

    async def main() -> int:
        async with asyncio.timeout(BOUND):
            process = await start(tmp_path, never_ready=never_ready)
            pid = int(await asyncio.to_thread(announced.read_text))  # waits for the writer
            process.send_signal(number)
            _, err = await process.communicate()
        assert (process.returncode, err) == (code, b"")
        return pid

    pid = asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list(tmp_path.iterdir()) == [announced]
