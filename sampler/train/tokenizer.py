"""The demo model's tokenizer: byte-level BPE that llama.cpp repeats token for token (GGUF `gpt2` / `qwen2`).

Merges stay inside a run of ASCII letters, or belong to a short list of JSON punctuation. None joins a space or a
quote with a letter, so `foo`, ` foo` and `"foo"` share their tokens: what a small model has to copy looks the same
wherever it stands. Digits are single.
"""
# ruff: noqa: SIM905  (word lists read better as text)

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import pairwise

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_DEFINED = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>")
VOCABULARY_SIZE = 1024

_PUNCTUATION = (
    '\\ n|\\ "|Ġ Ġ|ĠĠ Ġ|ĠĠ ĠĠ|" "|"" "|" :|" ,|Ġ "|{ "|Ġ {|Ġ{ "|{ }|Ġ{ }|} }|" }|"} }|" ]|Ġ [|Ġ[ "|"] }'
).split("|")

# Qwen2's pre-tokenizer, in the terms of Python's `re`: `[^\W\d_]` is a letter.
_PRETOKENS = re.compile(
    r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|(?:_|[^\r\n\w])?[^\W\d_]+|\d|"
    r" ?(?:_|[^\s\w])+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPECIAL = re.compile("(" + "|".join(re.escape(text) for text in CONTROL + USER_DEFINED) + ")")


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in visible}
    hidden = [byte for byte in range(256) if byte not in letters]
    return letters | {byte: chr(256 + index) for index, byte in enumerate(hidden)}


BYTE_LETTERS = _byte_letters()
_LETTER_BYTES = {letter: byte for byte, letter in BYTE_LETTERS.items()}


class Tokenizer:
    """Token ids of texts. `tokens[id]` is a token's text in GPT-2's byte letters (special tokens: as they are)."""

    def __init__(self, merges: Iterable[str]) -> None:
        self.merges = list(merges)
        self.tokens = sorted(BYTE_LETTERS.values()) + [merge.replace(" ", "") for merge in self.merges]
        self.tokens += [*USER_DEFINED, *CONTROL]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        self._ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(self.merges)}
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; the names of special tokens in it become special tokens."""
        ids: list[int] = []
        for part in _SPECIAL.split(text):
            if part in self.ids and _SPECIAL.fullmatch(part):
                ids.append(self.ids[part])
            else:
                for pretoken in _PRETOKENS.findall(part):
                    ids += self._cache.get(pretoken) or self._bpe(pretoken)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        data = b"".join(self._bytes(index) for index in ids)
        return data.decode("utf-8", errors="replace")

    def _bytes(self, index: int) -> bytes:
        token = self.tokens[index]
        return token.encode() if _SPECIAL.fullmatch(token) else bytes(_LETTER_BYTES[letter] for letter in token)

    def _bpe(self, pretoken: str) -> list[int]:
        parts = [BYTE_LETTERS[byte] for byte in pretoken.encode("utf-8")]
        while len(parts) > 1:
            rank, i = min((self._ranks.get(pair, len(self._ranks)), i) for i, pair in enumerate(pairwise(parts)))
            if rank == len(self._ranks):
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        ids = [self.ids[part] for part in parts]
        self._cache[pretoken] = ids
        return ids


@cache
def load_tokenizer() -> Tokenizer:
    """The frozen tokenizer. Made anew, it would be another vocabulary: weights would have to be trained again."""
    return Tokenizer(json.loads((files(__package__) / "tokenizer.json").read_text(encoding="utf-8"))["merges"])


def learn_merges(texts: Iterable[str]) -> list[str]:
    """The merges of a new tokenizer, from the letter runs of `texts`. Rare words count more than by
    frequency; those of a dozen occurrences (made-up words) not at all."""
    counts = Counter(word for text in texts for word in re.findall(r"[A-Za-z]+", text))
    words = {tuple(word): count**0.6 for word, count in sorted(counts.items()) if count > 12}
    merges = list(_PUNCTUATION)
    while len(merges) < VOCABULARY_SIZE - 256 - len(CONTROL) - len(USER_DEFINED):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(f"{left} {right}")
        words = {_merge(word, left, right): count for word, count in words.items()}
    return merges


def _merge(word: tuple[str, ...], left: str, right: str) -> tuple[str, ...]:
    if left not in word:
        return word
    merged: list[str] = []
    for part in word:
        if merged and merged[-1] == left and part == right:
            merged[-1] = left + right
        else:
            merged.append(part)
    return tuple(merged)
