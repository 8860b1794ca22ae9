"""Plain text that is exactly so many tokens long, in any vocabulary."""

from __future__ import annotations

import bisect
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from .errors import InvalidMeasurement

MAX_TOKENS = 1_000_000

_WORD = re.compile(r" ?[a-z]{2,}")
_MAX_WORDS = 500
_PLAIN_WORDS = ("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on", "not")
_TAILS = tuple(f"{space}{letter}" for letter in "aeiostnrlbcdfghjkmpquvwxyz" for space in (" ", ""))
_STEPS_BACK = 16
_FIRST_WORDS = 1000
_WORDS_A_TOKEN = 8  # no vocabulary has so many


class TextVocabulary(Protocol):
    """What it needs of `Vocabulary`."""

    size: int

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]: ...
    def visible_piece(self, token: int) -> bytes: ...


def ordinary_tokens(vocab: TextVocabulary, count: int = _MAX_WORDS) -> list[int]:
    """The first tokens that are a word of lower-case letters, with a space before it or none; other tokens of text
    where there are none, as in a vocabulary of bytes. At least one."""
    words = (token for token in range(vocab.size) if _WORD.fullmatch(vocab.visible_piece(token).decode("latin-1")))
    found = list(itertools.islice(words, count))
    return found or sorted(set(vocab.tokenize(" ".join(_PLAIN_WORDS), parse_special=False))) or [0]


class Filler:
    """Texts of lower-case ASCII words with a space between two of them.

    The text of n tokens is always the same one in a vocabulary.
    """

    def __init__(self, vocab: TextVocabulary) -> None:
        self._vocab = vocab
        self._stream = _endless(self._regular_words() or _PLAIN_WORDS)
        self._text = ""  # its beginning so far
        self._ends: list[int] = []  # of its words
        self._counts: list[int] = []  # of tokens until there
        self._texts: dict[int, str] = {}

    def count(self, text: str) -> int:
        """Tokens of a text in which nothing is special."""
        return len(self._vocab.tokenize(text, parse_special=False))

    def text(self, tokens: int) -> str:
        """Raises InvalidMeasurement for a number out of range, or if the vocabulary has no such text."""
        if type(tokens) is not int or not 1 <= tokens <= MAX_TOKENS:
            raise InvalidMeasurement(f"a text has 1 to {MAX_TOKENS} tokens, not {tokens!r}")
        text = self._texts.get(tokens)
        if text is None:
            text = self._texts[tokens] = self._search(tokens)
        return text

    def _search(self, tokens: int) -> str:
        while not self._counts or (self._counts[-1] <= tokens and len(self._counts) < _WORDS_A_TOKEN * tokens):
            self._write_on()
        words = bisect.bisect_right(self._counts, tokens)
        # A text that is cut off may be other tokens than it is in a longer one, so each is counted, and words may have
        # to go until letters can take their place.
        for kept in range(words, max(words - _STEPS_BACK, 0) - 1, -1):
            found = self._lengthened(self._text[: self._ends[kept - 1]] if kept else "", tokens)
            if found is not None:
                return found
        raise InvalidMeasurement(f"the model's vocabulary has no plain text of {tokens} tokens")

    def _lengthened(self, text: str, tokens: int) -> str | None:
        """With letters after it until it has so many tokens; None if no letter fits."""
        count = self.count(text)
        while count < tokens:
            for tail in _TAILS:
                longer = (text + tail).lstrip()
                if count < (now := self.count(longer)) <= tokens:
                    text, count = longer, now
                    break
            else:
                return None
        return text if count == tokens else None

    def _write_on(self) -> None:
        """Double the text."""
        words = list(itertools.islice(self._stream, max(len(self._ends), _FIRST_WORDS)))
        self._text = " ".join([self._text, *words] if self._text else words)
        lengths = [len(word) for word in self._text.split(" ")]
        self._ends = [end + number for number, end in enumerate(itertools.accumulate(lengths))]
        tokens = self._vocab.tokenize(self._text, parse_special=False)
        token_ends = list(itertools.accumulate(len(self._vocab.visible_piece(token)) for token in tokens))
        added = token_ends[-1] - len(self._text)  # some tokenizers begin every text with a space
        self._counts = [bisect.bisect_left(token_ends, end + added) + 1 for end in self._ends]

    def _regular_words(self) -> list[str]:
        """One-token words that take the fewest tokens more where they follow another word."""
        pieces = (self._vocab.visible_piece(token).decode("latin-1") for token in ordinary_tokens(self._vocab))
        words = list(dict.fromkeys(piece.strip() for piece in pieces if _WORD.fullmatch(piece)))
        words = [word for word in words if self.count(word) == 1]
        more = [self.count(f"{word} {word}") for word in words]
        least = min(more, default=0)
        return [word for word, count in zip(words, more, strict=True) if count == least]


def _endless(words: Sequence[str]) -> Iterator[str]:
    draw = random.Random(0)
    while True:
        yield draw.choice(words)
