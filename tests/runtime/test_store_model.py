"""Any order of calls to a store of Responses, against a model of it that is nothing but dicts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from caesura.runtime.sqlite_store import SqliteStore
from caesura.runtime.store import ResponseStore, StoredItem, StoredResponse
from hypothesis import given, settings
from hypothesis import strategies as st

SECONDS = 20
FOREVER: dict[str, Any] = {"max_age": None, "max_bytes": None}


@dataclass(frozen=True)
class Implementation:
    """``open(folder, clock=..., max_age=..., max_bytes=...)`` opens the store of that folder, with what was put before.
    ``check(folder, ids)`` looks at what a closed one has left behind: the Responses of these ids and nothing else."""

    open: Callable[..., ResponseStore]
    check: Callable[[Path, set[str]], None]


def open_sqlite(folder: Path, **options: Any) -> SqliteStore:
    return SqliteStore(folder / "responses.sqlite3", **options)


def check_sqlite(folder: Path, ids: set[str]) -> None:
    database = sqlite3.connect(folder / "responses.sqlite3")

    def rows(query: str) -> list[Any]:
        return database.execute(query).fetchall()

    assert {row[0] for row in rows("SELECT id FROM responses")} == ids
    assert rows("PRAGMA integrity_check") == [("ok",)]
    assert rows("PRAGMA foreign_key_check") == []
    bodies = "coalesce((SELECT sum(length(body)) FROM items WHERE items.response = number), 0)"
    assert rows(f"SELECT id FROM responses WHERE size <> length(response) + {bodies}") == []
    sizes = rows("SELECT chain, sum(size) FROM responses GROUP BY chain ORDER BY chain")
    assert rows("SELECT number, size FROM chains ORDER BY number") == sizes
    database.close()


IMPLEMENTATIONS = {"sqlite": Implementation(open_sqlite, check_sqlite)}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    """A Response in the model: nothing but its record, what it really continues, and when its chain was added to."""

    record: StoredResponse
    parent: str | None
    chain: str
    is_deleted: bool = False


class Model:
    """What a store does, in the plainest way."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.added_to: dict[str, float] = {}  # when, by chain; the one that was added to longest ago first

    def find(self, response_id: str | None, owner: str) -> Kept | None:
        kept = self.kept.get(response_id or "")
        return None if kept is None or kept.is_deleted or kept.record.owner != owner else kept

    def put(self, record: StoredResponse, now: float) -> None:
        if record.id in self.kept:
            return
        parent = self.find(record.previous_response_id, record.owner)
        chain = record.id if parent is None else parent.chain
        self.kept[record.id] = Kept(record, None if parent is None else parent.record.id, chain)
        self.added_to.pop(chain, None)
        self.added_to[chain] = now

    def ancestry(self, response_id: str | None) -> list[Kept]:
        """The newest first."""
        ancestry = []
        while response_id is not None:
            ancestry.append(self.kept[response_id])
            response_id = ancestry[-1].parent
        return ancestry

    def history(self, response_id: str, owner: str) -> list[StoredResponse] | None:
        if self.find(response_id, owner) is None:
            return None
        records = [kept.record for kept in reversed(self.ancestry(response_id))]
        return records if records[0].previous_response_id is None else None

    def item(self, item_id: str, owner: str) -> StoredItem | None:
        visible = [kept.record for kept in self.kept.values() if not kept.is_deleted and kept.record.owner == owner]
        items = [item for record in visible for item in record.items if item.id == item_id]
        return items[-1] if items else None

    def delete(self, response_id: str, owner: str) -> bool:
        if (found := self.find(response_id, owner)) is None:
            return False
        found.is_deleted = True
        visible = [name for name, kept in self.kept.items() if not kept.is_deleted]
        needed = {kept.record.id for name in visible for kept in self.ancestry(name)}
        self.keep({name: kept for name, kept in self.kept.items() if name in needed})
        return True

    def keep(self, kept: dict[str, Kept]) -> None:
        self.kept = kept
        chains = {kept.chain for kept in self.kept.values()}
        self.added_to = {chain: at for chain, at in self.added_to.items() if chain in chains}

    def retain(self, put_before: float, max_bytes: int) -> None:
        chains = [chain for chain, at in self.added_to.items() if at >= put_before]
        while len(chains) > 1 and self.size_of(chains) > max_bytes:
            del chains[0]
        self.keep({name: kept for name, kept in self.kept.items() if kept.chain in chains})

    def size_of(self, chains: list[str]) -> int:
        return sum(kept.record.size for kept in self.kept.values() if kept.chain in chains)


OWNERS = ["me", "you", ""]
ITEM_IDS = ["i0", "i1", "i2"]


