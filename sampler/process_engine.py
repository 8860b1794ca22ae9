"""The local engine in a process of its own: `engine.Engine`, with llama.cpp where its crash costs little.

When the child ends, for whatever reason, another is started. A paused sequence is rebuilt from its ledger at its next
`sample`; one that was being sampled goes on where it was, and its stream just pauses.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
from collections.abc import Sequence
from typing import Any

from .engine import Ledger
from .engine_child import EngineChild
from .engine_messages import Command, Step, Stop
from .engine_pipe import Pipe
from .errors import (
    ContextLengthExceeded,
    DecodeFailed,
    EngineStopped,
    InvalidToken,
    NoFreeSequence,
    SamplerError,
)
from .grammar import GrammarCompiler
from .model import Model
from .process_sequence import ProcessSequence

MAX_CRASHES = 3
"""A sequence that got no token between so many crashes is given up: it may be what causes them."""

MAX_DELAY = 5.0

log = logging.getLogger("caesura")


class ProcessEngine:
    """A `LlamaEngine` in a child process.

    model:          may be loaded `vocab_only`; the child loads its own from the same path.
    settings:       of `LlamaEngine`.
    restart_delay:  seconds before a second start without a token in between; doubles each time, up to 5.
    end_timeout:    seconds after which `close` kills a child that doesn't end by itself.

    batch_invariant: see `LlamaEngine`.

    The constructor blocks until the child's engine is there. Raises what `LlamaEngine` and `load_model` raise.
    """

    def __init__(self, model: Model, *, restart_delay: float = 0.1, end_timeout: float = 10, **settings: Any) -> None:
        self.vocab = model.vocab
        self.child_number = 1
        self._grammars = GrammarCompiler(model.vocab)  # the child compiles its own
        self._model = model
        self._settings = settings
        self._restart_delay = restart_delay
        self._end_timeout = end_timeout
        self._child = EngineChild(model, settings)
        ready = self._child.wait_ready()
        self.context_length = ready.context_length
        self.max_sequences = ready.max_sequences
        self.batch_invariant = ready.batch_invariant
        self._pipe: Pipe[Step] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._crashes = 0  # in a row, without a token for anyone in between
        self._numbers = itertools.count(1)
        self._open = 0
        self._active: dict[int, ProcessSequence] = {}
        # Sequences that were there at every one of the latest crashes. They are taken up one by one, the next when the
        # one before has got a token: without that, one that ends the process would take its neighbours with it.
        self._suspects: collections.deque[ProcessSequence] = collections.deque()
        self._suspect: ProcessSequence | None = None
        self._closed = False

    @property
    def pid(self) -> int:
        """Of the child, which changes when it is started again."""
        return self._child.pid

    async def open(self, tokens: Sequence[int], *, share_prefix: bool = True) -> ProcessSequence:
        self.check_alive()
        tokens = list(tokens)
        self.vocab.check(tokens)
        if not tokens:
            raise InvalidToken("a sequence must be opened with at least one token")
        if len(tokens) > self.context_length:
            raise ContextLengthExceeded(len(tokens), self.context_length, self.context_length)
        self._bind(asyncio.get_running_loop())
        return self.add(Ledger(tokens), shares_prefix=share_prefix)

    async def check_grammar(self, grammar: str) -> None:
        await asyncio.to_thread(self._grammars.compile, grammar)

    async def close(self) -> None:
        """Bounded: a child that doesn't end by itself is killed."""
        if not self._closed:
            self._closed = True
            if self._restarting is not None:
                self._restarting.cancel()
            if self._pipe is not None:
                self._pipe.close()
                self._pipe = None
            for sequence in list(self._active.values()):
                self._end(sequence, EngineStopped("the engine was closed"))
        await asyncio.to_thread(self._child.end, self._end_timeout)

    def check_alive(self) -> None:
        if self._closed:
            raise EngineStopped("the engine was closed")

    # What sequences need of it.

    def add(self, ledger: Ledger, *, shares_prefix: bool = True) -> ProcessSequence:
        if self._open >= self.max_sequences:
            raise NoFreeSequence(f"{self._open} sequences are open, the most there can be: wait until one is closed")
        self._open += 1
        return ProcessSequence(self, next(self._numbers), ledger, shares_prefix)

    def remove(self) -> None:
        self._open -= 1

    def send(self, command: Command) -> None:
        """A command for the child. Lost if it has just gone: then its sequences are too."""
        if self._pipe is not None:
            self._pipe.send(command)

    def start(self, sequence: ProcessSequence) -> None:
        """Sample it now, or as soon as a child is there."""
        self._active[sequence.number] = sequence
        if self._pipe is not None:
            sequence.submit()
        elif self._restarting is None or self._restarting.done():
            self._crashes = 0
            self._restart()

    def stop(self, sequence: ProcessSequence) -> None:
        if self._pipe is not None and sequence not in self._suspects:
            self._pipe.send(Stop(sequence.number))
        else:
            if sequence in self._suspects:
                self._suspects.remove(sequence)
            self._end(sequence)

    # The child.

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:
            return
        if self._open:
            raise RuntimeError("an engine with open sequences belongs to one event loop")
        self._loop = loop
        if self._pipe is not None:
            self._pipe.move_to(loop)
        elif self._restarting is None:
            self._attach()

    def _attach(self) -> None:
        self._pipe = Pipe(self._child.socket, Step, self._on_step, self._on_crash)

    def _on_step(self, step: Step) -> None:
        for progress in step.progress:
            sequence = self._active.get(progress.sequence)
            if sequence is None:
                continue
            if progress.tokens:
                self._crashes = 0
            if progress.ended:
                del self._active[progress.sequence]
            sequence.on_progress(progress)
            if sequence is self._suspect:
                self._submit_suspect()

    def _on_crash(self) -> None:
        self._pipe = None
        self.child_number += 1
        spared, self._suspects, self._suspect = set(self._suspects), collections.deque(), None
        for sequence in list(self._active.values()):
            if sequence.call is not None and sequence.call.stopping:
                self._end(sequence)
            elif sequence not in spared:
                sequence.crashes += 1
        self._restart(crashed=True)

    def _restart(self, crashed: bool = False) -> None:
        self._restarting = asyncio.get_running_loop().create_task(self._recover(crashed))

    async def _recover(self, crashed: bool) -> None:
        """Start children until one is there, or until nobody is left who needs it. This blocks for no longer than the
        system takes to create a process."""
        reason = await asyncio.to_thread(self._child.end, 0)
        while True:
            if crashed:
                self._on_ended(reason)
                if self._crashes >= MAX_CRASHES and not self._active:
                    return  # the next `sample` tries again
                if self._crashes > 1:
                    await asyncio.sleep(min(self._restart_delay * 2 ** (self._crashes - 2), MAX_DELAY))
            try:
                self._child = EngineChild(self._model, self._settings)
                await asyncio.to_thread(self._child.wait_ready)
            except SamplerError as error:
                crashed, reason = True, str(error)
                for sequence in self._active.values():
                    sequence.crashes += 1
            else:
                break
        self._attach()
        for sequence in list(self._active.values()):
            if sequence.crashes < MAX_CRASHES - 1:
                self._submit(sequence)
            else:
                self._suspects.append(sequence)
        self._submit_suspect()

    def _on_ended(self, reason: str) -> None:
        self._crashes += 1
        for sequence in list(self._active.values()):
            if sequence.crashes >= MAX_CRASHES:
                message = f"the engine's process ended {MAX_CRASHES} times before this sequence got a token: {reason}"
                self._end(sequence, DecodeFailed(message))
        log.warning(
            "the engine's process ended (%s) and is started again; sequences that go on where they were: %d, "
            "that are computed again when they are resumed: %d",
            reason,
            len(self._active),
            self._open - len(self._active),
        )

    def _submit(self, sequence: ProcessSequence) -> None:
        try:
            sequence.submit()
        except SamplerError as error:
            self._end(sequence, error)

    def _submit_suspect(self) -> None:
        """The next of the sequences that may be what ends the process, so that it isn't held against the others."""
        self._suspect = self._suspects.popleft() if self._suspects else None
        if self._suspect is not None:
            self._submit(self._suspect)

    def _end(self, sequence: ProcessSequence, error: SamplerError | None = None) -> None:
        del self._active[sequence.number]
        sequence.finish(error=error)
