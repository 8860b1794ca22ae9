"""The tables of a store in SQLite, and opening a file that has them or is to get them."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from .store import NotAStore, StoreTooNew, StoreUnusable

APPLICATION_ID = 0x63616573
"""``caes``: says in the file's header whose it is."""

VERSION = 1
"""Of the schema. A later version brings older files up to date in :func:`_prepare`."""

FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What a database can raise; the latter where SQLite's message quotes what is damaged."""

SCHEMA = (
    # One row a chain, so that retention needs no pass over the Responses. `newest` is the number of the last Response
    # that was added; unlike `put_at` it can't go backwards.
    """CREATE TABLE chains (
        number INTEGER PRIMARY KEY,
        newest INTEGER NOT NULL,
        put_at REAL NOT NULL,
        size INTEGER NOT NULL
    )""",
    "CREATE INDEX chains_by_newest ON chains (newest, put_at, size)",
    # `parent` is the row that `previous_response_id` named when the Response was put: always a smaller number, so there
    # are no cycles. Without ON DELETE there: SQLite itself refuses to take a part out of a history.
    # `response` comes last, because a row is read from its beginning and a walk along the chain doesn't need it.
    """CREATE TABLE responses (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        parent INTEGER REFERENCES responses (number),
        chain INTEGER NOT NULL REFERENCES chains (number) ON DELETE CASCADE,
        hidden INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL,
        created_at REAL NOT NULL,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        previous_response_id TEXT,
        response BLOB NOT NULL
    )""",
    "CREATE INDEX responses_by_parent ON responses (parent)",
    "CREATE INDEX responses_by_chain ON responses (chain)",
    """CREATE TABLE items (
        response INTEGER NOT NULL REFERENCES responses (number) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        is_output INTEGER NOT NULL,
        id TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (response, position)
    )""",
    "CREATE INDEX items_by_id ON items (id, response, position)",
)


def open_database(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """Open a store's file, or make it: for its owner alone, like the folder it is in.

    :param busy_timeout: seconds to wait for another process that writes.
    :raises NotAStore: the file is not a store, or is damaged.
    :raises StoreTooNew: its tables are of a later version than :data:`VERSION`.
    :raises StoreUnusable: it can't be opened, written to, or locked.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite takes over an empty file, with its mode. An existing one must not be opened here: closing it would
        # release the locks that this process may hold on it.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        database = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    try:
        _prepare(database, path, busy_timeout)
        return database
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.OperationalError):
            raise _unusable(path, error) from error
        if isinstance(error, FAILURES):
            raise NotAStore(
                f"{path} is no SQLite database or is damaged ({error}). It was not changed: move it away to start with "
                "an empty store, or choose another --store PATH."
            ) from error
        raise


def _prepare(database: sqlite3.Connection, path: Path, busy_timeout: float) -> None:
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA secure_delete = ON")  # deleted means deleted: the content is overwritten
    if _is_empty(database):
        _create(database)
    if _pragma(database, "application_id") != APPLICATION_ID:
        raise NotAStore(f"{path} is a database of another program. It was not changed: choose another --store PATH.")
    version = _pragma(database, "user_version")
    if version > VERSION:
        raise StoreTooNew(
            f"{path} was written by a newer version of caesura (schema {version}, this one knows {VERSION}). It was "
            "not changed: upgrade caesura, or choose another --store PATH."
        )
    # Not before it is known whose file this is: the mode is written to it.
    if _use_wal(database, time.monotonic() + busy_timeout) != "wal":
        raise StoreUnusable(f"{path} is on a file system without shared memory. Choose a --store PATH on a local disk.")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("BEGIN IMMEDIATE")  # fails now, not at the first put, where the file can't be written to
    database.execute("SELECT (SELECT max(number) FROM chains), (SELECT max(number) FROM responses)").fetchone()
    database.execute("SELECT id FROM items LIMIT 1").fetchone()
    database.execute("ROLLBACK")


def _create(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        if _is_empty(database):  # another process may have been faster
            for statement in SCHEMA:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _use_wal(database: sqlite3.Connection, deadline: float) -> str:
    """Several at once: SQLite doesn't wait for the other by itself here. Returns the mode that the file is in now."""
    while True:
        try:
            mode: str = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            return mode
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _is_empty(database: sqlite3.Connection) -> bool:
    return not _pragma(database, "schema_version") and not _pragma(database, "application_id")


def _pragma(database: sqlite3.Connection, name: str) -> int:
    value: int = database.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _unusable(path: Path, error: Exception) -> StoreUnusable:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StoreUnusable(
        f"can't keep Responses in {path}: {reason}. Choose another --store PATH, or --store none to keep none."
    )
