"""The interface of a guard, and what runs several of them.

A guard sees every item once, when it is new: the input of a create, the outputs and messages of an append, what a
hosted tool gave. It sees no history that was let in before. It works in two places:

- ``rewrite``, before anything is rendered. It holds the request up, so it has to be fast. It may change items, or raise
  :class:`..protocol.errors.GuardStopped` before anything has cost anything.
- ``check``, beside prefill. It may take its time, ask another service, and raise ``GuardStopped`` then. No token of the
  model leaves the server before every check has passed.

A guard that breaks fails closed: the Response ends with ``server_error``, and the log says why. One for which an answer
matters more than its verdict sets ``fails_open``: then a failure is logged, and the items go in as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar, cast

from ...protocol.errors import GuardStopped, ServerFault
from ...protocol.items import InputItem

log = logging.getLogger("caesura")

Item = TypeVar("Item", bound=InputItem)
Result = TypeVar("Result")


class Guard(Protocol):
    """One guard. It keeps no state between items: many Responses share it.

    :ivar name: for messages and the log.
    :ivar fails_open: what its own failure means; see the module.
    """

    name: str
    fails_open: bool

    def rewrite(self, items: Sequence[InputItem]) -> Sequence[InputItem]:
        """The items as they go in: as many, each of its own type; the same object if nothing changes.

        :raises GuardStopped: they don't go in.
        """
        ...

    def check(self, items: Sequence[InputItem]) -> Awaitable[Sequence[str]] | None:
        """Look at what ``rewrite`` let in. None if there is nothing to look at, which costs nothing then.

        :returns: warnings, for the Response and the log: they may quote nothing that is secret.
        :raises GuardStopped: when awaited: the Response ends, and nothing of it is released.
        """
        ...


class Guards:
    """Those of a server, in their order: each sees what the one before it made of the items."""

    def __init__(self, guards: Sequence[Guard] = ()) -> None:
        self._guards = tuple(guards)

    def rewrite(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items as they go in; the same object if nothing changes.

        :raises GuardStopped: they don't go in.
        :raises ServerFault: a guard that fails closed broke.
        """
        for guard in self._guards:
            rewritten: Sequence[InputItem] = _guarded(guard, partial(guard.rewrite, items), items)
            items = cast("Sequence[Item]", rewritten)
        return items

    def begin(self, items: Sequence[InputItem]) -> Checking | None:
        """Start the checks. None if there is nothing to check.

        :raises ServerFault: a guard that fails closed broke at once.
        """
        if not items or not self._guards:
            return None
        checking = Checking()
        try:
            for guard in self._guards:
                check = _guarded(guard, partial(guard.check, items), None)
                if check is not None:
                    checking.add(guard, check)
        except BaseException:
            checking.cancel()
            raise
        return checking if checking.is_needed else None


def _guarded(guard: Guard, work: Callable[[], Result], otherwise: Result) -> Result:
    """What the work gives; ``otherwise`` if it broke and the guard fails open.

    :raises GuardStopped: it stops the Response.
    :raises ServerFault: it broke, and the guard fails closed.
    """
    try:
        return work()
    except GuardStopped:
        raise
    except Exception as error:
        log.error("the guard %r failed", guard.name, exc_info=error)
        if guard.fails_open:
            return otherwise
        raise ServerFault(f"The guard {guard.name!r} failed, so nothing goes in. The log has the details.") from error


class Checking:
    """Checks under way, a task each. :meth:`Guards.begin` makes it."""

    def __init__(self) -> None:
        self._guards: dict[asyncio.Future[Sequence[str]], Guard] = {}

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self._guards)

    def add(self, guard: Guard, check: Awaitable[Sequence[str]]) -> None:
        """Begin a check."""
        task = asyncio.ensure_future(check)
        task.add_done_callback(_retrieve)
        self._guards[task] = guard

    async def passed(self) -> list[str]:
        """Wait for all of them; the first one that stops the Response ends the others.

        :returns: the warnings, in the guards' order.
        :raises GuardStopped, ServerFault: one of them stops the Response.
        """
        warnings: dict[asyncio.Future[Sequence[str]], Sequence[str]] = {}
        nothing: Sequence[str] = ()
        try:
            while len(warnings) < len(self._guards):
                waiting = [task for task in self._guards if task not in warnings]
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
                for task, guard in self._guards.items():
                    if task in done:
                        warnings[task] = _guarded(guard, partial(_result, task), nothing)
        finally:
            self.cancel()
        return [warning for task in self._guards for warning in warnings[task]]

    def cancel(self) -> None:
        """Nobody waits for the verdict any more. Harmless when repeated, and after :meth:`passed`."""
        for task in self._guards:
            task.cancel()


def _result(task: asyncio.Future[Sequence[str]]) -> Sequence[str]:
    """The warnings. A check that ended by being cancelled has said nothing, which is no verdict."""
    if task.cancelled():
        raise RuntimeError("the check was cancelled")
    return task.result()


def _retrieve(task: asyncio.Future[Sequence[str]]) -> None:
    """An exception that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()
