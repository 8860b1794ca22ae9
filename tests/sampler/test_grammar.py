"""Compiled grammars: what they allow, when they end, and that no text brings them down."""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from caesura.sampler import grammar as grammar_module
from caesura.sampler.errors import GrammarFailed, InvalidGrammar
from caesura.sampler.grammar import CACHED_GRAMMARS, Grammar, GrammarCompiler, Matcher
from caesura.sampler.model import Model
from caesura.sampler.vocabulary import Vocabulary
from random_schemas import write_randomly


@pytest.fixture(scope="module")
def vocab(model: Model) -> Vocabulary:
    return model.vocab


@pytest.fixture(scope="module")
def compiler(vocab: Vocabulary) -> GrammarCompiler:
    return GrammarCompiler(vocab)


def allowed(matcher: Matcher, vocab: Vocabulary) -> set[int]:
    masked = matcher.mask(np.zeros(vocab.size, np.float32))
    assert set(np.unique(masked)) <= {0.0, -np.inf}
    return set(np.flatnonzero(masked == 0).tolist())


def after(compiler: GrammarCompiler, vocab: Vocabulary, text: str, grammar: str) -> Matcher:
    matcher = compiler.matcher(grammar)
    for token in vocab.tokenize(text, parse_special=True):
        matcher.advance(token)
    return matcher


def test_a_mask_allows_what_a_grammar_does_and_keeps_the_logits(compiler: GrammarCompiler, vocab: Vocabulary) -> None:
    matcher = compiler.matcher("start: /[0-9]+/")
    logits = np.arange(vocab.size, dtype=np.float32)
    masked = matcher.mask(logits)
    for token in range(vocab.size):
        assert (masked[token] == token) == (vocab.piece(token).isdigit() and vocab.piece(token).isascii())


def test_stop_tokens_are_allowed_where_the_text_is_complete_and_nowhere_else(
    compiler: GrammarCompiler, vocab: Vocabulary
) -> None:
    grammar = 'start: "yes" /!*/'
    for text, complete in (("", False), ("ye", False), ("yes", True), ("yes!", True)):
        matcher = after(compiler, vocab, text, grammar)
        assert (
            vocab.stop_tokens <= allowed(matcher, vocab)
            if complete
            else not vocab.stop_tokens & allowed(matcher, vocab)
        )
        assert not matcher.finished


def test_it_is_finished_when_nothing_but_a_stop_token_can_come(compiler: GrammarCompiler, vocab: Vocabulary) -> None:
    matcher = after(compiler, vocab, "yes", 'start: "yes"')
    assert matcher.finished
    assert allowed(matcher, vocab) == vocab.stop_tokens
    matcher.advance(min(vocab.stop_tokens))
    assert matcher.finished
    early = after(compiler, vocab, "yes", 'start: "yes" /!*/')
    early.advance(max(vocab.stop_tokens))
    assert early.finished


def test_text_never_becomes_a_special_token(compiler: GrammarCompiler, vocab: Vocabulary) -> None:
    special = set(vocab.special_tokens.values()) - vocab.stop_tokens
    anything = 'start: "{" %json {"type": "string"} "}" /(?s:.*)/'
    for text in ("{", '{"', '{"<tool', '{"a"}'):
        assert not special & allowed(after(compiler, vocab, text, anything), vocab)


def test_text_that_a_grammar_spells_out_may_look_like_a_special_token(
    compiler: GrammarCompiler, vocab: Vocabulary
) -> None:
    tokens, complete = write_randomly(compiler, vocab, 'start: "<tool_call>"', seed=1)
    assert complete
    assert b"".join(map(vocab.piece, tokens)) == b"<tool_call>"
    assert not set(tokens) & set(vocab.special_tokens.values())


@pytest.mark.parametrize("seed", range(5))
def test_free_text_is_always_utf8(compiler: GrammarCompiler, vocab: Vocabulary, seed: int) -> None:
    tokens, _ = write_randomly(compiler, vocab, "start: /(?s:.{200})/", seed=seed)
    whole = b"".join(map(vocab.piece, tokens))
    assert len(whole.decode()) == 200


@pytest.mark.parametrize("seed", range(3))
def test_json_strings_hold_no_raw_control_characters(compiler: GrammarCompiler, vocab: Vocabulary, seed: int) -> None:
    grammar = 'start: %json {"type": "string", "minLength": 150, "maxLength": 200}'
    tokens, complete = write_randomly(compiler, vocab, grammar, seed=seed)
    assert complete
    assert all(byte >= 0x20 for byte in b"".join(map(vocab.piece, tokens)))


def test_a_token_that_does_not_fit_is_an_error_and_changes_nothing(
    compiler: GrammarCompiler, vocab: Vocabulary
) -> None:
    matcher = compiler.matcher('start: "ab"')
    letter = vocab.tokenize("b", parse_special=False)[0]
    for wrong in (letter, min(vocab.stop_tokens), vocab.special_tokens["<tool_call>"]):
        with pytest.raises(GrammarFailed, match=str(wrong)):
            matcher.advance(wrong)
    assert b"a" in {vocab.piece(token)[:1] for token in allowed(matcher, vocab)}


