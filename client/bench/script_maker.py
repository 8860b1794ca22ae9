"""A workload as text: scripts whose turns come to the tokens that it asks for."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .script import NONCE, NONCE_DIGITS, TOOL_NAME, Script, ScriptedCall, ScriptedTurn
from .trace_file import Trace
from .workload import Session, ToolUse, Turn, Workload

MAX_TASK_TOKENS = 64
"""The rest of a prompt is its instructions, as with real agents."""

_ROUNDS = 12
"""Tries for a length. Two do where a word is a token wherever it stands."""
_SAMPLE_NONCE = "31415926"[:NONCE_DIGITS]


class Tokenizer(Protocol):
    """What it needs of :class:`.yardstick.Yardstick`."""

    def texts(self, tokens: Sequence[int]) -> list[str]: ...
    def count(self, texts: Sequence[str]) -> list[int]: ...
    def turn_tokens(self, turns: Sequence[Mapping[str, Any]]) -> list[int]: ...


def make_scripts(workload: Workload, tokenizer: Tokenizer) -> list[Script]:
    """One script a session, called ``s0``, ``s1``, ...

    A turn comes to exactly its ``output_tokens``, stop token included, or as near as can be: the syntax of a call alone
    has some two dozen. :func:`workload_of` says what it came to. Outputs come to exactly their ``tokens``.
    Instructions and task come to ``prompt_tokens`` together; the template and the definition of the tool come on top.
    No two calls of a session are alike.
    """
    drafts = [
        [_Draft(turn, number, max(0, turn.output_tokens - 1)) for number, turn in enumerate(session.turns)]
        for session in workload.sessions
    ]
    words = _fit([draft for drafts_of_one in drafts for draft in drafts_of_one], tokenizer)
    outputs = sorted({tool.tokens for session in workload.sessions for turn in session.turns for tool in turn.tools})
    results = dict(zip(outputs, tokenizer.texts(outputs), strict=True))
    scripts = []
    for number, session in enumerate(workload.sessions):
        instructions, task = _prompt(session.prompt_tokens, tokenizer)
        turns = tuple(_scripted(draft, words, results) for draft in drafts[number])
        scripts.append(Script(f"s{number}", instructions, task, turns))
    return scripts


def scripts_of_trace(trace: Trace, tokenizer: Tokenizer) -> list[Script]:
    """The same of a recorded trace: text as it is, for the rest as above."""
    numbers = tuple(session for session in trace.sessions if isinstance(session, Session))
    made = iter(make_scripts(Workload(trace.name, trace.description, numbers), tokenizer))
    scripts = []
    for number, session in enumerate(trace.sessions):
        script = next(made) if isinstance(session, Session) else _counted(session, tokenizer)
        scripts.append(replace(script, name=f"s{number}"))
    return scripts


def workload_of(name: str, description: str, scripts: Sequence[Script], tokenizer: Tokenizer) -> Workload:
    """What scripts come to, counted: for the report, and for the engine alone."""
    sessions = []
    for script in scripts:
        outputs = tokenizer.count([call.output for turn in script.turns for call in turn.calls])
        lengths = iter(outputs)
        sampled = tokenizer.turn_tokens(script.replay()["turns"])
        turns = [
            Turn(tokens, tuple(ToolUse(call.seconds, next(lengths)) for call in turn.calls))
            for turn, tokens in zip(script.turns, sampled, strict=True)
        ]
        instructions = script.instructions.replace(NONCE, _SAMPLE_NONCE)
        sessions.append(Session(sum(tokenizer.count([instructions, script.task])), tuple(turns)))
    return Workload(name, description, tuple(sessions))


def _scripted(draft: _Draft, words: Mapping[int, str], results: Mapping[int, str]) -> ScriptedTurn:
    calls = (
        ScriptedCall(arguments, results[tool.tokens], tool.seconds)
        for arguments, tool in zip(draft.arguments(words), draft.turn.tools, strict=True)
    )
    return ScriptedTurn(draft.text(words), tuple(calls), draft.turn.output_tokens)


def _counted(script: Script, tokenizer: Tokenizer) -> Script:
    sampled = tokenizer.turn_tokens(script.replay()["turns"])
    turns = (replace(turn, output_tokens=tokens) for turn, tokens in zip(script.turns, sampled, strict=True))
    return replace(script, turns=tuple(turns))


def _prompt(tokens: int, tokenizer: Tokenizer) -> tuple[str, str]:
    """Instructions and task."""
    task = max(1, min(MAX_TASK_TOKENS, tokens // 4))
    wanted = tokens - task
    filler = max(0, wanted - NONCE_DIGITS)
    for _ in range(_ROUNDS):
        text = f"{NONCE} {tokenizer.texts([filler])[0]}".strip()
        missing = wanted - tokenizer.count([text.replace(NONCE, _SAMPLE_NONCE)])[0]
        if not missing or filler + missing < 0:
            break
        filler += missing
    return text, tokenizer.texts([task])[0]


@dataclass(slots=True)
class _Draft:
    """A turn on its way. ``filler`` tokens of words are its text, or are shared out to its calls; then ``lead`` tokens
    of words may come before these: one word more in an argument can be two tokens more.

    :ivar low: the most filler that was found too short, and what was missing there. ``high``: the least that was not.
    :ivar best: the nearest so far, as (difference, filler, lead).
    """

    turn: Turn
    number: int
    filler: int
    lead: int = 0
    low: tuple[int, int] = (-1, 0)
    high: int = sys.maxsize
    best: tuple[int, int, int] = (sys.maxsize, 0, 0)
    rounds: int = 0

    @property
    def lengths(self) -> list[int]:
        """Of all texts that it is made of."""
        return [self.lead, *self._shares()] if self.turn.tools else [self.filler]

    def text(self, texts: Mapping[int, str]) -> str:
        return texts[self.lead] if self.turn.tools else texts[self.filler] or "-"

    def arguments(self, texts: Mapping[int, str]) -> list[str]:
        """Those of each call."""
        places = (f"{self.number}.{index} {texts[share]}".strip() for index, share in enumerate(self._shares()))
        return [json.dumps({"at": place}) for place in places]

    def replay(self, texts: Mapping[int, str]) -> dict[str, Any]:
        calls = [{"name": TOOL_NAME, "arguments": arguments} for arguments in self.arguments(texts)]
        return {"text": self.text(texts), "calls": calls}

    def came_to(self, tokens: int) -> bool:
        """Take note of it. If another try is worth its while, set it up and say so; else go back to the best one."""
        missing = self.turn.output_tokens - tokens
        self.best = min(self.best, (abs(missing), self.filler, self.lead))
        self.rounds += 1
        if missing and self.rounds < _ROUNDS and self._follow(missing):
            return True
        _, self.filler, self.lead = self.best
        return False

    def _follow(self, missing: int) -> bool:
        if self.lead:
            self.lead += missing
            return self.lead > 0
        if missing > 0:
            self.low = max(self.low, (self.filler, missing))
        else:
            self.high = min(self.high, self.filler)
        (low, missing_there), middle = self.low, self.filler + missing
        if self.high - low > 1:
            self.filler = middle if low < middle < self.high else (low + self.high) // 2
            return True
        self.filler, self.lead = low, missing_there
        return low >= 0 and bool(self.turn.tools)

    def _shares(self) -> list[int]:
        calls = len(self.turn.tools)
        return [self.filler * (index + 1) // calls - self.filler * index // calls for index in range(calls)]


def _fit(drafts: Sequence[_Draft], tokenizer: Tokenizer) -> dict[int, str]:
    """Bring each to its length. The texts that they are made of, by number of tokens."""
    texts: dict[int, str] = {}
    open_ones = list(drafts)
    while open_ones:
        lengths = sorted({length for draft in open_ones for length in draft.lengths} - texts.keys())
        texts |= zip(lengths, tokenizer.texts(lengths), strict=True)
        tokens = tokenizer.turn_tokens([draft.replay(texts) for draft in open_ones])
        open_ones = [draft for draft, came in zip(open_ones, tokens, strict=True) if draft.came_to(came)]
    return texts
