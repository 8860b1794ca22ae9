"""Ended Responses that a create can go on from: their items, and where it is still there, their sequence.

A chain of Responses on one connection grows one sequence. Each of them remembers how long it was when it ended, so that
a create can go on from any of them: at the end of the row by appending to it, elsewhere from a fork.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..protocol.items import InputItem
from ..protocol.messages import ResponseCreate
from ..protocol.resource import Response
from ..sampler.engine import TokenSequence
from ..sampler.replay import ReplayScript
from .constraints import Constraints
from .pending import Call
from .tool_definitions import Tools


class Row:
    """A sequence, and how many need it: the Response that grows it, and those that it was grown by."""

    def __init__(self, sequence: TokenSequence) -> None:
        self.sequence = sequence
        self.is_growing = True
        self._users = 1

    def share(self) -> None:
        """One more needs it."""
        self._users += 1

    async def release(self) -> None:
        """One of them doesn't any more. After the last one the sequence is closed."""
        self._users -= 1
        if not self._users:
            await self.sequence.close()


@dataclass(frozen=True, slots=True)
class Previous:
    """One ended Response.

    :ivar response: as it ended.
    :ivar create: the request that it answered.
    :ivar items: what it added to the conversation, input and output in order.
    :ivar parent: the one that it went on from itself.
    :ivar row: its sequence; None where that is not there.
    :ivar length: how many tokens of it are this conversation.
    :ivar calls: those of its last turn, in order.
    :ivar answers: the outputs that are known of them, by ``call_id``.
    :ivar num_turns: assistant turns of the conversation.
    :ivar tools: and ``constraints``: what was made of its request's ``raw_tools``, and more.
    :ivar replay: the script that the conversation brought along.
    """

    response: Response
    create: ResponseCreate
    items: tuple[InputItem, ...]
    parent: Previous | None = None
    row: Row | None = None
    length: int = 0
    calls: tuple[Call, ...] = ()
    answers: Mapping[str, str] | None = None
    num_turns: int = 0
    tools: Tools | None = None
    raw_tools: Sequence[Any] = ()
    constraints: Constraints | None = None
    replay: ReplayScript | None = None

    @property
    def has_turn(self) -> bool:
        """Whether an assistant turn ends its tokens: there is none after a warm-up."""
        return self.create.generate is not False

    @property
    def history(self) -> list[InputItem]:
        """The whole conversation, oldest first."""
        chain = [self]
        while (parent := chain[-1].parent) is not None:
            chain.append(parent)
        return [item for previous in reversed(chain) for item in previous.items]

    @property
    def is_last_of_row(self) -> bool:
        """Whether its sequence can simply grow on: nobody has grown it beyond this Response, and nobody does now."""
        row = self.row
        return row is not None and not row.is_growing and len(row.sequence.ledger) == self.length
