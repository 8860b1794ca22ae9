"""What an agent does, as numbers: sessions of turns, before there is any text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call. ``seconds``: how long its tool takes. ``tokens``: length of its output."""

    seconds: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Turn:
    """``output_tokens`` are sampled, calls and all; then the tools run at once, beside each other. The last turn of a
    session has none."""

    output_tokens: int
    tools: tuple[ToolUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """One rollout: a prompt of so many tokens, then turn by turn."""

    prompt_tokens: int
    turns: tuple[Turn, ...]

    @property
    def num_calls(self) -> int:
        return sum(len(turn.tools) for turn in self.turns)

    @property
    def context_tokens(self) -> int:
        """Tokens at its end, without what a template adds."""
        return self.prompt_tokens + sum(
            turn.output_tokens + sum(tool.tokens for tool in turn.tools) for turn in self.turns
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """``description`` says where its numbers come from, in a line."""

    name: str
    description: str
    sessions: tuple[Session, ...]
