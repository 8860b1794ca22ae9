"""What the engine computes in a pause, ahead of the `sample` that needs it.

While a sequence waits for a tool, some of its next tokens are certain, or nearly so: the last sampled one, which is fed
with what follows it, and what a chat template writes between it and the tool's output. They are computed only while
nobody is being sampled and no command waits for the engine's thread, a few at a time. So a Start waits for one small
piece at most, and where it is this sequence's own, the piece is what it would have begun with.

What is computed ahead stays apart from the row (`State.ahead`). Whoever else uses the state uses it up to the row's
computed tokens, as if there were nothing after them. Only the sequence's next run takes it over, as far as it goes on
that way; the rest is trimmed.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from typing import Protocol

from .engine_run import Anticipate, Run
from .errors import DecodeFailed
from .llama_context import Row
from .prefix_index import common_length
from .residency import Residency
from .state import Level, State

PIECE = 16
"""Tokens computed at a time. A Start can't interrupt them, so it is an eighth of what a newcomer may have to wait for
anyway, a chunk of prefill; most templates write fewer."""


_NOTHING = array("i")


class Context(Protocol):
    def decode(self, rows: Sequence[Row]) -> None: ...


class Anticipations:
    """Hints that are not carried out yet; true while there are any.

    batch_size: most tokens in one step.
    """

    def __init__(self, residency: Residency, batch_size: int) -> None:
        self._residency = residency
        self._piece = min(PIECE, batch_size)
        self._hints: dict[int, Anticipate] = {}
        self._latest = (-1, 0, 0)  # the key of the latest piece, when it began and when it ended

    def __len__(self) -> int:
        return len(self._hints)

    def add(self, hint: Anticipate) -> None:
        self._hints[hint.key] = hint

    def drop(self, key: int) -> None:
        """What is not computed yet, won't be."""
        self._hints.pop(key, None)

    def compute(self, context: Context) -> None:
        """One piece of the oldest hint; if there is nothing to do for it, or no more, it is dropped."""
        hint = next(iter(self._hints.values()))
        state = self._residency.states.get(hint.key)
        piece = self._next_piece(state, hint)
        if state is None or not piece:
            self.drop(hint.key)
            return
        began = time.perf_counter_ns()
        try:
            context.decode([(state.slot, state.length, piece, False)])
        except DecodeFailed:
            # As after any failed step: its state is unknown, and computed again when it is wanted.
            self._residency.spoil(hint.key)
            self.drop(hint.key)
        else:
            self._residency.advance_ahead(hint.key, piece)
        self._latest = (hint.key, began, time.perf_counter_ns())

    def _next_piece(self, state: State | None, hint: Anticipate) -> array[int]:
        if state is None or state.level is not Level.SLOT or state.running or state.closed:
            return _NOTHING
        # A row that was stopped in its prefill has more to compute than a hint should cause.
        if state.tokens != hint.begin or not hint.begin:
            return _NOTHING
        common = common_length(state.ahead, hint.tokens)
        if common < min(len(state.ahead), len(hint.tokens)):
            self._residency.cut_ahead(hint.key, common)
        return hint.tokens[len(state.ahead) :][: self._piece]

    def use(self, run: Run) -> None:
        """A run begins, in a slot: it takes over what was computed ahead of the tokens that it has. Its last one is
        computed in any case, for its logits."""
        state, progress = self._residency.states[run.key], run.progress
        used = common_length(state.ahead, run.row[state.tokens : run.length - 1])
        self._residency.cut_ahead(run.key, used)
        self._residency.advance(run.key, state.tokens + used)
        del state.ahead[:]
        progress.decoded += used
        progress.anticipated += used
        progress.wasted, state.wasted = state.wasted, 0
        key, began, ended = self._latest
        if key == run.key:
            progress.inference_ns += max(0, ended - max(began, run.asked_at))  # what the client waited for of it
