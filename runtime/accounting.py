"""What a rollout cost: counted and timed where it happens, never derived from what should have happened.

The stages are the three places of an agent loop's time (API service, model inference, client), plus postinference::

    wall = inference + hosted_tools + paused + post + api

``inference`` is what the engine reports for the sequence; ``paused`` runs from ``response.done`` on the wire to the
append that answers the last call; ``hosted_tools`` is time in which the rollout waited for hosted tools alone; ``api``
is the rest, measured as a difference since it is everything else that happened: validation, rendering, tokenising,
parsing, encoding, sending, waiting for the event loop or for a batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..sampler.engine import Ledger, SampledToken, TokenSequence
from .spans import TurnSpan

_NS_PER_MS = 1e6


PREINFERENCE = ("validate", "resolve", "guards", "render", "tokenise")
"""Its stages, in order. What each of them took is a part of ``api``."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a sequence had when a Response began: all zero, unless it goes on from another one's.

    :ivar tokens: that were there already.
    :ivar kept: how many of these were computed and in place.
    """

    tokens: int = 0
    kept: int = 0
    prefilled: int = 0
    appended: int = 0
    sampled: int = 0
    decoded: int = 0
    copied: int = 0
    recomputed: int = 0
    anticipated: int = 0
    rebuilds: int = 0
    inference_ns: int = 0

    @classmethod
    def of(cls, sequence: TokenSequence, *, kept: int) -> Before:
        ledger = sequence.ledger
        return cls(
            tokens=len(ledger),
            kept=kept,
            prefilled=ledger.prefilled,
            appended=ledger.appended,
            sampled=ledger.sampled,
            decoded=ledger.decoded,
            copied=ledger.copied,
            recomputed=ledger.recomputed,
            anticipated=ledger.anticipated,
            rebuilds=len(ledger.rebuilds),
            inference_ns=sequence.inference_ns,
        )

    def given(self, ledger: Ledger) -> int:
        """Input tokens of the Response: what was there, and what came from outside since."""
        return self.tokens + ledger.prefilled - self.prefilled + ledger.appended - self.appended

    def cached(self, ledger: Ledger) -> int:
        """How many of those were not computed for this Response: they were there, or copied. What was lost in a pause
        may be copied a second time."""
        return ledger.copied - self.copied + max(0, self.kept - (ledger.recomputed - self.recomputed))


@dataclass(slots=True)
class Accounting:
    """One rollout's counters and stopwatches. All times are nanoseconds of :func:`time.perf_counter_ns`.

    :ivar preinference_ns: by stage of :data:`PREINFERENCE`; ``prefill`` runs from the start of the first turn's
        sampling to its first token.
    :ivar turns: those that were sampled, the one that goes on included.
    """

    started_at: int = field(default_factory=time.perf_counter_ns)
    preinference_runs: int = 0
    postinference_runs: int = 0
    pauses: int = 0
    tool_calls: int = 0
    stages_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("hosted_tools", "paused", "post"), 0))
    preinference_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PREINFERENCE, 0))
    turns: list[TurnSpan] = field(default_factory=list)
    _appends_ns: int = 0
    _ledger_at: tuple[int, int, int] = (0, 0, 0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to that stage."""
        begin = time.perf_counter_ns()
        try:
            yield
        finally:
            self.stages_ns[name] += time.perf_counter_ns() - begin

    @contextmanager
    def preinference(self, name: str) -> Iterator[None]:
        """The same for a stage of preinference."""
        begin = time.perf_counter_ns()
        try:
            yield
        finally:
            self.preinference_ns[name] += time.perf_counter_ns() - begin

    @contextmanager
    def append(self) -> Iterator[None]:
        """The block renders and tokenises outputs for the next turn."""
        begin = time.perf_counter_ns()
        try:
            yield
        finally:
            self._appends_ns += time.perf_counter_ns() - begin

    def turn_begins(self, received: int, sequence: TokenSequence) -> None:
        """Its request, or the last answer to the turn before, came then; the engine is about to be asked."""
        ledger = sequence.ledger
        span = TurnSpan(received, time.perf_counter_ns(), len(ledger))
        span.stages_ns = {"render": self._appends_ns} if self.turns else dict(self.preinference_ns)
        self._appends_ns = 0
        self._ledger_at = (ledger.decoded, ledger.sampled, sequence.inference_ns)
        self.turns.append(span)

    def note_tokens(self, tokens: Sequence[SampledToken], sequence: TokenSequence) -> None:
        """Tokens of the turn have come."""
        span = self.turns[-1]
        if not span.first_token:
            span.prefill_ns = sequence.inference_ns - self._ledger_at[2]
            span.first_token = tokens[0].sampled_at
            self.preinference_ns.setdefault("prefill", time.perf_counter_ns() - span.sampling)
        span.last_token = tokens[-1].sampled_at

    def turn_ends(self, sequence: TokenSequence) -> None:
        """No more tokens of it will come."""
        span, ledger = self.turns[-1], sequence.ledger
        decoded, sampled, inference_ns = self._ledger_at
        span.decoded = ledger.decoded - decoded
        span.sampled = ledger.sampled - sampled
        span.inference_ns = sequence.inference_ns - inference_ns
        # Of what was computed, all but the sampled tokens that were fed back is of what was given.
        span.reused = max(0, span.given - (span.decoded - max(0, span.sampled - 1)))

    def turn_told(self) -> None:
        """What ends the turn has been handed to the transport."""
        if self.turns:
            self.turns[-1].told = time.perf_counter_ns()

    @property
    def preinference_ms(self) -> dict[str, float]:
        return _milliseconds(self.preinference_ns)

    def report(self, sequence: TokenSequence, before: Before) -> dict[str, Any]:
        """The ``caesura`` object of the final Response: times in milliseconds. ``tokens.carried`` were there when it
        began."""
        ledger = sequence.ledger
        wall = time.perf_counter_ns() - self.started_at
        stages = {"inference": sequence.inference_ns - before.inference_ns, **self.stages_ns}
        stages["api"] = wall - sum(stages.values())
        return {
            "preinference_runs": self.preinference_runs,
            "postinference_runs": self.postinference_runs,
            "pauses": self.pauses,
            "tool_calls": self.tool_calls,
            "tokens": {
                "carried": before.tokens,
                "prefilled": ledger.prefilled - before.prefilled,
                "sampled": ledger.sampled - before.sampled,
                "appended": ledger.appended - before.appended,
                "decoded": ledger.decoded - before.decoded,
                "copied": ledger.copied - before.copied,
                "recomputed": ledger.recomputed - before.recomputed,
                "anticipated": ledger.anticipated - before.anticipated,
                "rebuilds": len(ledger.rebuilds) - before.rebuilds,
            },
            "stages_ms": _milliseconds(stages),
            "preinference_ms": self.preinference_ms,
            "wall_ms": round(wall / _NS_PER_MS, 3),
        }


def _milliseconds(stages: Mapping[str, int]) -> dict[str, float]:
    return {name: round(value / _NS_PER_MS, 3) for name, value in stages.items()}
