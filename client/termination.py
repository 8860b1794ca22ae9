"""Ending a command from outside: what it has started and made goes with it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128
"""Exit code of a command that a signal ended, less the signal's number, as a shell reports it."""

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # there is no SIGHUP on Windows


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP of a terminal that is closed, unwind the stack, so that servers and temporary directories
    go too. Exit code 143 or 129."""
    received = 0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = number
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a shell script's background job
            raise SystemExit(TERMINATED + number)
        # By way of SIGINT, which asyncio turns into a cancellation: an exception here would hit whatever task runs.
        signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():  # signal handlers belong to that one
        yield
        return
    # What is ignored stays so: nohup ignores SIGHUP.
    before = {number: signal.getsignal(number) for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    except KeyboardInterrupt:
        if received:
            raise SystemExit(TERMINATED + received) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
