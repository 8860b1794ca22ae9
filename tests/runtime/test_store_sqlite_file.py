"""The file of the store in SQLite: who may read it, several that use it, others' files, damage."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from caesura.runtime.sqlite_store import SqliteStore, default_path
from caesura.runtime.store import NotAStore, StoredResponse, StoreError, StoreTooNew, StoreUnusable
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_records import SECONDS, record, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "responses.sqlite3"


def fill(path: Path, *records: StoredResponse) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        for each in records:
            store.put(each)
        await store.close()

    run(main())


class Lock:
    """Another process that writes."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._database.execute("ROLLBACK")
        self._database.close()


def test_nobody_else_can_read_it(path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        store.put(record("r"))
        await store.get("r", "me")
        assert path.parent.stat().st_mode & 0o777 == 0o700
        files = sorted(file.name for file in path.parent.iterdir())
        assert files == [path.name, f"{path.name}-shm", f"{path.name}-wal"]
        assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
        await store.close()
        assert list(path.parent.iterdir()) == [path]

    run(main())


def test_the_default_is_in_the_users_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_path() == tmp_path / "data" / "caesura" / "responses.sqlite3"
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_DATA_HOME", unusable)
        assert default_path() == tmp_path / ".local" / "share" / "caesura" / "responses.sqlite3"
    monkeypatch.delenv("XDG_DATA_HOME")
    fill(default_path(), record("r"))
    assert default_path().is_file()


def test_deleted_text_is_overwritten(path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        assert await store.delete("parent", "me")
        assert await store.delete("child", "me")
        await store.close()

    parent = record("parent", response=b"secret of the parent" * 1000)
    fill(path, parent, record("child", "parent", response=b"secret of the child"))
    assert b"secret" in path.read_bytes()
    run(main())
    assert b"secret" not in path.read_bytes()


def text(path: Path) -> None:
    path.write_text("These are my notes of ten years. " * 1000)


def sqlite_of_another_program(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE responses (id TEXT)")
    database.commit()
    database.close()


def sqlite_with_another_application_id(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA application_id = 7")
    database.close()


def beginning_of_a_store(path: Path) -> None:
    fill(path, *(record(f"r{n}", response=b"x" * 5000) for n in range(50)))
    path.write_bytes(path.read_bytes()[:10_000])


@pytest.mark.parametrize(
    "make", [text, sqlite_of_another_program, sqlite_with_another_application_id, beginning_of_a_store]
)
def test_a_file_that_is_no_store_is_left_alone(path: Path, make: Callable[[Path], None]) -> None:
    path.parent.mkdir()
    make(path)
    content = path.read_bytes()
    with pytest.raises(NotAStore, match=r"not changed.*--store PATH"):
        SqliteStore(path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_store_of_a_newer_version_is_left_alone(path: Path) -> None:
    fill(path, record("r"))
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 2")
    database.execute("PRAGMA wal_checkpoint")
    database.close()
    content = path.read_bytes()
    with pytest.raises(StoreTooNew, match=r"schema 2, this one knows 1.*upgrade"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_a_store_that_lacks_a_table_is_a_clear_error(path: Path) -> None:
    fill(path)
    database = sqlite3.connect(path)
    database.execute("DROP TABLE items")
    database.close()
    with pytest.raises(StoreUnusable, match="no such table: items"):
        SqliteStore(path)


def test_a_path_that_cant_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "store", tmp_path / "folder", Path("/proc/nowhere/store")):
        with pytest.raises(StoreUnusable, match=r"can't keep Responses in .*Choose another --store PATH"):
            SqliteStore(path)


def test_a_store_that_stays_locked_is_a_clear_error(path: Path) -> None:
    fill(path)
    lock = Lock(path)
    with pytest.raises(StoreUnusable, match="locked"):
        SqliteStore(path, busy_timeout=0.01)
    lock.release()


@pytest.fixture(scope="module")
def whole_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "store"
    fill(path, *(record(f"r{n}", f"r{n - 1}" if n else None, b"x" * (n % 7 * 900), items=n % 4) for n in range(60)))
    return path


@given(
    page=st.integers(0, 40),
    offset=st.one_of(st.integers(0, 120), st.integers(0, 4095)),
    damage=st.binary(min_size=1, max_size=200),
    cut=st.one_of(st.none(), st.integers(0, 1 << 18)),
)
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_never_a_traceback(
    whole_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    page: int,
    offset: int,
    damage: bytes,
    cut: int | None,
) -> None:
    """A known error, or an answer; a damage to what somebody said can't be seen."""
    content = bytearray(whole_store.read_bytes())
    start = min(page * 4096 + offset, len(content) - len(damage))
    content[start : start + len(damage)] = damage
    path = tmp_path_factory.mktemp("damaged") / "store"
    path.write_bytes(content[:cut])

    async def main() -> None:
        try:
            store = SqliteStore(path)
        except StoreUnusable:
            return
        store.put(record("new", "r59"))
        for call in (store.get, store.history, store.item, store.delete):
            for subject in ("r59", "r0", "r3 1", "new"):
                with suppress(StoreError):
                    await call(subject, "me")
        await store.close()

    run(main())


@pytest.mark.parametrize("damage", ["parent = 3", "parent = 1", "id = 'r7'", "previous_response_id = 'r0'"])
def test_a_damaged_chain_is_no_history(path: Path, damage: str) -> None:
    fill(path, *(record(f"r{n}", f"r{n - 1}" if n > 1 else None) for n in range(1, 5)))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"UPDATE responses SET {damage} WHERE id = 'r3'")

    async def main() -> None:
        store = SqliteStore(path)
        assert await store.history("r4", "me") is None
        await store.close()

    run(main())


def test_several_processes_share_a_file(path: Path) -> None:
    """Two connections of one process lock each other out as those of two processes do."""

    async def main() -> None:
        first, second = SqliteStore(path), SqliteStore(path)
        for n in range(200):
            first.put(record(f"first{n}"))
            second.put(record(f"second{n}"))
            if n % 20 == 0:
                await asyncio.gather(first.get(f"first{n}", "me"), second.get(f"second{n}", "me"))
        await asyncio.gather(first.get("first199", "me"), second.get("second199", "me"))
        for n in range(200):
            assert await first.get(f"second{n}", "me") is not None
            assert await second.get(f"first{n}", "me") is not None
        await first.close()
        assert await second.delete("first0", "me")
        await second.close()

    run(main())


KILLED = """
import asyncio, os, sys
from caesura.runtime.sqlite_store import SqliteStore
from caesura.runtime.store import StoredResponse

async def main():
    store = SqliteStore(sys.argv[1])
    store.put(StoredResponse("r", "me", 0.0, None, b"x", ()))
    await store.get("r", "me")
    os._exit(9)

asyncio.run(main())
"""


def test_what_was_written_outlives_a_process_that_is_killed(path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=SECONDS).returncode == 9

    async def main() -> None:
        store = SqliteStore(path)
        assert await store.get("r", "me") == record("r")
        await store.close()

    run(main())


def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def use(path: Path, name: str, start: threading.Barrier) -> None:
        try:
            start.wait(SECONDS)
            fill(path, record(name))
        except BaseException as error:
            failures.append(error)

    for attempt in range(5):
        path, start = tmp_path / str(attempt) / "store", threading.Barrier(6)
        threads = [threading.Thread(target=use, args=(path, f"r{n}", start)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert failures == []
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT count(*) FROM responses").fetchone() == (6,)
