"""A guard that looks for secrets in what tools gave: a model that has read a key may write it anywhere.

It knows formats (:mod:`.secret_patterns`), so it finds what leaks by accident: a ``.env`` that was listed, a header in
a log. Whoever wants to hide a secret from it can. What people write themselves is their own business: messages are not
looked at.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ...protocol.items import FunctionCallOutput, HostedCall, InputItem
from .secret_patterns import KINDS, SecretKind

ACTIONS = ("warn", "redact")
"""What is done about a secret: say so in the Response, or put ``[redacted: KIND]`` in its place."""

THREAD_FROM = 1 << 16
"""Characters from which on a check runs in a thread. Below it a thread costs more than the check."""


@dataclass(frozen=True, slots=True)
class Found:
    """A secret in a text: where it is, and of what kind."""

    start: int
    end: int
    kind: str


def find_secrets(text: str) -> list[Found]:
    """All of them, in order. Those that overlap are one, of the first one's kind."""
    kept: list[Found] = []
    for one in sorted(_candidates(text), key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
        elif one.end > kept[-1].end:
            kept[-1] = Found(kept[-1].start, one.end, kept[-1].kind)
    return kept


def redacted(text: str) -> str:
    """The text without its secrets; the same object if it has none.

    A secret may stand right behind another one, of which it seemed to be a part: so what is left is looked at again.
    """
    while found := find_secrets(text):
        parts, at = [], 0
        for one in found:
            parts += [text[at : one.start], f"[redacted: {one.kind}]"]
            at = one.end
        text = "".join([*parts, text[at:]])
    return text


def lower_in_place(text: str) -> str:
    """In lower case, every character where it was. Only the dotted capital I becomes two."""
    return text.replace("\u0130", "i").lower()


def _candidates(text: str) -> Iterator[Found]:
    lower = lower_in_place(text)
    for kind in KINDS:
        searched = lower if kind.ignores_case else text
        for literal in kind.literals:
            at = searched.find(literal)
            while at >= 0:
                match = kind.expression.match(text, at)
                found = None if match is None else _found(kind, match)
                if found is not None:
                    yield found
                at = searched.find(literal, at + len(literal) if found is None else found.end)


def _found(kind: SecretKind, match: re.Match[str]) -> Found | None:
    group = "secret" if "secret" in kind.expression.groupindex else 0
    return Found(*match.span(group), kind.name) if kind.is_likely(match[group]) else None


class SecretScanner:
    """See the module.

    :param action: one of :data:`ACTIONS`.
    """

    name = "secrets"
    fails_open = False

    def __init__(self, action: str = "warn") -> None:
        if action not in ACTIONS:
            raise ValueError(f"action must be {' or '.join(ACTIONS)}, not {action!r}")
        self._redacts = action == "redact"

    def rewrite(self, items: Sequence[InputItem]) -> Sequence[InputItem]:
        """The items without secrets, if that is what is asked for."""
        if not self._redacts:
            return items
        clean = [_clean(item) for item in items]
        return items if all(new is old for new, old in zip(clean, items, strict=True)) else clean

    def check(self, items: Sequence[InputItem]) -> Awaitable[list[str]] | None:
        """Warnings: which output holds how many secrets of which kind, and never what they are."""
        texts = [text for item in items if (text := _output(item))]
        return None if self._redacts or not texts else self._warnings(texts)

    async def _warnings(self, texts: Sequence[str]) -> list[str]:
        if sum(map(len, texts)) < THREAD_FROM:
            return _warnings(texts)
        return await asyncio.to_thread(_warnings, texts)


def _warnings(texts: Sequence[str]) -> list[str]:
    found = Counter(one.kind for text in texts for one in find_secrets(text))
    return [f"secrets: {count} in tool outputs: {kind}" for kind, count in found.items()]


def _output(item: InputItem) -> str | None:
    return item.output if isinstance(item, FunctionCallOutput | HostedCall) else None


def _clean(item: InputItem) -> InputItem:
    match item:
        case FunctionCallOutput(output=output):
            clean = redacted(output)
            return item if clean is output else msgspec.structs.replace(item, output=clean)
        case HostedCall(output=str(output)):
            clean = redacted(output)
            return item if clean is output else msgspec.structs.replace(item, output=clean)
    return item
