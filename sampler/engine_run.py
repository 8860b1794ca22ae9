"""One `sample` call on its way through the engine, and what the engine's thread reports about it."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .engine import FinishReason, SampledToken
from .errors import SamplerError
from .sampling_params import SamplingParams
from .token_choice import TokenChooser


@dataclass(slots=True)
class Progress:
    """What happened to one run since the last report.

    decoded, recomputed, copied, anticipated, wasted: as in the ledger. rebuilt_at: the position before which the state
    was lost and is computed again; None if nothing was lost.
    """

    tokens: list[SampledToken] = field(default_factory=list)
    decoded: int = 0
    recomputed: int = 0
    copied: int = 0
    anticipated: int = 0
    wasted: int = 0
    rebuilt_at: int | None = None
    inference_ns: int = 0
    ended: bool = False
    finish_reason: FinishReason | None = None
    error: SamplerError | None = None


@dataclass(eq=False, slots=True)
class Run:
    """One `sample` call, as the engine's thread sees it.

    key:     of the sequence.
    arrival: of the sequence, smaller for those that came earlier.
    row:     the ledger's own tokens, of which the first `length` are there before the run; read-only here.
    chooser: None takes the likeliest token.
    room:    tokens that the sequence can still take.
    sources: sequences that begin like this one, with how many tokens.
    asked_at: when it was made, in nanoseconds of `time.perf_counter_ns`.
    on_progress is called in the event loop.
    """

    key: int
    arrival: int
    row: array[int]
    length: int
    params: SamplingParams
    chooser: TokenChooser | None
    room: int
    forced: Sequence[int] | None
    on_progress: Callable[[Progress], None]
    resumed: bool = False
    sources: Sequence[tuple[int, int]] = ()
    asked_at: int = field(default_factory=time.perf_counter_ns)
    # The thread's own:
    slot: int = -1
    position: int = 0
    token: int = -1
    recompute_until: int = 0
    sampled: int = 0
    limit: int = 0
    limit_is_wanted: bool = False
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        wanted = min(self.params.max_tokens or math.inf, math.inf if self.forced is None else len(self.forced))
        self.limit_is_wanted = wanted <= self.room
        self.limit = int(min(wanted, self.room))

    @property
    def pending(self) -> int:
        """Tokens not fed yet."""
        return self.length + self.sampled - self.position

    def next_tokens(self, count: int) -> Sequence[int]:
        """The next pending ones."""
        return [self.token] if self.sampled else self.row[self.position : self.position + count]


@dataclass(frozen=True, slots=True)
class Start:
    run: Run


@dataclass(frozen=True, slots=True)
class Stop:
    run: Run


@dataclass(frozen=True, slots=True)
class Expect:
    """The sequence pauses for these tools."""

    key: int
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Anticipate:
    """The sequence pauses, and from position `begin` on it is likely to go on with these tokens."""

    key: int
    begin: int
    tokens: array[int]


@dataclass(frozen=True, slots=True)
class Close:
    """The sequence is done."""

    key: int


@dataclass(frozen=True, slots=True)
class Written:
    file: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """`state`: what the file held; None if it can't be used."""

    file: int
    state: object


@dataclass(frozen=True, slots=True)
class Shutdown:
    pass


Command = Start | Stop | Expect | Anticipate | Close | Written | Loaded | Shutdown
