"""The state table of a Response: every legal (state, stimulus) pair, and the error that refuses each other one.

A Response is one long-running rollout. It is *requested* by ``response.create``, *in progress* from
``response.created`` on, and *paused* by ``response.done``: the model has sampled to a tool call and waits for the
client's ``response.append``. The append that answers the last open call sets it *in progress* again, at the very
token where it stopped. Four messages end it for good: ``response.completed``, ``response.failed``,
``response.incomplete`` and ``response.cancelled``.

Both ends run this table over the same messages, so there are no client states and server states. The client takes an
append in when it is acknowledged, not when it is sent: until then the server may still be saying something else.
Anything that is not in the table is invalid. No other module compares states: :meth:`.response.ResponseMachine.advance`
looks them up here, and the few questions that others may ask (is it paused? has it ended?) are the sets below.

An ``append`` is three stimuli, told apart by what it does to the calls that are open:

``APPEND_PART``
    it brings something new and does not end a pause: calls stay open, or the model still samples. A call may be
    answered as soon as its item is done.
``APPEND_LAST``
    the Response is paused and this answers all that was open; sampling goes on.
``APPEND_AGAIN``
    it only repeats outputs that are known already, word for word. A client that isn't sure whether its append
    arrived may send it again in any live state; nothing changes.

``MESSAGES`` is an append that brings messages alone. They are taken in a pause. While the model samples they are not:
it may be about to end the Response, and then they would be lost.

``CANCEL`` and ``RESUME`` are what a client asks for; neither changes the state by itself. A cancelled Response ends by
``response.cancelled`` (``CANCELLED``), and so does one that a new create supersedes, or that nobody resumes.
``LOSE`` is the loss of the connection before ``response.created``: nobody could resume a Response whose id they never
learned. After it a Response outlives its connections; only a client that gives up takes it as lost.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from .errors import (
    InvalidRequest,
    ProtocolViolation,
    ResponseAlreadyEnded,
    ResponseNotFound,
    ResponseNotPaused,
)


class State(enum.Enum):
    """Where a Response stands. The values are for logs and the spec; the wire has its own ``status``."""

    __hash__ = object.__hash__  # Enum's own is Python code, and a message looks into the table a dozen times
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

    __hash__ = object.__hash__
    CREATE = "response.create"
    CREATED = "response.created"
    REJECT = "error instead of response.created"
    STREAM = "any other stream event"
    DONE = "response.done"
    APPEND_PART = "response.append, no pause ended"
    APPEND_LAST = "response.append, last open call of a pause"
    APPEND_AGAIN = "response.append, known outputs only"
    MESSAGES = "response.append, messages only"
    ACKNOWLEDGE = "response.appended"
    COMPLETE = "response.completed"
    FAIL = "response.failed"
    CUT = "response.incomplete"
    CANCEL = "response.cancel"
    CANCELLED = "response.cancelled"
    RESUME = "response.resume"
    LOSE = "connection lost for good"


def _table() -> Mapping[State, Mapping[Stimulus, State]]:
    s, m = State, Stimulus
    cut_short = {m.FAIL: s.FAILED, m.CUT: s.INCOMPLETE, m.CANCELLED: s.CANCELLED, m.LOSE: s.CANCELLED}
    kept = {m.RESUME}
    return {
        s.NEW: {m.CREATE: s.REQUESTED},
        s.REQUESTED: {
            m.CREATED: s.IN_PROGRESS,
            m.REJECT: s.REJECTED,
            m.CANCEL: s.REQUESTED,
            m.CANCELLED: s.CANCELLED,
            m.LOSE: s.CANCELLED,
        },
        s.IN_PROGRESS: {
            m.STREAM: s.IN_PROGRESS,
            m.DONE: s.PAUSED,
            m.APPEND_PART: s.IN_PROGRESS,
            m.APPEND_AGAIN: s.IN_PROGRESS,
            m.ACKNOWLEDGE: s.IN_PROGRESS,
            m.CANCEL: s.IN_PROGRESS,
            m.RESUME: s.IN_PROGRESS,
            m.COMPLETE: s.COMPLETED,
            **cut_short,
        },
        s.PAUSED: {
            m.APPEND_PART: s.PAUSED,
            m.APPEND_LAST: s.IN_PROGRESS,
            m.APPEND_AGAIN: s.PAUSED,
            m.MESSAGES: s.PAUSED,
            m.ACKNOWLEDGE: s.PAUSED,
            m.CANCEL: s.PAUSED,
            m.RESUME: s.PAUSED,
            **cut_short,
        },
        s.COMPLETED: {stimulus: s.COMPLETED for stimulus in kept},
        s.FAILED: {stimulus: s.FAILED for stimulus in kept},
        s.INCOMPLETE: {stimulus: s.INCOMPLETE for stimulus in kept},
        s.CANCELLED: {stimulus: s.CANCELLED for stimulus in kept},
        s.REJECTED: {},
    }


TRANSITIONS: Mapping[State, Mapping[Stimulus, State]] = MappingProxyType(
    {state: MappingProxyType(dict(row)) for state, row in _table().items()}
)

PAUSED = frozenset({State.PAUSED})
SAMPLING = frozenset({State.IN_PROGRESS})
UNBORN = frozenset({State.NEW, State.REQUESTED})
ENDED = frozenset(state for state, row in TRANSITIONS.items() if set(row.values()) <= {state})
LIVE = frozenset(State) - ENDED

APPENDS = frozenset({Stimulus.APPEND_PART, Stimulus.APPEND_LAST, Stimulus.APPEND_AGAIN, Stimulus.MESSAGES})
REQUESTS = APPENDS | {Stimulus.CANCEL, Stimulus.RESUME}
"""What a client may ask of a Response that exists: each is carried out or refused with a named error."""


def refusal(state: State, stimulus: Stimulus) -> type[InvalidRequest] | type[ProtocolViolation]:
    """The error for a pair that the table has no entry for.

    A client's request gets the error that says what to do instead. Everything else is a violation: one side sent what
    it must not.
    """
    if stimulus not in REQUESTS:
        return ProtocolViolation
    if state in UNBORN or state is State.REJECTED:
        return ResponseNotFound
    if state in ENDED:
        return ResponseAlreadyEnded
    return ResponseNotPaused
