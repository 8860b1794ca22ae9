"""A context that computes nothing and takes as long as a cost model says: `LlamaContext` for speeds that no CPU has.

Only the computing is simulated. Scheduler, residency, sampling and the engine's thread are the real ones, and work as
they do on llama.cpp: a step sleeps with the GIL released, and batches that llama.cpp would refuse are refused.

What it doesn't do: a state is its length alone, so that to save and to load one costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from .cost_model import CostModel
from .errors import DecodeFailed, EngineStartFailed
from .llama import MAX_SEQUENCES
from .llama_context import Logits, Row, State
from .precise_sleep import PreciseSleep

STATE_BYTES = 8

UNLIKELY, LESS_LIKELY = -50.0, -100.0
"""Logits of stop tokens and of the others, where the one that is sampled has 0. They are drawn never, but a grammar can
still choose among them, and is ended as soon as it may be."""


class SimulatedContext:
    """See `LlamaContext`.

    vocab_size:  of the model whose place it takes; so many logits there are.
    token:       what is sampled, always, if nothing forces another: sampling ends by `max_tokens`, or where the context
                 is full.
    stop_tokens: come next where a grammar doesn't allow `token`.
    can_trim:    whether sequences can be shortened, as the model's can be.

    To be made, and used, in one thread. Raises EngineStartFailed.
    """

    def __init__(
        self,
        cost_model: CostModel,
        *,
        vocab_size: int,
        token: int,
        stop_tokens: Collection[int],
        context_length: int,
        sequences: int,
        batch_size: int,
        can_trim: bool = True,
    ) -> None:
        if not 1 <= sequences <= MAX_SEQUENCES:
            raise EngineStartFailed(f"sequences must be between 1 and {MAX_SEQUENCES}, not {sequences}")
        if not 1 <= context_length < 2**31:
            raise EngineStartFailed(f"a context of {context_length} tokens is out of range")
        self.can_trim = can_trim
        self._cost_model = cost_model
        self._context_length = context_length
        self._batch_size = batch_size
        self._lengths = [0] * sequences
        self._slots: list[int] = []  # of the latest batch
        self._sleep = PreciseSleep()
        self._logits = np.full((sequences, vocab_size), LESS_LIKELY, np.float32)
        self._logits[:, list(stop_tokens)] = UNLIKELY
        self._logits[:, token] = 0
        self._logits.flags.writeable = False

    def decode(self, rows: Sequence[Row]) -> None:
        began = self._sleep.now()
        size = context = 0
        for slot, position, row, _ in rows:
            count = len(row)
            size += count
            if not count or size > self._batch_size:
                raise DecodeFailed(f"a batch of {size} tokens where {self._batch_size} fit")
            if position != self._lengths[slot] or position + count > self._context_length:
                raise DecodeFailed(
                    f"{count} tokens at {position} of a sequence of {self._lengths[slot]} with room for "
                    f"{self._context_length}"
                )
            self._lengths[slot] = position + count
            context += count * position + count * (count - 1) // 2
        self._slots = [row[0] for row in rows]
        self._sleep.wait(began, self._cost_model.step_ns(len(rows), size, context))

    def decode_next(self, tokens: Sequence[int]) -> None:
        began = self._sleep.now()
        lengths, slots = self._lengths, self._slots
        context = 0
        for slot in slots:
            length = lengths[slot]
            if length >= self._context_length:
                raise DecodeFailed(f"a sequence is full with {length} tokens")
            context += length
            lengths[slot] = length + 1
        self._sleep.wait(began, self._cost_model.step_ns(len(slots), len(slots), context))

    def logits(self, outputs: int) -> Logits:
        return self._logits[:outputs]

    def batch_invariant(self) -> bool:
        """Always: its logits hang on nothing."""
        return True

    def clear(self, slot: int) -> None:
        self._lengths[slot] = 0

    def trim(self, slot: int, tokens: int) -> None:
        if not self.can_trim:
            raise DecodeFailed("a sequence of this model can't be shortened")
        self._lengths[slot] = min(self._lengths[slot], tokens)

    def state_size(self, slot: int, tokens: int) -> int:
        return STATE_BYTES

    def saved_size(self, slot: int) -> int:
        return STATE_BYTES

    def save(self, slot: int, buffer: State) -> int:
        buffer[:STATE_BYTES] = np.frombuffer(self._lengths[slot].to_bytes(STATE_BYTES, "little"), np.uint8)
        return STATE_BYTES

    def load(self, slot: int, state: State) -> bool:
        if len(state) != STATE_BYTES:
            self.clear(slot)
            return False
        self._lengths[slot] = int.from_bytes(state.tobytes(), "little")
        return True

    def close(self) -> None:
        """Nothing to free."""
