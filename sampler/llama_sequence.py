"""One sequence of the local engine: the event loop's side."""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .engine import FinishReason
from .engine_run import Anticipate, Expect, Progress, Run, Start, Stop
from .engine_thread import EngineThread
from .errors import ContextLengthExceeded, SequenceBusy, SequenceClosed
from .ledger import Ledger
from .sample_stream import InboxStream, TokenInbox
from .sampling_params import SamplingParams
from .token_choice import TokenChooser, make_chooser

if TYPE_CHECKING:
    from .llama_engine import LlamaEngine


class LlamaSequence:
    """See `engine.TokenSequence`. `key` names it inside of its engine."""

    __slots__ = (
        "__weakref__",
        "_arrival",
        "_closed",
        "_engine",
        "_origin",
        "_run",
        "_seed",
        "_shares",
        "finish_reason",
        "inference_ns",
        "key",
        "ledger",
    )

    def __init__(
        self, engine: LlamaEngine, key: int, ledger: Ledger, origin: tuple[int, int] | None, shares: bool
    ) -> None:
        self.key = key
        self.ledger = ledger
        self.inference_ns = 0
        self.finish_reason: FinishReason | None = None
        self._engine = engine
        self._arrival = key  # keys are given in order
        self._origin = origin  # the sequence that this is a fork of, and its length then
        self._shares = shares  # it may begin with a copy of any sequence that begins alike
        self._seed = secrets.randbits(63)
        self._run: _LoopRun | None = None
        self._closed = False

    def room(self) -> int:
        return self._engine.context_length - len(self.ledger)

    def extend(self, tokens: Sequence[int]) -> None:
        self._check_idle()
        tokens = list(tokens)
        self._engine._vocab.check(tokens)
        if len(tokens) > self.room():
            raise ContextLengthExceeded(len(tokens), self.room(), self._engine.context_length)
        self.ledger.append(tokens)

    def sample(self, params: SamplingParams, *, forced: Sequence[int] | None = None, continued: int = 0) -> InboxStream:
        self._check_idle()
        self._engine._check_alive()
        vocab = self._engine._vocab
        vocab.check(params.stop_tokens)
        vocab.check(params.banned)
        if forced is not None:
            forced = list(forced)
            vocab.check(forced)
        if type(continued) is not int or not 0 <= continued <= len(self.ledger):
            raise ValueError(f"continued must be between 0 and {len(self.ledger)}, not {continued!r}")
        self.finish_reason = None
        run = _LoopRun(self._on_progress)
        if self.room() == 0 or forced == []:
            # Nothing to compute: there is no place for a token, or no token to take.
            run.on_progress(
                Progress(ended=True, finish_reason=FinishReason.LENGTH if self.room() else FinishReason.CONTEXT)
            )
            return InboxStream(run)
        resumed = self.ledger.decoded > 0
        run.start(
            self._engine._thread,
            Run(
                key=self.key,
                arrival=self._arrival,
                row=self.ledger.row,
                length=len(self.ledger),
                params=params,
                chooser=self._chooser(params, continued),
                room=self.room(),
                forced=forced,
                on_progress=run.on_progress,
                resumed=resumed,
                sources=() if resumed else self._sources(),
            ),
        )
        self._engine._note_prefix(self)
        self._run = run
        return InboxStream(run)

    def expect(self, tools: Sequence[str]) -> None:
        if not self._closed:
            self._engine._thread.send(Expect(self.key, tuple(tools)))

    def anticipate(self, tokens: Sequence[int]) -> None:
        tokens = list(tokens)
        self._engine._vocab.check(tokens)
        room = self.room()
        if not self._closed and self._run is None and room and self._engine._can_anticipate:
            begin = len(self.ledger) - 1
            self._engine._thread.send(Anticipate(self.key, begin, array("i", [self.ledger.row[-1], *tokens[:room]])))

    def fork(self, length: int | None = None) -> LlamaSequence:
        self._check_idle()
        if length is None:
            length = len(self.ledger)
        if type(length) is not int or not 1 <= length <= len(self.ledger):
            raise ValueError(f"a fork has between 1 and {len(self.ledger)} tokens, not {length!r}")
        return self._engine._sequence(self.ledger.fork(length), (self.key, length))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._run is not None:
                self._run.stop()
            self._engine._note_prefix(self)
            self._engine._release(self.key)
        if self._run is not None:
            await self._run.ended()

    def _check_idle(self) -> None:
        if self._closed:
            raise SequenceClosed("the sequence can't be used: it was closed")
        if self._run is not None:
            raise SequenceBusy("the sequence is being sampled: wait for the stream's end, or `aclose` it")

    def _chooser(self, params: SamplingParams, continued: int) -> TokenChooser | None:
        if params.is_argmax:
            return None
        ledger = self.ledger
        return make_chooser(
            params,
            seed=self._seed if params.seed is None else params.seed,
            vocab=self._engine._vocab,
            sampled=ledger.sampled_tokens() if params.penalised else (),
            text=ledger.row[len(ledger) - continued :].tolist(),
            matcher=None if params.grammar is None else self._engine._grammars.matcher(params.grammar),
        )

    def _sources(self) -> list[tuple[int, int]]:
        found = self._engine._sources(self) if self._shares else []
        if self._origin is not None:
            key, length = self._origin
            found.insert(0, (key, min(length, len(self.ledger) - 1)))
        return [(key, common) for key, common in found if key != self.key and common > 0]

    def _on_progress(self, progress: Progress) -> None:
        ledger = self.ledger
        tokens = progress.tokens
        if tokens and tokens[0].logprob is None:  # all of a run have one, or none has
            ledger.sample_all([sampled.token for sampled in tokens])
        else:
            for sampled in tokens:
                ledger.sample(sampled.token, sampled.logprob, sampled.top_logprobs)
        ledger.decoded += progress.decoded
        ledger.recomputed += progress.recomputed
        ledger.copied += progress.copied
        ledger.anticipated += progress.anticipated
        ledger.wasted += progress.wasted
        if progress.rebuilt_at is not None:
            ledger.note_rebuild(progress.rebuilt_at)
        self.inference_ns += progress.inference_ns
        if progress.ended:
            self._run = None
            self.finish_reason = progress.finish_reason


class _LoopRun(TokenInbox):
    """What came of a run in the engine's thread."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        super().__init__()
        self._account = on_progress
        self._thread: EngineThread | None = None
        self._run: Run | None = None

    def start(self, thread: EngineThread, run: Run) -> None:
        self._thread, self._run = thread, run
        thread.send(Start(run))

    def stop(self) -> None:
        if not self._ended and self._thread is not None and self._run is not None:
            self._thread.send(Stop(self._run))

    def abandon(self) -> None:
        self.stop()  # the queue takes commands from any thread

    def on_progress(self, progress: Progress) -> None:
        self._account(progress)
        self.deliver(progress.tokens)
        if progress.ended:
            self.end(progress.error)
