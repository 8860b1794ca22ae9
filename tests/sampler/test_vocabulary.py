"""Text to tokens and back, on a real vocabulary."""

from __future__ import annotations

import threading

import pytest
from caesura.sampler.errors import InvalidToken
from caesura.sampler.model import Model
from hypothesis import given
from hypothesis import strategies as st

any_text = st.text(st.characters(), max_size=40)  # lone surrogates and NULs included


@given(text=any_text)
def test_text_survives_tokens(model: Model, text: str) -> None:
    expected = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    for parse_special in (False, True):
        tokens = model.vocab.tokenize(text, parse_special=parse_special)
        model.vocab.check(tokens)
        assert model.vocab.decode(tokens) == expected


def test_special_tokens_only_on_request(model: Model) -> None:
    (end,) = model.vocab.tokenize("<|im_end|>", parse_special=True)
    assert end in model.stop_tokens
    assert len(model.vocab.tokenize("<|im_end|>", parse_special=False)) > 1
    assert model.vocab.special_tokens["<|im_end|>"] == end
    assert {"<|im_start|>", "<tool_call>", "<tool_response>"} <= model.vocab.special_tokens.keys()


def test_control_tokens_are_not_visible_but_calls_are(model: Model) -> None:
    vocab = model.vocab
    assert vocab.visible_piece(vocab.special_tokens["<|im_end|>"]) == b""
    assert vocab.visible_piece(vocab.special_tokens["<|im_start|>"]) == b""
    assert vocab.visible_piece(vocab.special_tokens["<tool_call>"]) == b"<tool_call>"
    assert vocab.piece(vocab.special_tokens["<|im_end|>"]) == b"<|im_end|>"


@pytest.mark.parametrize("token", [-1, 2**31, 10**30])
def test_a_token_out_of_range_is_an_error(model: Model, token: int) -> None:
    with pytest.raises(InvalidToken):
        model.vocab.piece(token)
    with pytest.raises(InvalidToken):
        model.vocab.check([0, token])


@pytest.mark.parametrize("token", ["1", 1.0, None, True])
def test_a_token_is_an_int(model: Model, token: object) -> None:
    with pytest.raises(InvalidToken):
        model.vocab.check([token])  # type: ignore[list-item]


def test_the_first_token_past_the_end_is_refused(model: Model) -> None:
    assert model.vocab.piece(model.vocab.size - 1)
    with pytest.raises(InvalidToken):
        model.vocab.piece(model.vocab.size)


def test_long_text_of_one_kind(model: Model) -> None:
    for character in ("a", " ", "<", "\n", "é"):
        text = character * 200_000
        assert model.vocab.decode(model.vocab.tokenize(text, parse_special=False)) == text


def test_threads_share_it(model: Model) -> None:
    text = "the quick brown fox\n" * 50
    expected = model.vocab.tokenize(text, parse_special=False)
    results: list[list[int]] = []

    def tokenize() -> None:
        results.extend(model.vocab.tokenize(text, parse_special=False) for _ in range(20))

    threads = [threading.Thread(target=tokenize) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [expected] * 80
