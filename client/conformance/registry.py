"""Checks, and how they are registered: one decorated coroutine function each.

What a check is given is its *case*: whatever it needs to talk to the peer. This module does not care who the peer is.
"""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .requirements import REQUIREMENTS

CaseT = TypeVar("CaseT")
CheckFunction = Callable[[CaseT], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """``requirements`` are the ids that it shows if it passes. ``needs`` are names of what the user has to tell for it
    (see ``settings.py``). ``chapter`` is that of the text, from the module's name."""

    name: str
    chapter: str
    description: str
    requirements: tuple[str, ...]
    needs: tuple[str, ...]
    run: Callable[[Any], Awaitable[None]]


class Registry(Generic[CaseT]):
    """The checks of one role, in the order in which they were registered."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def check(
        self, *requirements: str, needs: Iterable[str] = ()
    ) -> Callable[[CheckFunction[CaseT]], CheckFunction[CaseT]]:
        """Register the coroutine function below: its name and docstring are the check's.

        :raises KeyError: an id that is no requirement.
        :raises ValueError: no id, a second check of that name, or none of what a check must say of itself.
        """

        ids = tuple(REQUIREMENTS[each].id for each in requirements)

        def register(function: CheckFunction[CaseT]) -> CheckFunction[CaseT]:
            name = getattr(function, "__name__", "").strip("_").replace("_", "-")
            description = inspect.cleandoc(function.__doc__ or "")
            if not (ids and name and description) or name in self._checks:
                raise ValueError(f"the check {name!r} needs a name of its own, a docstring and a requirement")
            module = function.__module__.rpartition(".")[2]
            chapter = module.removeprefix("client_").removeprefix("checks_").replace("_", " ")
            self._checks[name] = Check(name, chapter, description, ids, tuple(needs), function)
            return function

        return register

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks.values())

    def __len__(self) -> int:
        return len(self._checks)

    @property
    def requirements(self) -> frozenset[str]:
        """All that are covered."""
        return frozenset(name for check in self for name in check.requirements)

    def covering(self, patterns: Iterable[str]) -> tuple[list[Check], list[str]]:
        """The checks that cover a requirement which one of the patterns (``append-*``) matches, and those requirements.

        :raises KeyError: a pattern that matches none.
        """
        names: list[str] = []
        for pattern in patterns:
            found = [name for name in REQUIREMENTS if name in self.requirements and fnmatch.fnmatch(name, pattern)]
            if not found:
                raise KeyError(pattern)
            names += found
        return [check for check in self if set(names) & set(check.requirements)], names
