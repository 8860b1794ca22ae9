"""What is particular to the store in SQLite: its thread, its failures, when it removes what is old."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import caesura.runtime.sqlite_store as sqlite_store
import pytest
from caesura.runtime import sqlite_queries
from caesura.runtime.sqlite_store import RETENTION_CHAINS, RETENTION_PUTS, RETENTION_SECONDS, SqliteStore
from caesura.runtime.store import StoredItem, StoredResponse, StoreFailed
from stored_records import record, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "responses.sqlite3"


class Lock:
    """Another process that writes."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._database.execute("ROLLBACK")
        self._database.close()


# The thread


def test_the_event_loop_never_waits_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = []
    original = sqlite_queries.transaction

    def transaction(database: sqlite3.Connection, mode: str = "IMMEDIATE") -> Any:
        transactions.append(mode)
        return original(database, mode)

    async def main() -> None:
        store = SqliteStore(path)
        assert await store.get("r", "me") is None
        lock = Lock(path)
        monkeypatch.setattr(sqlite_queries, "transaction", transaction)
        for n in range(100):
            store.put(record(f"r{n}"))
            await asyncio.sleep(0)
        last = asyncio.create_task(store.get("r99", "me"))
        await asyncio.sleep(0)
        assert not last.done()
        lock.release()
        assert await last == record("r99")
        assert transactions.count("IMMEDIATE") <= 2, "those that waited were written together"
        await store.close()

    run(main())


