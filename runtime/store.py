"""Stored Responses: what ``store: true`` keeps, and the interface of whatever keeps it.

A Response with those that continue it, directly or not, is a *chain*; where a Response is continued more than once the
chain branches. A chain is forgotten as a whole: a continuation finds its whole history or none of it, never half.

Errors::

    StoreError
    ├── StoreUnusable          it can't be opened
    │   ├── NotAStore          it holds something else, or is damaged; it was not changed
    │   └── StoreTooNew        a newer version of caesura wrote it; it was not changed
    ├── StoreFailed            something can't be read or deleted now
    └── StoreClosed            it was closed
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import msgspec


class StoredItem(msgspec.Struct, frozen=True):
    """One item of a conversation.

    :ivar is_output: the Response made it; otherwise it came with the request.
    :ivar body: the item as JSON.
    """

    id: str
    is_output: bool
    body: bytes


class StoredResponse(msgspec.Struct, frozen=True):
    """One ended Response.

    :ivar id: unique among all owners.
    :ivar owner: digest of the credential that created it, "" for nobody.
    :ivar created_at: seconds since the epoch.
    :ivar previous_response_id: the one that it continues.
    :ivar response: the final Response as JSON.
    :ivar items: what it added to the conversation, input and output, in order.
    """

    id: str
    owner: str
    created_at: float
    previous_response_id: str | None
    response: bytes
    items: tuple[StoredItem, ...]

    @property
    def size(self) -> int:
        """Bytes of its JSON: what a bound on the store's size counts."""
        return len(self.response) + sum(len(item.body) for item in self.items)


Earlier = Callable[[], Sequence[StoredItem]]
"""All items of the conversation before a Response, in order."""


class ResponseStore(Protocol):
    """Stored Responses by id. One event loop owns a store and calls it; it never waits for the store's medium.

    Calls take effect in the order in which they were made. What belongs to another owner is not found, as if it didn't
    exist. After :meth:`close`, every method but that one raises :exc:`StoreClosed`.

    A deleted Response is not found any more, by none of the methods, nor are its items. The history of those that
    continue it still has it, and its content is removed when the last of those that are not deleted themselves is.

    An implementation may have bounds on age and size. It drops whole chains then, first the one that was added to
    longest ago. The one that was added to last is never dropped for its size, even where it alone exceeds the bound:
    its next continuation is likely to come.
    """

    def put(self, record: StoredResponse, earlier: Earlier | None = None) -> None:
        """Keep a Response. Returns at once; later calls see it.

        What ``previous_response_id`` names should have been put before, and not be deleted. If it isn't there, the
        Response begins a chain of its own, with the items that ``earlier`` gives before its own ones; that is called
        then, in any thread. Without ``earlier`` the Response is kept, but has no history. A failure is logged and never
        raised; so is an id that is stored already, which keeps what it has.
        """
        ...

    async def get(self, response_id: str, owner: str) -> StoredResponse | None:
        """One Response.

        :raises StoreFailed: it can't be read.
        """
        ...

    async def history(self, response_id: str, owner: str) -> list[StoredResponse] | None:
        """A Response and all that it continues, oldest first; None if it or one of those isn't there.

        :raises StoreFailed: it can't be read.
        """
        ...

    async def item(self, item_id: str, owner: str) -> StoredItem | None:
        """The item of that id that was stored last.

        :raises StoreFailed: it can't be read.
        """
        ...

    async def delete(self, response_id: str, owner: str) -> bool:
        """Whether it was there.

        :raises StoreFailed: it can't be deleted.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked for; all that was put is on disk then. Idempotent; never raises."""
        ...


class StoreError(Exception):
    """Root of the tree. ``code`` is stable; the message says what can be done about it."""

    code: ClassVar[str] = "store_error"


class StoreUnusable(StoreError):
    code = "store_unusable"


class NotAStore(StoreUnusable):
    code = "not_a_store"


class StoreTooNew(StoreUnusable):
    code = "store_too_new"


class StoreFailed(StoreError):
    code = "store_failed"


class StoreClosed(StoreError):
    code = "store_closed"
