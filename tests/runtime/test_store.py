"""Any store of Responses, through its interface.

A second implementation is one more entry of ``IMPLEMENTATIONS``, here and in ``test_store_model``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from caesura.runtime.sqlite_store import SqliteStore
from caesura.runtime.store import ResponseStore, StoreClosed, StoredItem, StoredResponse

SECONDS = 20
FOREVER: dict[str, Any] = {"max_age": None, "max_bytes": None}


IMPLEMENTATIONS: dict[str, Callable[..., ResponseStore]] = {
    "sqlite": lambda folder, **options: SqliteStore(folder / "responses.sqlite3", **options)
}
"""Each opens the store that is in a folder, or makes it."""

Open = Callable[..., ResponseStore]


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store each time."""
    return partial(IMPLEMENTATIONS[request.param], tmp_path)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), SECONDS))


def with_store(open_store: Open, scenario: Callable[[ResponseStore], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        store = open_store(**options)
        try:
            await scenario(store)
        finally:
            await store.close()

    run(main)


def item(item_id: str, *, is_output: bool = False, text: str = "x") -> StoredItem:
    return StoredItem(item_id, is_output, f'{{"id":"{item_id}","text":"{text}"}}'.encode())


def record(
    response_id: str, previous: str | None = None, owner: str = "me", items: tuple[StoredItem, ...] = (), size: int = 1
) -> StoredResponse:
    return StoredResponse(response_id, owner, 1.5, previous, b"x" * size, items)


def test_what_is_put_comes_back(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        items = (item("i1", text="\0 é 語"), item("i2", is_output=True), item("i3"), item("i3", is_output=True))
        whole = StoredResponse("r", "me", 1234.5678, None, b'{"id":"r"}', items)
        store.put(whole)
        assert await store.get("r", "me") == whole
        assert await store.history("r", "me") == [whole]
        assert await store.item("i2", "me") == items[1]

    with_store(open_store, scenario)


@pytest.mark.parametrize("owner", ["", "you", "me "])
def test_what_belongs_to_another_owner_is_not_found(open_store: Open, owner: str) -> None:
    async def scenario(store: ResponseStore) -> None:
        store.put(record("r", items=(item("i"),)))
        assert await store.get("r", owner) is None
        assert await store.history("r", owner) is None
        assert await store.item("i", owner) is None
        assert not await store.delete("r", owner)
        assert await store.get("r", "me") is not None

    with_store(open_store, scenario)


def test_nobody_has_a_store_too(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        store.put(record("r", owner=""))
        assert await store.get("r", "") == record("r", owner="")

    with_store(open_store, scenario)


def test_a_history_is_that_of_one_branch(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        for response_id, previous in [("a", None), ("b", "a"), ("c", "b"), ("fork", "a"), ("other", None)]:
            store.put(record(response_id, previous))
        assert await history_of(store, "c") == ["a", "b", "c"]
        assert await history_of(store, "fork") == ["a", "fork"]
        assert await history_of(store, "a") == ["a"]

    with_store(open_store, scenario)


async def history_of(store: ResponseStore, response_id: str) -> list[str] | None:
    history = await store.history(response_id, "me")
    return None if history is None else [response.id for response in history]


def test_a_long_history_is_whole(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        chain = [
            record(f"r{n}", f"r{n - 1}" if n else None, items=(item(f"i{n}"), item(f"o{n}", is_output=True)))
            for n in range(1500)
        ]
        for response in chain:
            store.put(response)
        assert await store.history("r1499", "me") == chain

    with_store(open_store, scenario)


def test_what_continues_something_unknown_has_no_history(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        store.put(record("theirs", owner="you"))
        for previous, response_id in [("nowhere", "a"), ("theirs", "b"), ("c", "c")]:
            store.put(record(response_id, previous))
            store.put(record(f"{response_id}2", response_id))
            assert await store.get(response_id, "me") == record(response_id, previous)
            assert await store.history(response_id, "me") is None
            assert await store.history(f"{response_id}2", "me") is None
        store.put(record("nowhere"))
        assert await store.history("a2", "me") is None, "it was put too late"

    with_store(open_store, scenario)


def test_the_first_of_an_id_stays(open_store: Open, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(store: ResponseStore) -> None:
        store.put(record("r", items=(item("i"),)))
        store.put(record("r", owner="you", items=(item("j"),)))
        store.put(record("r", size=7))
        store.put(record("next", "r"))
        assert await store.get("r", "me") == record("r", items=(item("i"),))
        assert await store.get("r", "you") is None
        assert await store.item("j", "you") is None
        assert await history_of(store, "next") == ["r", "next"]

    with caplog.at_level(logging.ERROR, "caesura"):
        with_store(open_store, scenario)
    assert caplog.text.count("response r is stored already") == 2


def test_a_deleted_response_is_gone(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        store.put(record("r", items=(item("i"),)))
        assert await store.delete("r", "me")
        assert await store.get("r", "me") is None
        assert await store.history("r", "me") is None
        assert await store.item("i", "me") is None
        assert not await store.delete("r", "me")
        store.put(record("next", "r"))
        assert await store.history("next", "me") is None

    with_store(open_store, scenario)


def test_what_continues_a_deleted_response_keeps_its_history(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        parent = record("parent", items=(item("i"),))
        store.put(parent)
        store.put(record("child", "parent"))
        assert await store.delete("parent", "me")
        assert await store.get("parent", "me") is None
        assert await store.history("parent", "me") is None
        assert await store.item("i", "me") is None
        assert await store.history("child", "me") == [parent, record("child", "parent")]
        store.put(record("late fork", "parent"))
        assert await store.history("late fork", "me") is None

    with_store(open_store, scenario)


def test_an_item_is_the_one_that_was_stored_last(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        store.put(record("a", items=(item("i", text="first"), item("i", text="second"))))
        store.put(record("b", items=(item("i", text="third"),)))
        store.put(record("c", owner="you", items=(item("i", text="theirs"),)))
        assert await store.item("i", "me") == item("i", text="third")
        await store.delete("b", "me")
        assert await store.item("i", "me") == item("i", text="second")
        assert await store.item("i", "you") == item("i", text="theirs")
        assert await store.item("j", "me") is None

    with_store(open_store, scenario)


def test_all_that_was_put_is_there_after_closing(open_store: Open) -> None:
    async def put_many(store: ResponseStore) -> None:
        for n in range(300):
            store.put(record(f"r{n}", f"r{n - 1}" if n else None))

    async def find_many(store: ResponseStore) -> None:
        assert await history_of(store, "r299") == [f"r{n}" for n in range(300)]

    with_store(open_store, put_many)
    with_store(open_store, find_many)


def test_a_closed_store_says_so(open_store: Open) -> None:
    async def main() -> None:
        store = open_store()
        store.put(record("r"))
        await asyncio.gather(store.close(), store.close())
        await store.close()
        with pytest.raises(StoreClosed, match="was closed"):
            store.put(record("s"))
        for call in (store.get, store.history, store.item, store.delete):
            with pytest.raises(StoreClosed):
                await call("r", "me")

    run(main)


def test_a_caller_that_gives_up_disturbs_nobody(open_store: Open) -> None:
    async def scenario(store: ResponseStore) -> None:
        store.put(record("r"))
        tasks = [asyncio.create_task(store.get("r", "me")) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[1::2] == [record("r")] * 10
        assert await store.get("r", "me") == record("r")

    with_store(open_store, scenario)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_chains_that_nobody_adds_to_are_dropped_after_a_time(open_store: Open) -> None:
    clock = Clock()

    async def before(store: ResponseStore) -> None:
        for response_id, previous in [("old", None), ("older fork", "old"), ("going on", None)]:
            store.put(record(response_id, previous))
        await store.get("old", "me")
        clock.now += 70
        store.put(record("new", "going on"))
        await store.get("old", "me")
        clock.now += 70

    async def after(store: ResponseStore) -> None:
        assert await store.get("old", "me") is None
        assert await store.get("older fork", "me") is None
        assert await history_of(store, "new") == ["going on", "new"]

    with_store(open_store, before, clock=clock, **FOREVER)
    with_store(open_store, after, clock=clock, max_age=100, max_bytes=None)


def test_chains_that_exceed_the_size_are_dropped_as_a_whole(open_store: Open) -> None:
    async def before(store: ResponseStore) -> None:
        store.put(record("a1", size=40))
        store.put(record("b1", size=20, items=(StoredItem("i", True, b"x" * 20),)))
        store.put(record("c1", size=40))
        store.put(record("a2", "a1", size=10))

    async def after(store: ResponseStore) -> None:
        assert await store.get("b1", "me") is None, "the chain that was added to longest ago"
        assert await store.item("i", "me") is None
        assert await store.get("c1", "me") is not None
        assert await history_of(store, "a2") == ["a1", "a2"]

    with_store(open_store, before, **FOREVER)
    with_store(open_store, after, max_age=None, max_bytes=90)


def test_the_chain_that_was_added_to_last_may_exceed_the_size(open_store: Open) -> None:
    async def before(store: ResponseStore) -> None:
        store.put(record("other", size=1))
        store.put(record("r0", size=50))
        store.put(record("r1", "r0", size=50))

    async def after(store: ResponseStore) -> None:
        assert await history_of(store, "r1") == ["r0", "r1"]
        assert await store.get("other", "me") is None

    with_store(open_store, before, **FOREVER)
    with_store(open_store, after, max_age=None, max_bytes=10)


def test_what_goes_on_from_nothing_brings_its_history(open_store: Open) -> None:
    """Its parent was deleted, or dropped, or never put."""

    async def scenario(store: ResponseStore) -> None:
        store.put(record("gone", items=(item("a"),)))
        assert await store.delete("gone", "me")
        for number, parent in enumerate(("gone", "never")):
            own = record(f"child{number}", parent, items=(item("b"),))
            store.put(own, lambda: [item("a")])
            history = await store.history(f"child{number}", "me")
            assert history is not None
            assert [[each.id for each in one.items] for one in history] == [["a", "b"]]
        store.put(record("known", items=(item("a"),)))
        store.put(record("child", "known", items=(item("b"),)), lambda: [item("never asked for")])
        history = await store.history("child", "me")
        assert history is not None
        assert [one.id for one in history] == ["known", "child"]

    with_store(open_store, scenario, **FOREVER)
