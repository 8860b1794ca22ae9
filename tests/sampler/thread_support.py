"""The engine's thread on a context made of plain lists, and who listens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from caesura.sampler.engine import SamplingParams
from caesura.sampler.engine_run import Command, Progress, Run
from caesura.sampler.engine_thread import EngineThread
from caesura.sampler.eviction import LeastRecentlyUsed
from caesura.sampler.ledger import Ledger
from caesura.sampler.llama_context import Logits, Row
from caesura.sampler.residency import Residency
from caesura.sampler.scheduler import Scheduler
from plain_storage import PlainState, PlainStorage

SECONDS = 20
GREEDY = SamplingParams(temperature=0, max_tokens=3)


class ListContext(PlainStorage):
    """Greedy sampling counts up: the next token is one more than the last."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, int, list[int], bool]] = []
        self.closed = False
        self._last: list[Row] = []

    def decode(self, rows: Sequence[Row]) -> None:
        self.rows += [(slot, position, list(tokens), wanted) for slot, position, tokens, wanted in rows]
        for slot, position, tokens, _ in rows:
            known = self.slots.get(slot, PlainState(slot, 0))
            assert known.tokens == position, "a gap or an overlap in what was computed"
            self.slots[slot] = PlainState(known.owner, position + len(tokens))
        self._last = list(rows)

    def decode_next(self, tokens: Sequence[int]) -> None:
        assert all(wanted and len(row) == 1 for _, _, row, wanted in self._last)
        pairs = zip(self._last, tokens, strict=True)
        self.decode([(slot, position + 1, [token], True) for (slot, position, _, _), token in pairs])

    def logits(self, outputs: int) -> Logits:
        wanted = [tokens[-1] for _, _, tokens, wanted in self._last if wanted]
        assert len(wanted) == outputs
        logits = np.zeros((outputs, 100), np.float32)
        logits[np.arange(outputs), [(token + 1) % 100 for token in wanted]] = 9.0
        return logits

    def close(self) -> None:
        self.closed = True


class Listener:
    """Adds up a run's progress."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.decoded = self.recomputed = self.anticipated = self.wasted = self.inference_ns = 0
        self.rebuilt_at: int | None = None
        self.last: Progress | None = None
        self.ended = asyncio.Event()

    def __call__(self, progress: Progress) -> None:
        assert not self.ended.is_set(), "progress after the end"
        self.tokens += [sampled.token for sampled in progress.tokens]
        self.decoded += progress.decoded
        self.recomputed += progress.recomputed
        self.anticipated += progress.anticipated
        self.wasted += progress.wasted
        self.inference_ns += progress.inference_ns
        self.rebuilt_at = self.rebuilt_at or progress.rebuilt_at
        self.last = progress
        if progress.ended:
            self.ended.set()


def make_thread(context: ListContext, *, slots: int = 4, memory: int = 10**6) -> EngineThread:
    def make(send: Callable[[Command], None]) -> tuple[ListContext, Residency]:
        return context, Residency(slots, memory, 0, LeastRecentlyUsed(), context)

    return EngineThread(make, Scheduler(batch_size=16, prefill_chunk=4, idle_prefill_chunk=8))


def make_run(
    listener: Listener, tokens: list[int], *, key: int = 0, room: int = 50, params: SamplingParams = GREEDY
) -> Run:
    """A run of a sequence that holds these tokens. What of them was computed before isn't fed again."""
    return Run(key, key, Ledger(tokens).row, len(tokens), params, None, room, None, listener)


def run(thread: EngineThread, test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        thread.bind(asyncio.get_running_loop())
        async with asyncio.timeout(SECONDS):
            await test()

    asyncio.run(bounded())
