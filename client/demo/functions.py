"""The functions that a demo repository is made of: their docstrings, correct bodies, and the bugs that fit them.

A template is text with slots: `{n}` and `{ns}` are a noun and its plural, `{k}` is a number, other letters come from
its own choices. One body line carries the bug: the correct text, and wrong ones that contradict the docstring.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Case = tuple[Any, ...]


@dataclass(frozen=True)
class Function:
    """A concrete function: `changes` are pairs (correct line, wrong line), `cases` are pairs (arguments, result)."""

    name: str
    parameters: str
    docstring: str
    body: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    arguments: tuple[Case, ...]

    def source(self, change: tuple[str, str] | None = None) -> str:
        """The source text, with the correct line of `change` replaced by the wrong one."""
        lines = list(self.body)
        if change is not None:
            correct, wrong = change
            lines = [line.replace(correct, wrong) if line.strip() == correct else line for line in lines]
        text = "\n".join(f"    {line}" for line in lines)
        return f'def {self.name}({self.parameters}):\n    """{self.docstring}"""\n{text}'

    @cached_property
    def cases(self) -> list[tuple[Case, Any]]:
        return [(case, _call(self.source(), self.name, case)) for case in self.arguments]


def is_buggy(function: Function, change: tuple[str, str]) -> bool:
    """Whether the wrong line makes at least one of the function's cases fail."""
    source = function.source(change)
    for case, expected in function.cases:
        try:
            if _call(source, function.name, case) != expected:
                return True
        except Exception:
            return True
    return False


def _call(source: str, name: str, case: Case) -> Any:
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # our own template text, nothing from outside
    return namespace[name](*[list(part) if isinstance(part, list) else part for part in case])


@dataclass(frozen=True)
class Template:
    """See the module's docstring. `bugs` are (correct fragment, wrong fragments...), found in exactly one body line."""

    names: Sequence[str]
    parameters: str
    docstrings: Sequence[str]
    body: str
    bugs: Sequence[Sequence[str]]
    cases: Callable[[random.Random, dict[str, str]], list[Case]]
    slots: Callable[[random.Random], dict[str, str]] | None = None

    def make(self, rng: random.Random, noun: str, nouns: str) -> Function:
        slots = {"n": noun, "ns": nouns, "k": str(rng.randint(2, 9))}
        if self.slots is not None:
            slots.update(self.slots(rng))

        def fill(text: str) -> str:
            for key, value in slots.items():
                text = text.replace("{" + key + "}", value)
            return text

        body = tuple(fill(self.body).split("\n"))
        changes = []
        for correct, *wrongs in self.bugs:
            correct = fill(correct)
            (line,) = [line.strip() for line in body if correct in line]
            for wrong in wrongs:
                if fill(wrong) != correct:
                    changes.append((line, line.replace(correct, fill(wrong), 1)))
        arguments = tuple(self.cases(rng, slots))
        return Function(
            fill(rng.choice(self.names)),
            fill(self.parameters),
            fill(rng.choice(self.docstrings)),
            body,
            tuple(changes),
            arguments,
        )
