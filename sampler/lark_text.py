"""Pieces of a grammar in llguidance's dialect of Lark: literals, special tokens, and free text up to something."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .vocabulary import Vocabulary

Parts = list[str | int]
"""A text in which special tokens are told from what only looks like them: their ids among the literal rest."""

ANY_TEXT = "ANY_TEXT: /(?s:.*)/"
"""Defines the terminal that the rules below refer to. It matches UTF-8 alone, and no special token."""


class SpecialTokens:
    """The special tokens of a vocabulary, as texts of a format name them."""

    def __init__(self, vocab: Vocabulary) -> None:
        self._ids = vocab.special_tokens
        self._stop_tokens = vocab.stop_tokens
        self.texts = {token: text for text, token in vocab.special_tokens.items()}

    def split(self, text: str) -> Parts:
        """The parts of `text`. Where several special tokens begin, the longest counts."""
        present = sorted((token for token in self._ids if token in text), key=len, reverse=True)
        parts: Parts = []
        position = begin = 0
        while position < len(text):
            token = next((token for token in present if text.startswith(token, position)), None)
            if token is None:
                position += 1
                continue
            parts += [text[begin:position], self._ids[token]]
            begin = position = position + len(token)
        parts.append(text[begin:])
        return [part for part in parts if part != ""]

    def without_stop(self, text: str) -> tuple[Parts, bool]:
        """The parts of `text` without a stop token at its end; and whether there was one.

        The end of a turn needs no rule: llguidance allows every stop token where the grammar is complete.
        """
        parts = self.split(text)
        if parts and parts[-1] in self._stop_tokens:
            return parts[:-1], True
        return parts, False

    def sequence(self, text: str) -> str:
        """`text` as a part of a rule."""
        return sequence(self.split(text))


def sequence(parts: Iterable[str | int]) -> str:
    """The parts one after the other."""
    merged: Parts = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return " ".join(literal(part) if isinstance(part, str) else f"<[{part}]>" for part in merged)


def literal(text: str) -> str:
    # Lark's strings are JSON's, but for this one character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def text_without(name: str, excluded: Iterable[str], *, pattern: str = "(?s:.+)") -> str:
    """A terminal: what matches `pattern` and has none of `excluded` in it."""
    terms = [f"/{pattern}/", *(f"~(ANY_TEXT {literal(text)} ANY_TEXT)" for text in sorted(excluded))]
    return f"{name}: {' & '.join(terms)}"


def text_until(name: str, end: str, excluded: Iterable[str]) -> list[str]:
    """A rule: text up to the first `end`, included, with none of `excluded` before that."""
    text = f"{name.upper()}_TEXT"
    return [text_without(text, {end, *excluded}, pattern="(?s:.*)"), f"{name}[lazy]: {text} {literal(end)}"]
