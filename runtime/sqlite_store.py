"""Stored Responses in one SQLite file."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from . import sqlite_queries
from .sqlite_schema import FAILURES, open_database
from .store import Earlier, ResponseStore, StoreClosed, StoredItem, StoredResponse, StoreFailed

log = logging.getLogger("caesura")

T = TypeVar("T")

DEFAULT_MAX_AGE = 30 * 24 * 3600.0
"""Seconds since a chain was last added to."""
DEFAULT_MAX_BYTES = 1 << 30

MAX_WAITING_BYTES = 64 << 20
"""Of Responses that wait to be written: a disk that hangs must not take the memory."""

RETENTION_PUTS = 256
RETENTION_SECONDS = 60.0
"""Old chains are looked for when so many Responses were put, or so much time has passed. 6 ms for 100,000 chains."""
RETENTION_CHAINS = 64
"""Removed in one transaction, so that a call need not wait for the removal of gigabytes."""


def default_path() -> Path:
    """``caesura/responses.sqlite3`` under the user's data directory (XDG Base Directory Specification)."""
    configured = Path(os.environ.get("XDG_DATA_HOME", ""))
    data = configured if configured.is_absolute() else Path.home() / ".local" / "share"
    return data / "caesura" / "responses.sqlite3"


class SqliteStore(ResponseStore):
    """All of SQLite happens in one thread, in the order of the calls. Responses that wait there to be written share a
    transaction. Several processes may have the same file open.

    A crash of the process loses nothing that was written; one of the machine may lose the last moments, never the file.

    :param path: made if it isn't there, with its folder, readable by its owner alone.
    :param max_age: seconds after the last addition that a chain is kept; None is forever.
    :param max_bytes: of all Responses and items, without what SQLite needs around them; None is no bound. Room in the
        file is used again, but the file doesn't get smaller.
    :param clock: seconds since the epoch. Called by the caller's thread.
    :param busy_timeout: seconds to wait for another process that writes, before a call counts as failed.
    :param on_failed_put: called for each Response that could not be stored, by whichever thread finds out.
    :raises StoreUnusable: the file can't be used, with what to do about it. Whatever is in it is left alone.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_age: float | None = DEFAULT_MAX_AGE,
        max_bytes: int | None = DEFAULT_MAX_BYTES,
        clock: Callable[[], float] = time.time,
        busy_timeout: float = 5.0,
        on_failed_put: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self._max_age = max_age
        self._max_bytes = max_bytes
        self._clock = clock
        self._on_failed_put = on_failed_put
        self._warned = False
        # What both threads change, and the lock for it. A batch is what a job that still waits is to write; whatever is
        # asked for after that job begins a new one, so that all happens in the order of the calls.
        self._lock = threading.Lock()
        self._batch: list[tuple[StoredResponse, Earlier | None, float]] | None = None
        self._waiting_bytes = 0
        self._puts_since_retention = 0
        self._retained_at = clock()
        self._closing: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="caesura-store")
        try:
            self._database = self._thread.submit(open_database, self.path, busy_timeout).result()
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._thread.submit(self._retain, self._retained_at)

    def put(self, record: StoredResponse, earlier: Earlier | None = None) -> None:
        size, now = record.size, self._clock()
        with self._lock:
            self._check_open()
            waiting = self._waiting_bytes
            if not waiting or waiting + size <= MAX_WAITING_BYTES:
                self._waiting_bytes += size
                if self._batch is None:
                    self._batch = []
                    self._thread.submit(self._write, self._batch)
                self._batch.append((record, earlier, now))
                return
        self._failed_for_now(1, f"{waiting} bytes wait to be written")

    async def get(self, response_id: str, owner: str) -> StoredResponse | None:
        return await self._call(sqlite_queries.select, response_id, owner)

    async def history(self, response_id: str, owner: str) -> list[StoredResponse] | None:
        return await self._call(sqlite_queries.select_history, response_id, owner)

    async def item(self, item_id: str, owner: str) -> StoredItem | None:
        return await self._call(sqlite_queries.select_item, item_id, owner)

    async def delete(self, response_id: str, owner: str) -> bool:
        return await self._call(sqlite_queries.delete, response_id, owner)

    async def close(self) -> None:
        with self._lock:
            if self._closing is None:
                self._closing = self._thread.submit(self._close)
                self._thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(self._closing))

    async def _call(self, function: Callable[[sqlite3.Connection, str, str], T], subject: str, owner: str) -> T:
        with self._lock:
            self._check_open()
            self._batch = None
            future = self._thread.submit(self._answer, self._clock(), function, subject, owner)
        return await asyncio.wrap_future(future)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise StoreClosed(f"the store in {self.path} was closed. Open it again to use it.")

    # What follows runs in the thread.

    def _answer(self, now: float, function: Callable[[sqlite3.Connection, str, str], T], subject: str, owner: str) -> T:
        self._retain_if_due(now)
        try:
            return function(self._database, subject, owner)
        except FAILURES as error:
            raise StoreFailed(f"the store in {self.path} failed: {error}. Try again, or check the file.") from error

    def _write(self, batch: list[tuple[StoredResponse, Earlier | None, float]]) -> None:
        with self._lock:
            if self._batch is batch:
                self._batch = None
            self._puts_since_retention += len(batch)
        try:
            with sqlite_queries.transaction(self._database):
                for record, earlier, put_at in batch:
                    self._insert(record, earlier, put_at)
            self._warned = False
        except Exception as error:
            self._failed_for_now(len(batch), str(error))
        with self._lock:
            self._waiting_bytes -= sum(record.size for record, *_ in batch)
        self._retain_if_due(batch[-1][-1])

    def _insert(self, record: StoredResponse, earlier: Earlier | None, put_at: float) -> None:
        """What is wrong with one Response is no reason to lose those that are written with it."""
        try:
            sqlite_queries.insert(self._database, record, put_at, earlier)
        except sqlite3.IntegrityError:
            log.error("response %s is stored already: the second one was dropped", record.id)
            self._on_failed_put()
        except (sqlite3.DataError, ValueError) as error:
            log.error("response %r can't be stored: %s", record.id, error)
            self._on_failed_put()

    def _failed_for_now(self, responses: int, reason: str) -> None:
        """Logged once, and again after a success in between."""
        if not self._warned:
            self._warned = True
            log.warning(
                "Responses can't be stored in %s (%d now): %s. Nobody can continue them by id. "
                "The next failure is logged after one could be stored.",
                self.path,
                responses,
                reason,
            )
        for _ in range(responses):
            self._on_failed_put()

    def _retain_if_due(self, now: float) -> None:
        with self._lock:
            recently = 0 <= now - self._retained_at < RETENTION_SECONDS
            if self._closing is None and not (recently and self._puts_since_retention < RETENTION_PUTS):
                self._puts_since_retention, self._retained_at = 0, now
                self._thread.submit(self._retain, now)

    def _retain(self, now: float) -> None:
        put_before = None if self._max_age is None else now - self._max_age
        try:
            dropped = sqlite_queries.drop_chains(self._database, put_before, self._max_bytes, RETENTION_CHAINS)
        except FAILURES as error:
            log.warning("old Responses in %s can't be removed: %s", self.path, error)
            return
        with self._lock:
            if dropped == RETENTION_CHAINS and self._closing is None:
                self._thread.submit(self._retain, now)  # what was asked for meanwhile comes first

    def _close(self) -> None:
        try:
            # To close the database does it only where no other process has it open.
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except FAILURES as error:
            log.warning("the store in %s was not closed in order: %s", self.path, error)
        finally:
            self._database.close()
