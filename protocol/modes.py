"""The ways to carry a rollout over a connection: one long-running Response, or a chain of short ones."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import ResponseAppend, ResponseCancel, ResponseCreate, ResponseResume


@dataclass(frozen=True, slots=True)
class Mode:
    """What differs.

    :ivar pauses: a call of a local tool pauses its Response. If not, it ends it, and the next create brings the output.
    :ivar outlives: a Response lives on when its connection is lost. If not, it ends with it.
    :ivar remembers: a create may go on from an ended Response of its connection, by ``previous_response_id``.
    :ivar messages: what a client may send.
    """

    name: str
    pauses: bool
    outlives: bool
    remembers: bool
    messages: frozenset[type]


APPEND = Mode(
    "append",
    pauses=True,
    outlives=True,
    remembers=False,
    messages=frozenset({ResponseCreate, ResponseAppend, ResponseCancel, ResponseResume}),
)
"""One Response a rollout: ``response.done``, ``response.append`` (spec/PROTOCOL.md)."""

WEBSOCKET = Mode("websocket", pauses=False, outlives=False, remembers=True, messages=frozenset({ResponseCreate}))
"""OpenAI's WebSocket mode: one Response a turn, and a memory of them as long as the connection lasts."""

HTTP = Mode(
    "http",
    pauses=False,
    outlives=False,
    remembers=False,
    messages=frozenset({ResponseCreate, ResponseResume}),
)
"""A request: a connection that carries one Response."""
