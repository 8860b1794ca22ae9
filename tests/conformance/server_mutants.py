"""Broken variants of our own server: what a mutant is, and what it may change.

The mutants themselves are in ``server_mutants_*.py``, by the chapters of the suite; importing one registers what is in
it. Each is a mistake that somebody could make, in the real classes of the server.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest import mock

from caesura.protocol import server as protocol_server
from caesura.protocol import server_connection as protocol_connection
from caesura.protocol import server_outlet
from caesura.protocol.codec import encode
from caesura.protocol.events import ResponseEvent
from caesura.runtime.session import Session

Event = dict[str, Any]
Replacement = Callable[..., Any]

LIMITS: Mapping[str, Mapping[str, float]] = {
    "usual": {},
    "small": {
        "max_message_bytes": 1 << 18,
        "max_depth": 20,
        "max_append_items": 8,
        "max_named_lanes": 6,
        "max_sampling": 2,
        "max_open_per_connection": 4,
        "max_open_per_credential": 6,
        "max_unsent_events": 200,
        "max_replay_events": 60,
    },
    "impatient": {"pause_timeout": 1.0, "grace": 0.2, "ping_interval": 0.05},
    "short-lived": {"lifetime": 0.6},
}
"""How a server can be configured. The suite is told the same."""

WAIT = 2.0
"""Seconds that a check waits at most for something that a broken server may never send."""

QUIET = 0.25
"""The same for a mutant whose mistake is that nothing comes."""


@dataclass(frozen=True)
class Mutant:
    """``breaks`` says what is wrong with it. Each check of ``by`` has to say that those of the ``requirements`` that it
    covers are broken."""

    name: str
    breaks: str
    requirements: tuple[str, ...]
    by: tuple[str, ...]
    apply: Callable[[Patches], None]
    limits: str
    wait: float

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            self.apply(Patches(stack))
            yield


MUTANTS: list[Mutant] = []


def mutant(
    *requirements: str, by: str, limits: str = "usual", wait: float = WAIT
) -> Callable[[Callable[[Patches], None]], Callable[[Patches], None]]:
    """Register the function below, which applies the patches: its name and docstring are the mutant's.

    :param by: the names of the checks that find it, with blanks between them.
    """

    def register(apply: Callable[[Patches], None]) -> Callable[[Patches], None]:
        name = apply.__name__.replace("_", "-")
        breaks = inspect.cleandoc(apply.__doc__ or "")
        assert breaks
        assert limits in LIMITS
        assert name not in {each.name for each in MUTANTS}
        MUTANTS.append(Mutant(name, breaks, requirements, tuple(by.split()), apply, limits, wait))
        return apply

    return register


class Patches:
    """Changes to the server that are undone when the stack is closed."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def set(self, owner: type | ModuleType, name: str, value: Any) -> None:
        self._stack.enter_context(mock.patch.object(owner, name, value))

    def around(self, owner: type | ModuleType, name: str) -> Callable[[Replacement], Replacement]:
        """What is decorated is called instead, with the original before the arguments."""
        original = getattr(owner, name)

        def decorate(replacement: Replacement) -> Replacement:
            @functools.wraps(original)
            def patched(*args: Any, **named: Any) -> Any:
                return replacement(original, *args, **named)

            self.set(owner, name, patched)
            return replacement

        return decorate

    def events(self, change: Callable[[ResponseEvent], ResponseEvent]) -> None:
        """Change events of Responses as they are encoded, once: what a resume repeats is the same."""
        self.set(protocol_server, "encode", lambda event: encode(change(event)))

    def messages(self, kind: type, change: Callable[[Any], Any]) -> None:
        """The same for what is said of a connection: errors, ``response.resumed`` and ``response.detached``."""
        for module in (protocol_connection, server_outlet):
            self.set(
                module,
                "encode",
                lambda event: encode(change(event) if isinstance(event, kind) else event),
            )

    def frames(self, make: Callable[[], Callable[[Event], list[Event]]]) -> None:
        """Change what is sent on a connection: ``make`` gives what becomes of each message of one."""

        @self.around(Session, "__init__")
        def init(original: Any, self: Session, rollouts: Any, send: Any, *more: Any) -> None:
            change = make()

            async def send_changed(frame: str) -> None:
                for event in change(json.loads(frame)):
                    await send(json.dumps(event))

            original(self, rollouts, send_changed, *more)
