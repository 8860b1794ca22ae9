"""A training conversation under construction, and the words it is made of."""

import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

Tool = dict[str, Any]
Call = tuple[str, dict[str, Any]]


@dataclass
class Conversation:
    """Messages in chat-completions form. `family` is the row of the accuracy table that it counts for."""

    family: str
    tools: list[Tool] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def system(self, text: str) -> None:
        self.messages.append({"role": "system", "content": text})

    def user(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})

    def answer(self, text: str) -> None:
        self.messages.append({"role": "assistant", "content": text})

    def calls(self, calls: Sequence[Call], outputs: Sequence[str], text: str = "") -> None:
        """One assistant turn with these calls, and the tools' outputs."""
        functions = [{"name": name, "arguments": json.dumps(given, ensure_ascii=False)} for name, given in calls]
        made = [{"type": "function", "function": function} for function in functions]
        self.messages.append({"role": "assistant", "content": text, "tool_calls": made})
        self.messages += [{"role": "tool", "content": output} for output in outputs]

    def as_dict(self) -> dict[str, Any]:
        return {"family": self.family, "tools": self.tools, "messages": self.messages}


def make_tool(name: str, description: str, properties: dict[str, Any], required: Sequence[str] | None = None) -> Tool:
    wanted = list(properties) if required is None else list(required)
    parameters = {"type": "object", "properties": properties, "required": wanted, "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant with tools.",
    "Use the tools when they help.",
    "Be brief.",
    "You are an assistant that calls tools and reports what they return.",
    "Answer in one sentence.",
)


def opening(rng: random.Random, conversation: Conversation) -> None:
    """A system prompt, in half of the conversations."""
    if rng.random() < 0.5:
        conversation.system(rng.choice(SYSTEM_PROMPTS))


@cache
def _words(held_out: bool) -> list[str]:
    """Frozen list: words that are frequent in the names and texts of Python's standard library, and some nouns."""
    listed = (files(__package__) / "words.txt").read_text(encoding="utf-8").split()
    return [word for word in listed if (zlib.crc32(word.encode()) % 8 == 0) == held_out]


class Words:
    """Random words and values. With `held_out` words come from the eighth of the list that training never uses."""

    def __init__(self, rng: random.Random, held_out: bool) -> None:
        self.rng = rng
        self.held_out = held_out

    def word(self) -> str:
        rng = self.rng
        if rng.random() < 0.25:
            return self.syllables()
        return rng.choice(_words(self.held_out))

    def syllables(self) -> str:
        rng = self.rng
        while True:
            word = "".join(self._syllable() for _ in range(rng.randint(1, 3)))
            if (zlib.crc32(word.encode()) % 8 == 0) == self.held_out and len(word) > 2:
                return word

    def _syllable(self) -> str:
        choice = self.rng.choice
        return choice("bcdfghjklmnprstvwz") + choice("aeiou") + choice(["", "", "n", "r", "s", "l"])

    def phrase(self, low: int = 2, high: int = 4) -> str:
        return " ".join(self.word() for _ in range(self.rng.randint(low, high)))

    def identifier(self) -> str:
        rng = self.rng
        parts = [self.word() for _ in range(rng.choice([1, 2, 2, 2, 3]))]
        style = rng.random()
        if style < 0.85:
            return "_".join(parts)
        if style < 0.93:
            return parts[0] + "".join(part.title() for part in parts[1:])
        return "-".join(parts)

    def integer(self) -> int:
        rng = self.rng
        small = [rng.randint(0, 9), rng.randint(10, 99), rng.randint(10, 99)]
        return rng.choice([*small, rng.randint(100, 999), rng.randint(1000, 99999), -rng.randint(1, 99)])

    def number(self) -> float | int:
        rng = self.rng
        decimals = [round(rng.uniform(0, 10), 1), round(rng.uniform(0, 100), 2), rng.randint(1, 100) + 0.5]
        return rng.choice([*decimals, self.integer()])

    def code(self) -> str:
        """An identifier such as an order number."""
        rng = self.rng
        letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(rng.randint(1, 3)))
        digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(2, 5)))
        hexadecimal = "".join(rng.choice("0123456789abcdef") for _ in range(8))
        return rng.choice([letters + digits, f"{letters}-{digits}", digits + letters.lower(), hexadecimal])

    def path(self) -> str:
        rng = self.rng
        parts = [self.word() for _ in range(rng.choice([0, 1, 1, 2]))]
        return "/".join([*parts, self.word() + rng.choice([".py", ".txt", ".md", ".json", ".csv", ".log", ".toml"])])

    def text(self) -> str:
        """A string value, of many kinds."""
        rng, kind = self.rng, self.rng.random()
        if kind < 0.35:
            return self.word()
        if kind < 0.45:
            return self.word().title()
        if kind < 0.6:
            return self.phrase()
        if kind < 0.7:
            return self.code()
        if kind < 0.8:
            return self.path()
        if kind < 0.85:
            return f"{self.word()}@{self.word()}.{rng.choice(['com', 'org', 'net'])}"
        if kind < 0.9:
            return f"20{rng.randint(10, 39)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        if kind < 0.94:
            return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
        if kind < 0.97:
            return f"https://{self.word()}.{rng.choice(['com', 'org'])}/{self.word()}"
        return self.identifier()
