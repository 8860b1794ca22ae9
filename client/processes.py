"""Processes that a command has started: ended whatever happens, and what they had to say."""

from __future__ import annotations

import subprocess
from typing import IO, Any


def reap(process: subprocess.Popen[Any], seconds: float) -> None:
    """Wait for one that was told to end; after so long it is killed. Returns when it is gone."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    except BaseException:  # a second Ctrl-C: no more patience, but still no orphan
        process.kill()
        raise


def last_words(stderr: IO[str], count: int = 20) -> str:
    """The end of what it said there, to go behind an error's message; empty if it said nothing."""
    stderr.seek(0)
    lines = stderr.read().splitlines()[-count:]
    return "; on its stderr:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""
