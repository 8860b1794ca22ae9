"""What an experiment is to do: everything that its command line says, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .driver import BenchError
from .drivers import DESIGNS
from .load import Objective
from .trace_file import Recorded, Trace
from .workload import Session, Workload

LIMIT = "limit"
"""What the engine alone is called among the runs."""

_CONTEXT_STEP = 256
_PROMPT_SURPLUS = 512
_TURN_SURPLUS = 48
_TOKENS_PER_CHARACTER = 0.6
"""What a template and a tool's definition add to a prompt and to a turn, and how many tokens a text may have that
nobody has counted yet: generous guesses, to have room. A session that doesn't fit all the same ends with an error that
names ``--ctx``."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """The parameters of a simulated engine: see ``caesura serve --simulate``."""

    decode: float
    prefill: float
    attention: float = 0.0
    batch: float = 0.0

    @property
    def spec(self) -> str:
        return f"decode={self.decode:g},prefill={self.prefill:g},attention={self.attention:g},batch={self.batch:g}"

    @classmethod
    def of(cls, tokens_per_second: float, given: str = "") -> CostModel:
        """``given``: ``NAME=VALUE,...`` for what is not to be the default.

        :raises BenchError: it is nothing of that form.
        """
        values = {"prefill": max(10_000.0, 10 * tokens_per_second), "attention": 0.0, "batch": 0.0}
        for part in filter(None, given.split(",")):
            name, _, value = part.partition("=")
            try:
                if name not in values:
                    raise ValueError
                values[name] = float(value)
            except ValueError:
                raise BenchError(
                    f"--cost-model: {part!r} is no NAME=NUMBER with a name of {', '.join(values)}"
                ) from None
        return cls(tokens_per_second, **values)


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes. ``model`` as ``caesura serve`` takes it."""

    model: str = "demo"
    cost_model: CostModel | None = None

    @property
    def arm(self) -> str:
        """In words. A model's path is not for the report, its file's name is."""
        if self.cost_model is not None:
            return f"simulated engine, {self.cost_model.decode:g} tokens/s"
        if self.model == "demo":
            return "demo model"
        if self.model.startswith("random:"):
            return f"random weights of shape {self.model.removeprefix('random:')}"
        return self.model if self.model.startswith("hf:") else Path(self.model).name


@dataclass(frozen=True, slots=True)
class Plan:
    """One experiment.

    designs:     keys of ``DESIGNS``. peers: names and URLs.
    workload:    numbers, or a trace that has text.
    threads:     that llama.cpp computes with, in the server and alone.
    context:     tokens a sequence; None for as many as the longest session takes.
    sequences:   that the server samples at once; None for as many as there are agents and one more.
    agents:      in a closed loop; 1 plays sessions one after the other.
    objective:   with it the largest number of agents, up to ``agents``, that meets it is looked for.
    load_seconds: how long a closed loop begins new sessions.
    warm_up:     whether every design plays a short session first, that is not recorded.
    """

    engine: Engine
    workload: Workload | Trace
    designs: tuple[str, ...]
    peers: tuple[tuple[str, str], ...] = ()
    repeats: int = 5
    seed: int = 0
    rtt_ms: float = 0.0
    threads: int = 1
    context: int | None = None
    sequences: int | None = None
    agents: int = 1
    objective: Objective | None = None
    load_seconds: float = 10.0
    server_options: tuple[str, ...] = ()
    timeout: float = 600.0
    warm_up: bool = True

    def __post_init__(self) -> None:
        """:raises BenchError: something in it can't be."""
        known = [design.key for design in DESIGNS]
        for key in self.designs:
            if key not in known:
                raise BenchError(f"there is no design {key!r}; designs are {', '.join(known)}")
        names = [name for name, _ in self.peers]
        if taken := {*known, LIMIT} & set(names):
            raise BenchError(f"a peer can't be called {min(taken)!r}: a design is")
        if len({*names}) < len(names) or len({*self.designs}) < len(self.designs):
            raise BenchError("a design or a peer is named twice")
        if not self.designs and not self.peers:
            raise BenchError("nothing to measure: name a design or a peer")

    @property
    def context_length(self) -> int:
        """Tokens a sequence, for the server and for the engine alone."""
        if self.context is not None:
            return self.context
        wanted = max(map(_tokens_of, self.workload.sessions))
        return -(-wanted // _CONTEXT_STEP) * _CONTEXT_STEP

    @property
    def num_sequences(self) -> int:
        return self.sequences or self.agents + 1

    def settings(self) -> dict[str, Any]:
        """For the report."""
        return {
            "repeats": self.repeats,
            "seed": self.seed,
            "rtt_ms": self.rtt_ms,
            "threads": self.threads,
            "context": self.context_length,
            "sequences": self.num_sequences,
            "agents": self.agents,
            "objective": None if self.objective is None else str(self.objective),
            "load_seconds": self.load_seconds if self.agents > 1 else None,
            "server_options": " ".join(self.server_options),
        }


def _tokens_of(session: Recorded) -> int:
    surplus = _PROMPT_SURPLUS + _TURN_SURPLUS * len(session.turns)
    if isinstance(session, Session):
        return int(session.context_tokens * 1.02) + surplus
    text = len(session.instructions) + len(session.task)
    text += sum(
        len(turn.text) + sum(len(call.arguments) + len(call.output) for call in turn.calls) for turn in session.turns
    )
    return int(text * _TOKENS_PER_CHARACTER) + surplus
