"""How a check gets the model to say what it needs: by a script, where the server takes one, else by asking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .events import Event

SCRIPT = "caesura_script"

LONG = "the " * 160
"""Some 160 to 320 tokens: long enough that something can be done meanwhile, short enough for a context of 2,048."""

MOST_TOKENS = 2000
"""What a model that is free to talk may say in a Response."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the tool ``name``. A long one has a long text as its argument, so that sampling it takes a while."""

    name: str
    long: bool = False
    text: str = "x"

    @property
    def arguments(self) -> dict[str, str]:
        return {"text": LONG if self.long else self.text}


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model says between two pauses: text, then calls."""

    text: str = ""
    calls: tuple[Call, ...] = ()


def calls(*wanted: str | Call, text: str = "") -> Turn:
    """A turn that makes these calls."""
    return Turn(text, tuple(Call(each) if isinstance(each, str) else each for each in wanted))


DONE = Turn("done")
LONG_TEXT = Turn(LONG)
LONG_TEXT_AND_CALL = calls("a", text=LONG)


class Driver(Protocol):
    """``exact`` tells whether the model says exactly what is asked for, the same each time. ``attempts`` is how often
    it is worth trying."""

    name: str
    exact: bool
    attempts: int

    def request(self, turns: Sequence[Turn]) -> Event:
        """The fields of a create whose Response takes these turns."""
        ...


class Scripted:
    """The server forces the turns that the request's first message holds, as JSON (``caesura serve --scripted``)."""

    name = "scripted"
    exact = True
    attempts = 5

    def request(self, turns: Sequence[Turn]) -> Event:
        script = [
            {"text": turn.text, "calls": [{"name": each.name, "arguments": each.arguments} for each in turn.calls]}
            if turn.calls
            else {"text": turn.text}
            for turn in turns
        ]
        content = json.dumps({SCRIPT: {"turns": script}})
        return {"input": [{"type": "message", "role": "user", "content": content}], "tools": _tools(turns)}


class Natural:
    """The model is asked, and made to call by ``tool_choice``. What it says then is its own."""

    name = "natural"
    exact = False
    attempts = 4

    def request(self, turns: Sequence[Turn]) -> Event:
        first = turns[0].calls
        names = {each.name for each in first}
        fields: Event = {
            "input": [{"type": "message", "role": "user", "content": " ".join(map(_wish, turns))}],
            "tools": _tools(turns),
            "max_output_tokens": MOST_TOKENS,
            "parallel_tool_calls": any(len(turn.calls) > 1 for turn in turns),
        }
        if first:
            named = {"type": "function", "name": first[0].name}
            fields["tool_choice"] = named if len(names) == len(first) == 1 else "required"
        return fields


def _tools(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    names = sorted({each.name for turn in turns for each in turn.calls})
    return [
        {
            "type": "function",
            "name": name,
            "description": f"The tool {name}. It takes a text.",
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        }
        for name in names
    ]


def _wish(turn: Turn) -> str:
    if turn.calls:
        wishes = [
            f"{each.name} with {'a story of 500 words as its text' if each.long else f'the text {each.text!r}'}"
            for each in turn.calls
        ]
        together = " in one turn, both before you see a result" if len(wishes) > 1 else ""
        return f"Call {' and '.join(wishes)}{together}, and wait for the result."
    return "Tell a story of 500 words." if turn.text == LONG else f"Then say: {turn.text}."