class Use:
    """A store and its model, used alike."""

    def __init__(self, implementation: Implementation, folder: Path) -> None:
        self.implementation = implementation
        self.folder = folder
        self.clock = Clock()
        self.model = Model()
        self.ids = ["unknown"]  # ever used
        self.store = self.open(**FOREVER)

    def open(self, **bounds: Any) -> ResponseStore:
        return self.implementation.open(self.folder, clock=self.clock, **bounds)

    def id_of(self, back: int) -> str:
        return self.ids[-1 - back % len(self.ids)]

    async def close(self) -> None:
        await self.store.close()
        self.implementation.check(self.folder, set(self.model.kept))

    async def compare_history(self, response_id: str, owner: str) -> None:
        assert await self.store.history(response_id, owner) == self.model.history(response_id, owner)

    async def compare_all(self) -> None:
        for owner in OWNERS:
            for response_id in self.ids:
                await self.compare_history(response_id, owner)
                kept = self.model.find(response_id, owner)
                assert await self.store.get(response_id, owner) == (kept and kept.record)
            for item_id in ITEM_IDS:
                assert await self.store.item(item_id, owner) == self.model.item(item_id, owner)


@dataclass(frozen=True)
class Put:
    """:ivar back: which of the ids it continues, counted from the latest; None for none of them.
    :ivar owner: None for that of the one that it continues."""

    back: int | None
    owner: str | None
    response: bytes
    items: tuple[StoredItem, ...]

    async def do(self, use: Use) -> None:
        previous = None if self.back is None else use.id_of(self.back)
        kept = use.model.kept.get(previous or "")
        owner = self.owner if self.owner is not None else kept.record.owner if kept is not None else "me"
        use.ids.append(f"r{len(use.ids)}")
        put(use, StoredResponse(use.ids[-1], owner, use.clock.now, previous, self.response, self.items))


@dataclass(frozen=True)
class PutAgain:
    back: int
    owner: str

    async def do(self, use: Use) -> None:
        if (response_id := use.id_of(self.back)) in use.model.kept:
            put(use, StoredResponse(response_id, self.owner, 0.0, None, b"again", ()))


def put(use: Use, record: StoredResponse) -> None:
    use.store.put(record)
    use.model.put(record, use.clock.now)


@dataclass(frozen=True)
class Delete:
    back: int

    async def do(self, use: Use) -> None:
        for owner in OWNERS:
            response_id = use.id_of(self.back)
            assert await use.store.delete(response_id, owner) == use.model.delete(response_id, owner)


@dataclass(frozen=True)
class Look:
    """At one history; all is looked at in the end."""

    back: int
    owner: str

    async def do(self, use: Use) -> None:
        await use.compare_history(use.id_of(self.back), self.owner)


@dataclass(frozen=True)
class Retain:
    """Opening a store applies its bounds, whatever else does."""

    seconds: int
    max_age: int
    max_bytes: int

    async def do(self, use: Use) -> None:
        use.clock.now += self.seconds
        await use.close()
        use.store = use.open(max_age=self.max_age, max_bytes=self.max_bytes)
        use.model.retain(use.clock.now - self.max_age, self.max_bytes)
        await use.close()
        use.store = use.open(**FOREVER)


BACK = st.integers(0, 6)
ITEMS = st.lists(st.builds(StoredItem, st.sampled_from(ITEM_IDS), st.booleans(), st.binary(max_size=9)), max_size=2)
PUTS = st.builds(
    Put,
    st.sampled_from([0, 0, 0, 1, 1, 2, 4, 6, None]),
    st.sampled_from([None, None, None, None, *OWNERS]),
    st.binary(max_size=9),
    ITEMS.map(tuple),
)
OTHERS = st.one_of(
    st.builds(Delete, BACK),
    st.builds(Look, BACK, st.sampled_from(OWNERS)),
    st.builds(Retain, st.sampled_from([0, 10, 20]), st.sampled_from([10, 20, 30]), st.integers(0, 150)),
    st.builds(PutAgain, BACK, st.sampled_from(OWNERS)),
)


STEPS = st.lists(st.tuples(st.lists(PUTS, min_size=1, max_size=3), OTHERS), min_size=6, max_size=14)


@pytest.mark.parametrize("name", sorted(IMPLEMENTATIONS))
@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_any_use_is_that_of_the_model(
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[list[Put], PutAgain | Delete | Look | Retain]],
) -> None:
    async def main() -> None:
        use = Use(IMPLEMENTATIONS[name], tmp_path_factory.mktemp("store"))
        try:
            for puts, other in steps:
                for step in (*puts, other):
                    await step.do(use)
            await use.compare_all()
        finally:
            await use.store.close()
        await use.close()

    asyncio.run(asyncio.wait_for(main(), SECONDS))