DEEP = 100_000
BAD = {
    "empty": "",
    "not a grammar": "hello",
    "unknown rule": "start: nothing",
    "unknown token": "start: <nothing>",
    "unclosed regex": "start: /(/",
    "lookahead": "start: /(?=a)b/",
    "lone surrogate": 'start: "\ud800"',
    "deep groups": "start: " + "(" * DEEP + '"a"' + ")" * DEEP,
    "deep regex": "start: /" + "(" * DEEP + ")" * DEEP + "/",
    "deep schema": "start: %json " + '{"items":' * DEEP + "{}" + "}" * DEEP,
    "too long": "start: /a/" + " " * 2**20,
    "reference to itself": 'start: %json {"$ref": "#"}',
    "false schema": "start: %json false",
    "unknown keyword": 'start: %json {"uniqueItems": true}',
    "huge allOf": "start: %json " + str({"allOf": [{"anyOf": [{"const": n} for n in range(9)]}] * 9}).replace("'", '"'),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_bad_grammar_is_an_error_with_a_short_message(compiler: GrammarCompiler, text: str) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        compiler.compile(text)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_an_expensive_grammar_fails_or_goes_on_but_does_not_hang(compiler: GrammarCompiler, vocab: Vocabulary) -> None:
    for pattern in ("(a{1,1000}){1,1000}", "(a|b)*a(a|b){40}", "(" * 200 + "a" + ")" * 200, "((a?){30}a{30})*"):
        try:
            write_randomly(compiler, vocab, f"start: /{pattern}/", seed=1, limit=50)
        except (InvalidGrammar, GrammarFailed) as error:
            assert str(error)  # noqa: PT017 - either outcome is right


def test_grammars_are_cached_and_the_cache_is_bounded(vocab: Vocabulary) -> None:
    compiler = GrammarCompiler(vocab)
    first = compiler.compile("start: /a/")
    assert compiler.compile("start: /a/") is first
    for number in range(CACHED_GRAMMARS):
        compiler.compile(f'start: "{number}"')
    assert compiler.compile("start: /a/") is not first
    del first
    gc.collect()
    assert sum(isinstance(item, Grammar) and item.tokenizer is compiler._tokenizer for item in gc.get_objects()) <= (
        CACHED_GRAMMARS
    )


def test_a_lexer_that_its_matchers_have_filled_up_is_replaced(
    monkeypatch: pytest.MonkeyPatch, vocab: Vocabulary
) -> None:
    """All matchers of a grammar add states to one lexer. This regular expression needs more and more of them."""
    monkeypatch.setattr(grammar_module, "MAX_LEXER_STATES", 3000)
    compiler = GrammarCompiler(vocab)
    text = "start: /(a|b|c|d|x)*x(a|b|c|d|x){14}y/"
    letters = [vocab.tokenize(letter, parse_special=False)[0] for letter in "abcdx"]
    rng = np.random.default_rng(0)
    grammars = set()
    for _ in range(60):
        grammars.add(id(grammar := compiler.compile(text)))
        matcher = grammar.matcher()
        for letter in rng.choice(letters, 100).tolist():
            assert letter in allowed(matcher, vocab)
            matcher.advance(letter)
    assert grammar.matcher()
    assert len(grammars) > 1


def test_one_grammar_can_be_used_by_many_threads(vocab: Vocabulary) -> None:
    compiler = GrammarCompiler(vocab)
    results: list[Any] = []

    def work(seed: int) -> None:
        results.append((seed % 3, write_randomly(compiler, vocab, 'start: %json {"type": "string"}', seed=seed % 3)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 9
    assert len({(seed, tuple(tokens)) for seed, (tokens, _) in results}) == 3


class FewTokens:
    """A vocabulary without stop tokens, with an empty piece, a hidden token and halves of a character."""

    size, stop_tokens, bos = 5, frozenset[int](), None
    special_tokens: Mapping[str, int] = MappingProxyType({})
    pieces = (b"a", b"", b"<x>", b"\xc3", b"\xa9")

    def piece(self, token: int) -> bytes:
        return self.pieces[token]

    def visible_piece(self, token: int) -> bytes:
        return b"" if token == 2 else self.pieces[token]

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return [2, 0]  # puts something first, as some tokenizers do with a space


def test_a_strange_vocabulary() -> None:
    compiler = GrammarCompiler(FewTokens())  # type: ignore[arg-type]
    zeros = np.zeros(5, np.float32)
    text = compiler.matcher("start: /(?s:.*)/")
    assert (text.mask(zeros) == 0).tolist() == [True, False, False, True, False]
    text.advance(3)
    assert (text.mask(zeros) == 0).tolist() == [False, False, False, False, True]
    given = compiler.matcher('start: "aa"')
    for _ in range(2):
        assert (given.mask(zeros) == 0).tolist() == [True, False, False, False, False]
        given.advance(0)
    assert given.finished
