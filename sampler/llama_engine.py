"""The local engine: `engine.Engine` on llama.cpp. This is the event loop's side; `engine_thread` has the other.

Nothing is computed when a sequence is opened or extended, only when it is sampled: then everything pending goes
into one prefill, and the batches of a rollout don't depend on how fast its client was.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from .cost_model import CostModel
from .engine_context import IDLE_PREFILL_CHUNK, PREFILL_CHUNK, EngineContext, batch_size, make_context
from .engine_run import Close, Command, Loaded, Shutdown, Written
from .engine_storage import EngineStorage
from .engine_thread import EngineThread
from .errors import ContextLengthExceeded, EngineStopped, InvalidToken, NoFreeSequence
from .eviction import DEFAULT_POLICY, POLICIES
from .grammar import GrammarCompiler
from .ledger import Ledger
from .llama_sequence import LlamaSequence
from .memory_plan import MemoryPlan
from .model import Model
from .prefix_index import PrefixIndex
from .residency import Residency
from .scheduler import Scheduler
from .state_memory import StateMemory
from .swap_files import SwapFiles

__all__ = ["LlamaEngine", "LlamaSequence"]


class LlamaEngine:
    """Many sequences on one llama.cpp context, most of them paused.

    context_length:  tokens per sequence.
    sequences:       sequences that can be sampled at once, at most 256: slots of the KV cache, which is allocated, and
                     touched, at once.
    max_sequences:   sequences that can be open at once. The others' state is swapped out, see `residency`.
    plan:            bytes for what is swapped out; by default a quarter of the free memory, and no disk.
    threads:         of llama.cpp. One is the fastest for small models, and leaves a core to the event loop.
    prefill_chunk, idle_prefill_chunk: see `Scheduler`.
    flash_attention: faster where many sequences decode together, slower for short appends, and not batch-invariant.
    eviction:        name of the policy, see `eviction.POLICIES`.
    share_prefixes:  let a new sequence begin with a copy of another one's state where they begin alike.
    cost_model:      compute nothing, and take as long as it says, see `SimulatedContext`; the model may then be
                     without its weights.

    batch_invariant: whether a sequence's logits are the same bits whatever else is in its batches; measured at start.

    The constructor blocks until the context is there. Raises EngineStartFailed.
    """

    def __init__(
        self,
        model: Model,
        *,
        context_length: int | None = None,
        sequences: int = 8,
        max_sequences: int = 100_000,
        plan: MemoryPlan | None = None,
        threads: int = 1,
        prefill_chunk: int = PREFILL_CHUNK,
        idle_prefill_chunk: int = IDLE_PREFILL_CHUNK,
        flash_attention: bool = False,
        eviction: str = DEFAULT_POLICY,
        share_prefixes: bool = True,
        cost_model: CostModel | None = None,
    ) -> None:
        self.context_length = context_length or model.context_length
        self.max_sequences = max_sequences
        self.batch_invariant = False
        self._can_anticipate = False
        self._vocab = model.vocab
        self._share_prefixes = share_prefixes
        self._prefixes = PrefixIndex()
        self._grammars = GrammarCompiler(model.vocab)
        plan = plan or MemoryPlan.default()
        size = batch_size(sequences, prefill_chunk, idle_prefill_chunk)
        scheduler = Scheduler(batch_size=size, prefill_chunk=prefill_chunk, idle_prefill_chunk=idle_prefill_chunk)
        files: list[SwapFiles] = []

        def set_up(send: Callable[[Command], None]) -> tuple[EngineContext, Residency]:
            if plan.swap_dir is not None:
                files.append(
                    SwapFiles(
                        plan.swap_dir,
                        on_written=lambda file, ok: send(Written(file, ok)),
                        on_read=lambda file, state: send(Loaded(file, state)),
                    )
                )
            context = make_context(
                model,
                context_length=self.context_length,
                sequences=sequences,
                batch_size=size,
                threads=threads,
                flash_attention=flash_attention,
                cost_model=cost_model,
            )
            self.batch_invariant = context.batch_invariant()
            # Else bits would depend on how much was computed ahead, or a wrong guess could not be taken back.
            self._can_anticipate = self.batch_invariant and context.can_trim
            residency = Residency(
                slots=sequences,
                memory=plan.swap_memory,
                disk=plan.swap_disk if files else 0,
                policy=POLICIES[eviction](),
                storage=EngineStorage(context, StateMemory(plan.swap_memory), files[0] if files else None),
                keep_closed=share_prefixes,
            )
            self._residency = residency
            return context, residency

        self._files = files
        try:
            self._thread = EngineThread(set_up, scheduler, self._prefixes.discard)
        except BaseException:
            self._close_files()
            raise
        self._keys = itertools.count()
        self._num_open = 0
        self._closed = False

    async def open(self, tokens: Sequence[int], *, share_prefix: bool = True) -> LlamaSequence:
        self._check_alive()
        tokens = list(tokens)
        self._vocab.check(tokens)
        if not tokens:
            raise InvalidToken("a sequence must be opened with at least one token")
        if len(tokens) > self.context_length:
            raise ContextLengthExceeded(len(tokens), self.context_length, self.context_length)
        self._bind(asyncio.get_running_loop())
        return self._sequence(Ledger(tokens), shares=share_prefix)

    async def check_grammar(self, grammar: str) -> None:
        await asyncio.to_thread(self._grammars.compile, grammar)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._thread.send(Shutdown())
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._close_files)

    def _close_files(self) -> None:
        while self._files:
            self._files.pop().close()

    def _sequence(self, ledger: Ledger, origin: tuple[int, int] | None = None, *, shares: bool = True) -> LlamaSequence:
        if self._num_open >= self.max_sequences:
            raise NoFreeSequence(
                f"{self._num_open} sequences are open, the most there can be: wait until one is closed"
            )
        self._num_open += 1
        return LlamaSequence(self, next(self._keys), ledger, origin, shares)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread.loop is not loop:
            if self._num_open and self._thread.loop is not None:
                raise RuntimeError("an engine with open sequences belongs to one event loop")
            self._thread.bind(loop)

    def _check_alive(self) -> None:
        if self._thread.failure is not None:
            raise EngineStopped(str(self._thread.failure)) from self._thread.failure
        if self._closed:
            raise EngineStopped("the engine was closed")

    def _sources(self, sequence: LlamaSequence) -> list[tuple[int, int]]:
        """Other sequences to copy a beginning from. The last token is always computed, for its logits."""
        if not self._share_prefixes:
            return []
        row = sequence.ledger.row
        return [(key, min(common, len(row) - 1)) for key, common in self._prefixes.longest(row)]

    def _note_prefix(self, sequence: LlamaSequence) -> None:
        if self._share_prefixes:
            self._prefixes.add(sequence.key, sequence.ledger.row)

    def _release(self, key: int) -> None:
        self._num_open -= 1
        self._thread.send(Close(key))
