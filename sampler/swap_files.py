"""States of paused sequences in files, written and read by a thread of its own.

The files live in a folder that is made for one engine and removed with it: they are of no use to another process,
since a sequence's ledger isn't in them. A file is

    magic (8 bytes) | CRC-32 of the state (4, little-endian) | length of the state (8) | state

and one that doesn't check out counts as lost. Folders that a killed process left behind are removed at start: its lock
on them has gone with it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import shutil
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import EngineStartFailed

log = logging.getLogger("caesura")

State = npt.NDArray[np.uint8]

PREFIX = "caesura-swap-"
_LOCK = "lock"
_HEADER = struct.Struct("<8sIQ")
_MAGIC = b"CSWAP\x00\x00\x01"


class SwapFileInvalid(Exception):
    """The file is missing, damaged, or not one of ours."""


class SwapFiles:
    """Files by number. The callbacks are called in the thread, in the order of the requests.

    on_written(file, ok), on_read(file, state or None). A disk that is full, or any other failure, is not an error: the
    state is lost, which costs a prefill. The log says so once, and again after a success in between.

    Raises EngineStartFailed if the folder can't be used.
    """

    def __init__(
        self, parent: Path, on_written: Callable[[int, bool], None], on_read: Callable[[int, State | None], None]
    ) -> None:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(parent)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # 0700: prompts can be read out of it
            self._lock = open(self.folder / _LOCK, "wb")  # noqa: SIM115 - held as long as the folder
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise EngineStartFailed(f"can't swap to {parent}: {error.strerror or error}") from error
        self._on_written = on_written
        self._on_read = on_read
        self._warned = False
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="caesura-swap", daemon=True)
        self._thread.start()

    def write(self, file: int, state: Callable[[], State]) -> None:
        """`state` is called in the thread."""
        self._requests.put(lambda: self._write(file, state()))

    def read(self, file: int) -> None:
        self._requests.put(lambda: self._read(file))

    def delete(self, file: int) -> None:
        self._requests.put(lambda: self.path(file).unlink(missing_ok=True))

    def close(self) -> None:
        """Finish what was asked for, then remove the folder."""
        self._requests.put(None)
        self._thread.join()
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, file: int) -> Path:
        return self.folder / f"{file}.state"

    def _main(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                request()
            except OSError as error:
                self._warn(f"can't delete a file in {self.folder}: {error.strerror or error}")

    def _write(self, file: int, state: State) -> None:
        try:
            write_state(self.path(file), state)
        except OSError as error:
            self._warn(
                f"can't swap a paused sequence to {self.folder}: {error.strerror or error}. It will be computed again."
            )
            self._on_written(file, False)
        else:
            self._warned = False
            self._on_written(file, True)

    def _read(self, file: int) -> None:
        try:
            state = read_state(self.path(file))
        except (OSError, SwapFileInvalid) as error:
            self._warn(f"can't read a swapped sequence back: {error}. It will be computed again.")
            self._on_read(file, None)
        else:
            self._on_read(file, state)

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning(message)


def write_state(path: Path, state: State) -> None:
    """Raises OSError; then no file is left."""
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(_HEADER.pack(_MAGIC, zlib.crc32(state.data), len(state)))
            view = state.data
            while view:
                view = view[file.write(view) :]
    except OSError:
        path.unlink(missing_ok=True)
        raise


def read_state(path: Path) -> State:
    """Raises SwapFileInvalid, OSError."""
    with open(path, "rb", buffering=0) as file:
        head = file.read(_HEADER.size)
        if len(head) != _HEADER.size:
            raise SwapFileInvalid(f"{path.name} is cut short")
        magic, checksum, length = _HEADER.unpack(head)
        # The length is compared with the file's before anything of that size is allocated.
        if magic != _MAGIC or os.fstat(file.fileno()).st_size != _HEADER.size + length:
            raise SwapFileInvalid(f"{path.name} is not what was written")
        state = np.empty(length, np.uint8)
        view = state.data
        while view:
            count = file.readinto(view)
            if not count:
                raise SwapFileInvalid(f"{path.name} is cut short")
            view = view[count:]
    if zlib.crc32(state.data) != checksum:
        raise SwapFileInvalid(f"{path.name} is damaged (its checksum is wrong)")
    return state


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            with open(folder / _LOCK, "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, being made, or not ours to remove
