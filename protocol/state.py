"""The state table of a Response: every legal (state, stimulus) pair, and nothing else.

A Response is one long-running rollout. It is *requested* by ``response.create``, *in progress* from
``response.created`` on, and *paused* by ``response.done``: the model has sampled to a tool call and waits for the
client's ``response.append``. The append that answers the last open call sets it *in progress* again, at the very
token where it stopped. Three messages end it for good: ``response.completed``, ``response.failed`` and
``response.incomplete``.

Both ends run this table over the same messages, the sender when it sends and the receiver when it receives, so
there are no client states and server states. Anything that is not in the table is invalid. No other module compares
states: :meth:`.response.ResponseMachine.advance` looks them up here, and the few questions that others may ask
(is it paused? has it ended?) are the sets at the end.

An ``append`` is three stimuli, told apart by what it does to the calls that are open:

``APPEND_PART``
    it leaves at least one call unanswered; the Response stays paused.
``APPEND_LAST``
    it answers all that was open; sampling goes on.
``APPEND_AGAIN``
    it only repeats outputs that are known already, word for word. A client that isn't sure whether its append
    arrived may send it again in any live state; nothing changes.

``APPEND_REFUSED`` exists for the client alone: it sent an append, moved on, and the server answered with an
``error`` (the output didn't fit the context, say). The server never left the pause; this brings the client back.

``SUPERSEDE`` is a new ``response.create`` on the lane of a Response that still waits for its tools: the client has
given that rollout up (Codex CLI does so when a user interrupts a tool), and one lane carries one Response at a time.
``LOSE`` is the end of the connection.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class State(enum.Enum):
    """Where a Response stands. The values are for logs and the spec; the wire has its own ``status``."""

    NEW = "new"
    REQUESTED = "requested"
    IN_PROGRESS = "in_progress"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Stimulus(enum.Enum):
    """What can happen to a Response. The values name the message behind it."""

    CREATE = "response.create"
    CREATED = "response.created"
    REJECT = "error instead of response.created"
    STREAM = "any other stream event"
    DONE = "response.done"
    APPEND_PART = "response.append, calls left open"
    APPEND_LAST = "response.append, last open call"
    APPEND_AGAIN = "response.append, known outputs only"
    APPEND_REFUSED = "error instead of going on"
    COMPLETE = "response.completed"
    FAIL = "response.failed"
    CUT = "response.incomplete"
    SUPERSEDE = "response.create on the same lane"
    LOSE = "connection closed"


def _table() -> Mapping[State, Mapping[Stimulus, State]]:
    s, m = State, Stimulus
    ends = {m.COMPLETE: s.COMPLETED, m.FAIL: s.FAILED, m.CUT: s.INCOMPLETE}
    gone = {m.SUPERSEDE: s.CANCELLED, m.LOSE: s.CANCELLED}
    return {
        s.NEW: {m.CREATE: s.REQUESTED},
        s.REQUESTED: {m.CREATED: s.IN_PROGRESS, m.REJECT: s.REJECTED, m.LOSE: s.CANCELLED},
        s.IN_PROGRESS: {
            m.STREAM: s.IN_PROGRESS,
            m.DONE: s.PAUSED,
            m.APPEND_AGAIN: s.IN_PROGRESS,
            m.APPEND_REFUSED: s.PAUSED,
            **ends,
            **gone,
        },
        s.PAUSED: {
            m.APPEND_PART: s.PAUSED,
            m.APPEND_LAST: s.IN_PROGRESS,
            m.APPEND_AGAIN: s.PAUSED,
            m.APPEND_REFUSED: s.PAUSED,
            m.FAIL: s.FAILED,
            **gone,
        },
        s.COMPLETED: {},
        s.FAILED: {},
        s.INCOMPLETE: {},
        s.CANCELLED: {},
        s.REJECTED: {},
    }


TRANSITIONS: Mapping[State, Mapping[Stimulus, State]] = MappingProxyType(
    {state: MappingProxyType(dict(row)) for state, row in _table().items()}
)

PAUSED = frozenset({State.PAUSED})
UNBORN = frozenset({State.NEW, State.REQUESTED})
ENDED = frozenset(state for state, row in TRANSITIONS.items() if not row)
LIVE = frozenset(State) - ENDED
