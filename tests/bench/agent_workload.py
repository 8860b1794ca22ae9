"""Agents to replay: how long their tools take, and how many tokens come and go at each step.

The figures are those of TraceLab (arXiv 2606.30560: 4,265 coding-agent sessions, 432k tool calls). Its trace is not
here; what it publishes of it is. `TOOLS` was fitted to these (in brackets what `TOOLS` gives):

    tool time a call: p50 0.3 s (0.29), p90 13.6 s (13.8), p99 216 s (217); below 1 s 61% (61%);
    above a minute 4% (3.9%), which hold 85% of all tool time (82%); medians: read 36 ms, edit 95 ms, shell 409 ms (404)

Times are real ones. Token counts are divided by `TOKEN_SCALE`, since the model of the engine is a small one.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN_SCALE = 16
PROMPT = 24_000 // TOKEN_SCALE
CONTEXT = 200_000 // TOKEN_SCALE
"""A session whose context is full ends, and another begins."""

PREFIX = 119_000 // TOKEN_SCALE
APPENDED = (467 / TOKEN_SCALE, 0.93)
"""Median and sigma of a lognormal with the quartiles 250 and 875, scaled."""

SAMPLED = (214 / TOKEN_SCALE, 0.7)
STEPS = (15, 1.75)
HUMAN_GAP = (84.0, 1.95)
OVERNIGHT = (0.02, 14 * 3600.0, 0.3)
"""The share of the gaps that are nights; with it p50 is 1.4 min, p90 21 min, p99 14 h as in the trace."""

CALLS = (0.80, 0.13, 0.045, 0.02, 0.005)
"""Shares of the steps with one call, two, and so on: p50 1, p90 2, p99 4."""

TAIL_BEGIN, TAIL_INDEX, TAIL_END = 60.0, 1.02, 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Tool:
    """Times are lognormal (median in seconds, sigma); the share `tail` is Pareto above a minute, up to 8 hours."""

    name: str
    share: float
    median: float
    sigma: float
    tail: float = 0.0

    def seconds(self, random: random.Random) -> float:
        if random.random() >= self.tail:
            return min(self.median * math.exp(self.sigma * random.gauss(0, 1)), TAIL_END)
        cut = 1 - (TAIL_BEGIN / TAIL_END) ** TAIL_INDEX
        return float(TAIL_BEGIN * (1 - random.random() * cut) ** (-1 / TAIL_INDEX))


TOOLS = (
    Tool("read", 0.223, 0.036, 0.8),
    Tool("edit", 0.082, 0.095, 0.8),
    Tool("shell", 0.468, 0.376, 2.084, 0.034),
    Tool("fetch", 0.152, 5.333, 0.665, 0.01),
    Tool("test", 0.075, 15.1, 0.38, 0.248),
)


@dataclass(frozen=True, slots=True)
class Step:
    """Compute `appended` tokens, sample `sampled`, then pause; `elapsed` seconds of it are over at the start."""

    appended: int
    sampled: int
    pause: float
    tools: tuple[str, ...]
    elapsed: float = 0.0


def tool_pause(random: random.Random) -> tuple[float, tuple[str, ...]]:
    """A step's tools run side by side, so the longest of them counts."""
    calls = random.choices(range(1, len(CALLS) + 1), CALLS)[0]
    tools = random.choices(TOOLS, [tool.share for tool in TOOLS], k=calls)
    return max(tool.seconds(random) for tool in tools), tuple(tool.name for tool in tools)


def _lognormal(random: random.Random, median: float, sigma: float) -> float:
    return median * math.exp(sigma * random.gauss(0, 1))


def human_gap(random: random.Random) -> float:
    share, *night = OVERNIGHT
    return _lognormal(random, *(night if random.random() < share else HUMAN_GAP))


@functools.cache
def _pauses(human_every: float) -> tuple[list[tuple[float, tuple[str, ...]]], list[float]]:
    """Many pauses with the running total of their lengths: at a random moment one finds the long ones."""
    rng = random.Random(0)
    pauses = [Agent(0, human_every).pause(rng) for _ in range(20_000)]
    return pauses, list(itertools.accumulate(seconds for seconds, _ in pauses))


@dataclass(slots=True)
class Agent:
    """A user at work, one session after the other; `seed` determines all of it, whatever the engine does.

    human_every: steps from one question to the user to the next, on average; 0 is never. The session stays open while
                 it waits for the answer, and nothing tells the engine what it waits for.
    """

    seed: int
    human_every: float = 0.0
    sessions: int = 0
    steps: int = 0
    """How many there are at most; 0 is no limit."""

    def __iter__(self) -> Iterator[Iterator[Step]]:
        rng = random.Random(self.seed)
        for number in itertools.count():
            if self.sessions and number == self.sessions:
                return
            yield self._session(random.Random(rng.getrandbits(64)), middle=not number)

    def pause(self, rng: random.Random) -> tuple[float, tuple[str, ...]]:
        """Seconds, and the tools that it waits for."""
        if self.human_every and rng.random() < 1 / self.human_every:
            return human_gap(rng), ()
        return tool_pause(rng)

    def _session(self, rng: random.Random, middle: bool) -> Iterator[Step]:
        """middle: it is under way already, and in such a pause as one finds when one looks at a random moment."""
        steps = math.ceil(_lognormal(rng, *STEPS))
        prompt = _lognormal(rng, PREFIX, 0.5) if middle else _lognormal(rng, PROMPT, 0.3)
        appended, total = min(max(int(prompt), PROMPT), CONTEXT - 1000), 0
        for number in range(min(steps, self.steps) if self.steps else steps):
            sampled = max(1, int(_lognormal(rng, *SAMPLED)))
            total += appended + sampled
            if total > CONTEXT:
                return
            if middle and not number:
                pauses, lengths = _pauses(self.human_every)
                seconds, tools = rng.choices(pauses, cum_weights=lengths)[0]
                yield Step(appended, sampled, seconds, tools, seconds * rng.random())
            else:
                yield Step(appended, sampled, *self.pause(rng))
            appended = max(1, int(_lognormal(rng, *APPENDED)))
