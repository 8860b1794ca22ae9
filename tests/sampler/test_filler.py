"""Plain text of exactly so many tokens, in vocabularies of every kind."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from caesura.sampler.errors import InvalidMeasurement
from caesura.sampler.filler import MAX_TOKENS, Filler, TextVocabulary, ordinary_tokens
from caesura.sampler.model import Model
from hypothesis import given
from hypothesis import strategies as st

PLAIN = re.compile(r"[a-z]+( [a-z]+)*")


class Pieces:
    """A vocabulary made of the texts that `split` cuts a text into, by first appearance."""

    def __init__(self, split: Callable[[str], list[str]], known: str = "") -> None:
        self._split = split
        self._pieces: list[str] = []
        self.tokenize(known, parse_special=False)

    @property
    def size(self) -> int:
        return len(self._pieces)

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        tokens = []
        for piece in self._split(text):
            if piece not in self._pieces:
                self._pieces.append(piece)
            tokens.append(self._pieces.index(piece))
        return tokens

    def visible_piece(self, token: int) -> bytes:
        return self._pieces[token].encode()


VOCABULARIES: dict[str, Callable[[], TextVocabulary]] = {
    "characters": lambda: Pieces(list),
    "words with their space": lambda: Pieces(lambda text: re.findall(r" ?[a-z]+", text), "alpha beta gamma"),
    "a space before every text": lambda: Pieces(lambda text: re.findall(r" [a-z]+", f" {text}"), "alpha beta gamma"),
    "words in pairs": lambda: Pieces(
        lambda text: re.findall(r"[a-z]{2,} [a-z]{2,}| ?[a-z]+", text), "alpha beta gamma"
    ),
    "letters in threes": lambda: Pieces(lambda text: re.findall(r".{1,3}", text)),
}


@pytest.fixture(scope="module")
def filler(model: Model) -> Filler:
    return Filler(model.vocab)


@given(st.integers(1, 3000))
def test_a_text_has_so_many_tokens(filler: Filler, tokens: int) -> None:
    text = filler.text(tokens)
    assert filler.count(text) == tokens
    assert PLAIN.fullmatch(text)


def test_every_length(filler: Filler) -> None:
    for tokens in range(1, 300):
        assert filler.count(filler.text(tokens)) == tokens


@pytest.mark.parametrize("name", VOCABULARIES)
def test_any_vocabulary(name: str) -> None:
    filler = Filler(VOCABULARIES[name]())
    for tokens in [*range(1, 80), 1000]:
        text = filler.text(tokens)
        assert filler.count(text) == tokens
        assert PLAIN.fullmatch(text)


def test_families(family: Model) -> None:
    filler = Filler(family.vocab)
    for tokens in (1, 2, 3, 50, 51, 1000, 1001):
        assert filler.count(filler.text(tokens)) == tokens


def test_the_same_number_is_the_same_text(model: Model) -> None:
    some, others = [5, 900, 17], [17, 3000, 5, 900]
    first, second = Filler(model.vocab), Filler(model.vocab)
    texts = {tokens: first.text(tokens) for tokens in some}
    again = {tokens: second.text(tokens) for tokens in others}
    assert {tokens: again[tokens] for tokens in some} == texts


@pytest.mark.parametrize("tokens", [0, -1, MAX_TOKENS + 1, True, 1.5, "5", None])
def test_numbers_that_no_text_has(filler: Filler, tokens: object) -> None:
    with pytest.raises(InvalidMeasurement, match="1 to"):
        filler.text(tokens)  # type: ignore[arg-type]


def test_a_vocabulary_without_such_a_text() -> None:
    filler = Filler(Pieces(lambda text: [half for half in (text[:1], text[1:]) if half]))  # never more than two tokens
    assert filler.count(filler.text(2)) == 2
    with pytest.raises(InvalidMeasurement, match="no plain text of 3 tokens"):
        filler.text(3)


def test_ordinary_tokens_are_text(model: Model) -> None:
    tokens = ordinary_tokens(model.vocab)
    assert len(tokens) > 100
    assert not model.stop_tokens & set(tokens)
    assert all(re.fullmatch(rb" ?[a-z]+", model.vocab.visible_piece(token)) for token in tokens)
    assert ordinary_tokens(Pieces(list)), "there is always one"