def test_calls_take_effect_in_their_order(path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        assert await store.get("r", "me") is None
        lock = Lock(path)
        busy = asyncio.create_task(store.delete("r", "me"))
        await asyncio.sleep(0)
        store.put(record("parent"))
        before = asyncio.create_task(store.get("child", "me"))
        deleted = asyncio.create_task(store.delete("parent", "me"))
        await asyncio.sleep(0)
        store.put(record("child", "parent"))
        lock.release()
        assert not await busy
        assert await before is None
        assert await deleted
        assert await store.history("child", "me") is None, "it was put after the deletion"
        await store.close()

    run(main())


def test_what_waits_to_be_written_is_bounded(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        assert await store.get("r", "me") is None
        monkeypatch.setattr(sqlite_store, "MAX_WAITING_BYTES", 100)
        lock = Lock(path)
        for n in range(3):
            store.put(record(f"r{n}", response=b"x" * 40))
        lock.release()
        assert [await store.get(f"r{n}", "me") is not None for n in range(3)] == [True, True, False]
        store.put(record("large", response=b"x" * 1000))
        assert await store.get("large", "me") is not None, "what is too large by itself is written all the same"
        await store.close()

    with caplog.at_level(logging.WARNING, "caesura"):
        run(main())
    assert "80 bytes wait to be written" in caplog.text


# Failures


def test_a_failed_put_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        failed: list[None] = []
        store = SqliteStore(path, busy_timeout=0.01, on_failed_put=lambda: failed.append(None))
        assert await store.get("r", "me") is None
        lock = Lock(path)
        for n in range(3):
            store.put(record(f"r{n}"))
            assert await store.get(f"r{n}", "me") is None
        with pytest.raises(StoreFailed, match="locked"):
            await store.delete("r", "me")
        lock.release()
        assert len(caplog.records) == 1
        assert "(1 now): database is locked" in caplog.text
        store.put(record("r3"))
        assert await store.get("r3", "me") == record("r3")
        lock = Lock(path)
        store.put(record("r4"))
        assert await store.get("r4", "me") is None
        assert len(caplog.records) == 2, "after a success the next failure is news"
        assert len(failed) == 4
        lock.release()
        await store.close()

    with caplog.at_level(logging.WARNING, "caesura"):
        run(main())


def test_a_full_disk_costs_what_doesnt_fit_and_nothing_else(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        store.put(record("before"))
        pages = store._thread.submit(lambda: store._database.execute("PRAGMA page_count").fetchone()[0]).result()

        def limit(pages: int) -> None:
            store._thread.submit(lambda: store._database.execute(f"PRAGMA max_page_count = {pages}").fetchone())

        limit(pages + 10)
        store.put(record("huge", response=b"x" * 1_000_000))
        assert await store.get("huge", "me") is None
        assert await store.get("before", "me") == record("before")
        limit(1_000_000)
        store.put(record("after", "before", b"x" * 1_000_000, items=3))
        history = await store.history("after", "me")
        assert history is not None
        assert [response.id for response in history] == ["before", "after"]
        await store.close()

    with caplog.at_level(logging.WARNING, "caesura"):
        run(main())
    assert "database or disk is full" in caplog.text


def test_a_put_that_fails_halfway_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = sqlite_queries.insert

    def insert(database: sqlite3.Connection, record: StoredResponse, *more: Any) -> None:
        original(database, record, *more)
        if record.id == "r1":
            raise sqlite3.OperationalError("disk I/O error")

    async def main() -> None:
        store = SqliteStore(path)
        monkeypatch.setattr(sqlite_queries, "insert", insert)
        store.put(record("r1"))
        assert await store.get("r1", "me") is None
        store.put(record("r2"))
        assert await store.get("r2", "me") == record("r2")
        await store.close()

    with caplog.at_level(logging.WARNING, "caesura"):
        run(main())
    assert "(1 now): disk I/O error" in caplog.text


def test_one_that_cant_be_stored_costs_no_other(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        failed: list[None] = []
        store = SqliteStore(path, on_failed_put=lambda: failed.append(None))
        lock = Lock(path)  # so that all are in one transaction
        store.put(record("r0"))
        store.put(record("no text: \ud800"))
        broken = StoredItem("no text: \ud800", False, b"")
        store.put(StoredResponse("r1", "me", 0.0, None, b"x", (StoredItem("i", False, b""), broken)))
        store.put(record("r2"))
        lock.release()
        assert [await store.get(f"r{n}", "me") is not None for n in range(3)] == [True, False, True]
        assert await store.item("i", "me") is None
        assert len(failed) == 2
        await store.close()

    with caplog.at_level(logging.ERROR, "caesura"):
        run(main())
    assert caplog.text.count("can't be stored:") == 2


# What is old


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_old_chains_go_while_the_store_is_used(path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        store = SqliteStore(path, max_age=RETENTION_SECONDS / 2, clock=clock)
        store.put(record("r"))
        clock.now += RETENTION_SECONDS - 1
        for _ in range(2):
            assert await store.get("r", "me") is not None, "looked for not that often"
        clock.now += 1
        await store.get("r", "me")
        assert await store.get("r", "me") is None
        await store.close()

    run(main())


def test_old_chains_go_when_many_were_put(path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(path, max_bytes=10, clock=Clock())
        for n in range(RETENTION_PUTS - 1):
            store.put(record(f"r{n}"))
        for _ in range(2):
            assert await store.get("r0", "me") is not None
        store.put(record("last"))
        for _ in range(RETENTION_PUTS // RETENTION_CHAINS + 1):  # they don't hold up what is asked for meanwhile
            await store.get("last", "me")
        assert await store.get("r0", "me") is None
        assert await store.get(f"r{RETENTION_PUTS - 11}", "me") is None
        assert await store.get(f"r{RETENTION_PUTS - 2}", "me") is not None
        assert await store.get("last", "me") is not None
        await store.close()

    run(main())


def test_a_clock_that_is_set_back_costs_nothing(path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        store = SqliteStore(path, max_age=100, max_bytes=2, clock=clock)
        store.put(record("a"))
        store.put(record("b"))
        await store.get("a", "me")
        clock.now -= 1000
        store.put(record("c"))
        store.put(record("b2", "b"))
        for _ in range(3):
            await store.get("b2", "me")
        assert await store.get("a", "me") is None
        assert await store.get("c", "me") is None
        assert await store.get("b2", "me") is not None, "added to last, whatever the clock says"
        await store.close()

    run(main())
