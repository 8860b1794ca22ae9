"""What a store does to its SQLite database. Each function is a transaction of its own, but for :func:`insert`:
several of them may share one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from .store import Earlier, StoredItem, StoredResponse

_VISIBLE = "id = ? AND owner = ? AND NOT hidden"

# `parent` alone would do, were it not for damaged files: a walk must end, and not go astray.
_WALK = f"""WITH RECURSIVE walk (number, parent, previous) AS (
    SELECT number, parent, previous_response_id FROM responses WHERE {_VISIBLE}
    UNION ALL
    SELECT older.number, older.parent, older.previous_response_id FROM walk JOIN responses AS older
    ON older.number = walk.parent AND older.number < walk.number AND older.id = walk.previous
)"""
_ONE = f"WITH walk AS (SELECT number FROM responses WHERE {_VISIBLE})"


@contextmanager
def transaction(database: sqlite3.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    """All of the block or nothing of it."""
    database.execute(f"BEGIN {mode}")
    try:
        yield
        database.execute("COMMIT")
    finally:
        if database.in_transaction:  # SQLite has rolled back itself where the disk is full
            database.execute("ROLLBACK")


def insert(database: sqlite3.Connection, record: StoredResponse, put_at: float, earlier: Earlier | None = None) -> None:
    """Add a Response to the chain of the one that it continues, or to a new one, with the earlier items if it continues
    one that isn't there. Within a transaction, of which it
    leaves nothing if it raises.

    :raises sqlite3.IntegrityError: the id exists.
    """
    database.execute("SAVEPOINT record")
    try:
        parent, chain = _parent(database, record)
        if parent is None and record.previous_response_id is not None and earlier is not None:
            items = (*earlier(), *record.items)
            record = msgspec.structs.replace(record, previous_response_id=None, items=items)
        if chain is None:
            chain = database.execute("INSERT INTO chains (newest, put_at, size) VALUES (0, 0, 0)").lastrowid
        number = database.execute(
            "INSERT INTO responses (parent, chain, size, created_at, id, owner, previous_response_id, response)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                parent,
                chain,
                record.size,
                record.created_at,
                record.id,
                record.owner,
                record.previous_response_id,
                record.response,
            ),
        ).lastrowid
        database.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
            ((number, position, item.is_output, item.id, item.body) for position, item in enumerate(record.items)),
        )
        database.execute(
            "UPDATE chains SET newest = ?, put_at = ?, size = size + ? WHERE number = ?",
            (number, put_at, record.size, chain),
        )
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK TO record")
        raise
    finally:
        if database.in_transaction:
            database.execute("RELEASE record")


def _parent(database: sqlite3.Connection, record: StoredResponse) -> tuple[int | None, int | None]:
    """Number and chain of the Response that this one continues."""
    found: tuple[int, int] | None = None
    if record.previous_response_id is not None:
        found = database.execute(
            f"SELECT number, chain FROM responses WHERE {_VISIBLE}", (record.previous_response_id, record.owner)
        ).fetchone()
    return found or (None, None)


def select(database: sqlite3.Connection, response_id: str, owner: str) -> StoredResponse | None:
    """One Response."""
    return next(iter(_records(database, _ONE, response_id, owner)), None)


def select_history(database: sqlite3.Connection, response_id: str, owner: str) -> list[StoredResponse] | None:
    """A Response and all that it continues, oldest first; None if one isn't there."""
    records = _records(database, _WALK, response_id, owner)
    return records if records and records[0].previous_response_id is None else None


def _records(database: sqlite3.Connection, walk: str, response_id: str, owner: str) -> list[StoredResponse]:
    """In two statements: in one, each item's row would carry its Response."""
    with transaction(database, "DEFERRED"):
        rows = database.execute(
            f"{walk} SELECT number, id, owner, created_at, previous_response_id, response FROM responses"
            " WHERE number IN (SELECT number FROM walk) ORDER BY number",
            (response_id, owner),
        ).fetchall()
        items: dict[int, list[StoredItem]] = {row[0]: [] for row in rows}
        for number, item_id, is_output, body in database.execute(
            f"{walk} SELECT response, id, is_output, body FROM items"
            " WHERE response IN (SELECT number FROM walk) ORDER BY response, position",
            (response_id, owner),
        ):
            items[number].append(StoredItem(item_id, bool(is_output), body))
    return [
        StoredResponse(response_id, owner, created_at, previous, response, tuple(items[number]))
        for number, response_id, owner, created_at, previous, response in rows
    ]


def select_item(database: sqlite3.Connection, item_id: str, owner: str) -> StoredItem | None:
    """The item of that id that was stored last."""
    row = database.execute(
        "SELECT items.id, is_output, body FROM items JOIN responses ON number = items.response"
        " WHERE items.id = ? AND owner = ? AND NOT hidden ORDER BY items.response DESC, position DESC LIMIT 1",
        (item_id, owner),
    ).fetchone()
    return None if row is None else StoredItem(row[0], bool(row[1]), row[2])


def delete(database: sqlite3.Connection, response_id: str, owner: str) -> bool:
    """Hide a Response, and remove all hidden ones that nothing continues any more. Returns whether it was there."""
    with transaction(database):
        row = database.execute(f"SELECT number FROM responses WHERE {_VISIBLE}", (response_id, owner)).fetchone()
        if row is None:
            return False
        database.execute("UPDATE responses SET hidden = 1 WHERE number = ?", row)
        number: int | None = row[0]
        while number is not None:
            number = _remove_if_unneeded(database, number)
        return True


def _remove_if_unneeded(database: sqlite3.Connection, number: int) -> int | None:
    """Returns the number of the one before it, which may not be needed any more now."""
    unneeded: tuple[int | None, int, int] | None = database.execute(
        "SELECT parent, chain, size FROM responses WHERE number = ?1 AND hidden"
        " AND NOT EXISTS (SELECT 1 FROM responses WHERE parent = ?1)",
        (number,),
    ).fetchone()
    if unneeded is None:
        return None
    parent, chain, size = unneeded
    database.execute("DELETE FROM responses WHERE number = ?", (number,))
    if parent is None:  # it began the chain, so it was the last one left
        database.execute("DELETE FROM chains WHERE number = ?", (chain,))
    else:
        database.execute("UPDATE chains SET size = size - ? WHERE number = ?", (size, chain))
    return parent


def drop_chains(database: sqlite3.Connection, put_before: float | None, max_bytes: int | None, max_chains: int) -> int:
    """Remove the chains that were added to longest ago, as long as that was before ``put_before``, or all together
    exceed ``max_bytes`` and it isn't the last one. At most ``max_chains``. Returns how many."""
    with transaction(database):
        chains = list(_superfluous(database, put_before, max_bytes, max_chains))
        database.executemany("DELETE FROM chains WHERE number = ?", chains)
    return len(chains)


def _superfluous(
    database: sqlite3.Connection, put_before: float | None, max_bytes: int | None, max_chains: int
) -> Iterator[tuple[int]]:
    size, last = database.execute("SELECT sum(size), max(newest) FROM chains").fetchone()
    for number, newest, put_at, own_size in database.execute(
        "SELECT number, newest, put_at, size FROM chains ORDER BY newest LIMIT ?", (max_chains,)
    ):
        is_old = put_before is not None and put_at < put_before
        is_excess = max_bytes is not None and size > max_bytes and newest != last
        if not (is_old or is_excess):
            return
        size -= own_size
        yield (number,)
