"""Workloads by name, after published figures; and workloads made of given numbers.

A session is a prompt, then turn by turn: so many sampled tokens with one call or more, their tools, so many appended
tokens. Its last turn has no call. Of several calls in a turn each brings its share of what the turn appends.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .distributions import NAMED, Constant, Discrete, Distribution, Empirical, Lognormal, Uniform
from .driver import BenchError
from .workload import Session, ToolUse, Turn, Workload


@dataclass(frozen=True, slots=True)
class Preset:
    """``published`` and ``assumed`` say where the numbers come from, for the report.

    tool_turns:    turns with calls in a session.
    calls:         calls in such a turn.
    append_tokens: what all outputs of a turn come to.
    output_tokens: sampled in a turn, the calls' syntax included.
    tool_time:     seconds of a call.
    """

    summary: str
    published: str
    assumed: str
    tool_turns: Distribution
    calls: Distribution
    prompt_tokens: Distribution
    append_tokens: Distribution
    output_tokens: Distribution
    tool_time: Distribution


PRESETS: dict[str, Preset] = {
    "uniform": Preset(
        summary="calls one a turn, all alike",
        published="",
        assumed="all numbers: round ones, to see the loop itself",
        tool_turns=Constant(20),
        calls=Constant(1),
        prompt_tokens=Constant(1000),
        append_tokens=Constant(250),
        output_tokens=Constant(60),
        tool_time=Constant(0),
    ),
    "coding-agent": Preset(
        summary="an agent that reads, edits and runs code in a long context",
        published="TraceLab (arXiv 2606.30560): turns with calls p25 4, p50 15, p90 135, p99 1,107; calls a turn "
        "p50 1, p90 2, p99 4, mean 1.2; tool time p50 0.3 s, p90 13.6 s, p99 216 s; prefix of a turn p50 119k tokens; "
        "sampled p50 214, mean 523; appended between 250 and 875 (medians)",
        assumed="a session is entered with the median prefix; lognormal between and beyond the quantiles, up to 8 "
        "hours and 10,000 turns; appended ones with the geometric mean of 250 and 875 as their median and a sigma of "
        "0.93; all independent of each other",
        tool_turns=NAMED["tracelab-tool-steps"],
        calls=Discrete(((1, 0.86), (2, 0.09), (3, 0.025), (4, 0.018), (5, 0.007))),
        prompt_tokens=Constant(119_000),
        append_tokens=Lognormal(467, 1540),
        output_tokens=Lognormal(214, 1187),  # sigma 1.34 gives the published mean
        tool_time=NAMED["tracelab-tool-time"],
    ),
    "function-calling": Preset(
        summary="a few quick functions with short results",
        published="BFCL: 6 turns of a session on average",
        assumed="all else: exactly 6, one call each; 2,000 tokens of function definitions and question, some 40 tokens "
        "a call, some 100 a result; functions on the agent's machine, 7 ms (p90 23 ms)",
        tool_turns=Constant(6),
        calls=Constant(1),
        prompt_tokens=Constant(2000),
        append_tokens=Lognormal(100, 300),
        output_tokens=Lognormal(40, 80),
        tool_time=Empirical(((50, 0.007), (90, 0.023)), 0.001, 1.0),
    ),
    "research-agent": Preset(
        summary="searches, and documents to read",
        published="InferCept (ICML 2024): 3 to 28 interceptions of a request, as means of six kinds of tools",
        assumed="all else: any number of turns from 3 to 28 is as likely; one to three calls at once; 2,000 tokens of "
        "documents a turn (p90 6,000), 200 sampled (p90 600), a prompt of 3,000; a call takes 1 s (p90 5 s)",
        tool_turns=Uniform(3, 28),
        calls=Discrete(((1, 0.7), (2, 0.2), (3, 0.1))),
        prompt_tokens=Constant(3000),
        append_tokens=Lognormal(2000, 6000),
        output_tokens=Lognormal(200, 600),
        tool_time=Lognormal(1, 5),
    ),
}

DEFAULT_PRESET = "uniform"

MAX_CALLS = 100_000
"""A hundred times the longest sessions that were published; text for many more would take minutes to make."""


def make_workload(
    preset: str = DEFAULT_PRESET,
    *,
    tool_calls: int | None = None,
    prompt_tokens: Distribution | None = None,
    append_tokens: Distribution | None = None,
    output_tokens: Distribution | None = None,
    tool_time: Distribution | None = None,
    seed: int = 0,
    sessions: int = 1,
    scale_tokens: float = 1.0,
    scale_tool_time: float = 1.0,
    max_tool_time: float | None = None,
    max_context: int | None = None,
) -> Workload:
    """Sessions of a preset, or of the numbers given in its place. The same arguments give the same workload, and
    session k is the same however many there are.

    :param tool_calls: calls of each session in all. The preset says how many of them share a turn.
    :param scale_tokens: factor of the preset's own token counts; numbers given in their place are taken as they are.
    :param scale_tool_time: factor of tool times; ``max_tool_time`` cuts what is longer then, in seconds.
    :param max_context: tokens that a session may come to, without what a template adds. A session that would be longer
        loses turns before its last one, unless ``tool_calls`` says how many it must have.
    :raises BenchError: there is no such preset, a number is out of range, or ``max_context`` has no room.
    """
    chosen = PRESETS.get(preset)
    if chosen is None:
        raise BenchError(f"there is no workload {preset!r}; there are {', '.join(PRESETS)}")
    if tool_calls is not None and tool_calls > MAX_CALLS:
        raise BenchError(f"{tool_calls} tool calls are too many for a session: {MAX_CALLS} at most")
    for value, name, low in (
        (tool_calls, "tool calls", 0),
        (sessions, "sessions", 1),
        (scale_tool_time, "the scale of tool times", 0),
        (max_tool_time, "the longest tool time", 0),
        (max_context, "the context", 1),
    ):
        if value is not None and not low <= value < float("inf"):
            raise BenchError(f"{name}: {value} is not a number from {low} up")
    if not 0 < scale_tokens < float("inf"):
        raise BenchError(f"the scale of tokens: {scale_tokens} is not above 0")
    maker = _Maker(
        chosen,
        tool_calls=tool_calls,
        prompt_tokens=_Length(prompt_tokens or chosen.prompt_tokens, 1.0 if prompt_tokens else scale_tokens),
        append_tokens=_Length(append_tokens or chosen.append_tokens, 1.0 if append_tokens else scale_tokens),
        output_tokens=_Length(output_tokens or chosen.output_tokens, 1.0 if output_tokens else scale_tokens),
        tool_time=tool_time or chosen.tool_time,
        scale_tool_time=scale_tool_time,
        max_tool_time=float("inf") if max_tool_time is None else max_tool_time,
        max_context=max_context,
    )
    seeds = random.Random(seed)
    made = [maker.session(random.Random(seeds.getrandbits(64))) for _ in range(sessions)]
    text = maker.description(seed)
    if cut := sum(was_cut for _, was_cut in made):
        text += f"; {cut} of {sessions} sessions cut to {max_context} tokens"
    return Workload(preset, text, tuple(session for session, _ in made))


@dataclass(frozen=True, slots=True)
class _Length:
    distribution: Distribution
    scale: float

    def draw(self, rng: random.Random) -> int:
        return self.distribution.sample_int(rng, 1, self.scale)

    def __str__(self) -> str:
        return f"{self.distribution}" if self.scale == 1 else f"{self.distribution} x {self.scale:g}"


@dataclass(frozen=True, slots=True)
class _Maker:
    preset: Preset
    tool_calls: int | None
    prompt_tokens: _Length
    append_tokens: _Length
    output_tokens: _Length
    tool_time: Distribution
    scale_tool_time: float
    max_tool_time: float
    max_context: int | None

    def session(self, rng: random.Random) -> tuple[Session, bool]:
        """One session, and whether it was cut."""
        prompt, last = self.prompt_tokens.draw(rng), Turn(self.output_tokens.draw(rng))
        context = prompt + last.output_tokens
        turns: list[Turn] = []
        for calls in self._turns(rng):
            turn = self._turn(rng, calls)
            context += turn.output_tokens + sum(tool.tokens for tool in turn.tools)
            if self.max_context is not None and context > self.max_context and self.tool_calls is None:
                break
            turns.append(turn)
        else:
            if self.max_context is not None and context > self.max_context:
                raise BenchError(self._too_long(context))
            return Session(prompt, (*turns, last)), False
        if not turns:
            raise BenchError(self._too_long(context))
        return Session(prompt, (*turns, last)), True

    def _too_long(self, context: int) -> str:
        return (
            f"a session of {context} tokens does not fit {self.max_context}: take a larger context, fewer tool calls, "
            "or scale the tokens down"
        )

    def _turns(self, rng: random.Random) -> list[int]:
        """How many calls each turn has."""
        if self.tool_calls is None:
            return [self.preset.calls.sample_int(rng, 1) for _ in range(self.preset.tool_turns.sample_int(rng, 1))]
        left, turns = self.tool_calls, []
        while left:
            turns.append(min(left, self.preset.calls.sample_int(rng, 1)))
            left -= turns[-1]
        return turns

    def _turn(self, rng: random.Random, calls: int) -> Turn:
        appended, output = self.append_tokens.draw(rng), self.output_tokens.draw(rng)
        tools = []
        for number in range(calls):
            seconds = min(self.tool_time.sample(rng) * self.scale_tool_time, self.max_tool_time)
            share = appended * (number + 1) // calls - appended * number // calls
            tools.append(ToolUse(seconds, max(1, share)))
        return Turn(output, tuple(tools))

    def description(self, seed: int) -> str:
        """Every number that was used, in one line."""
        turns = f"{self.preset.tool_turns}" if self.tool_calls is None else f"for {self.tool_calls} calls"
        time = f"{self.tool_time} s"
        if self.scale_tool_time != 1:
            time += f" x {self.scale_tool_time:g}"
        if self.max_tool_time != float("inf"):
            time += f", {self.max_tool_time:g} s at most"
        return (
            f"{self.preset.summary}: turns with calls {turns}, calls a turn {self.preset.calls}, "
            f"prompt {self.prompt_tokens}, appended {self.append_tokens}, "
            f"sampled {self.output_tokens} tokens, tool time {time}, seed {seed}"
        )
