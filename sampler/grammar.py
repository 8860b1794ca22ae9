"""Constrained decoding with llguidance: which tokens may come next, so that the text fits a grammar.

A grammar is text in llguidance's dialect of Lark (`tool_grammar` writes it), so it crosses a process boundary.
`GrammarCompiler.compile` may take long and runs in a worker thread; llguidance lets go of the GIL for it. Each
`Grammar` then gives any number of matchers for microseconds, each for one `sample` call and one thread at a time.

What llguidance is relied on for, each with a test:

- Text never becomes a special token, nor are there bytes that aren't UTF-8.
- A stop token is allowed where the grammar is complete, and nowhere else.
- It has limits of its own on size and time. None of its errors is an exception; they are looked for here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import llguidance
import numpy as np
import numpy.typing as npt

from .errors import GrammarFailed, InvalidGrammar
from .vocabulary import Vocabulary

MAX_GRAMMAR_LENGTH = 2**20
CACHED_GRAMMARS = 32

MAX_LEXER_STATES = 50_000
"""States take 1 to 2 kB each, and all matchers of a grammar share theirs."""

MAX_ITEMS_IN_ROW = 10_000
"""The parser needs four for each optional property of an object; llguidance's default is 2,000."""

_BIAS = np.where(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"), 0.0, -np.inf)
_BIAS_OF_BYTE = np.ascontiguousarray(_BIAS, dtype=np.float32)
"""What to add to eight logits for each byte of a bit mask. `np.where` over the logits takes 10 times as long."""


class Matcher:
    """How far one text has come in its grammar."""

    def __init__(self, grammar: Grammar, matcher: llguidance.LLMatcher) -> None:
        self._grammar = grammar
        self._matcher = matcher
        self._tokens: list[int] = []
        size = grammar.tokenizer.vocab_size
        self._words = np.zeros(-(-size // 32), np.uint32)
        self._bytes = self._words.view(np.uint8)
        self._address, self._size = self._words.ctypes.data, self._words.nbytes

    def mask(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A copy of the logits with minus infinity for every token that may not come next.

        Raises GrammarFailed: no token may, not even one that ends the text, or llguidance's limits are exceeded.
        """
        self._compute_mask()
        bias = _BIAS_OF_BYTE[self._bytes].reshape(-1)[: logits.size]
        return np.add(logits, bias, out=bias)

    def advance(self, token: int) -> None:
        """`token` comes next. Raises GrammarFailed if it may not."""
        if not self._consume(token):
            raise GrammarFailed(f"the grammar doesn't allow the token {token} at this place")

    def resume(self, tokens: Sequence[int]) -> None:
        """These tokens came before. Raises InvalidGrammar if the grammar doesn't allow them."""
        for token in tokens:
            if not self._consume(token):
                raise InvalidGrammar(f"the text so far doesn't fit the grammar: it doesn't allow the token {token}")

    @property
    def finished(self) -> bool:
        """True when the text is complete and nothing but a stop token may come."""
        return self._matcher.is_stopped() and self._matcher.is_accepting()

    def _compute_mask(self) -> None:
        for attempt in range(2):
            self._matcher.unsafe_compute_mask_ptr(self._address, self._size)
            # Without a way on, llguidance stops and offers a stop token: the text would just end in the middle.
            if not self._matcher.is_stopped() or self._matcher.is_accepting():
                return
            if attempt or not self._start_again():
                raise GrammarFailed(f"the grammar can't go on: {_reason(self._matcher)}")

    def _consume(self, token: int) -> bool:
        if token in self._grammar.stop_tokens and self.finished:
            return True
        if not self._matcher.try_consume_tokens([token]) and not (
            self._matcher.is_error() and self._start_again() and self._matcher.try_consume_tokens([token])
        ):
            return False
        self._tokens.append(token)
        return True

    def _start_again(self) -> bool:
        """Repeat the text with a matcher that shares nothing.

        All matchers of a grammar add to the same lexer's states, until there are too many for all of them.
        """
        self._grammar.worn_out = True
        self._matcher = _new_matcher(self._grammar.tokenizer, self._grammar.text)
        return self._matcher.try_consume_tokens(self._tokens) == len(self._tokens)


class Grammar:
    """A compiled grammar. `worn_out`: its next user should compile it anew."""

    def __init__(self, text: str, tokenizer: llguidance.LLTokenizer) -> None:
        """Raises InvalidGrammar."""
        if len(text) > MAX_GRAMMAR_LENGTH:
            raise InvalidGrammar(f"the grammar has {len(text)} characters, {MAX_GRAMMAR_LENGTH} at most are taken")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidGrammar("the grammar holds a lone surrogate, which no text can contain") from None
        self.text = text
        self.tokenizer = tokenizer
        self.stop_tokens = frozenset(tokenizer.eos_tokens)
        self.worn_out = False
        self._prototype = _new_matcher(tokenizer, text)
        # What can't be begun is known after the first mask, not before.
        self._prototype.compute_bitmask()
        if self._prototype.is_error() or (self._prototype.is_stopped() and not self._prototype.is_accepting()):
            raise InvalidGrammar(f"the grammar can't be compiled: {_reason(self._prototype)}")

    def matcher(self) -> Matcher:
        """One at the beginning of a text. Takes microseconds."""
        return Matcher(self, self._prototype.deep_copy())


class GrammarCompiler:
    """Compiles grammars for a vocabulary and keeps those used last. Safe to use from any thread."""

    def __init__(self, vocab: Vocabulary) -> None:
        self._vocab = vocab
        self._lock = threading.Lock()
        self._tokenizer: llguidance.LLTokenizer | None = None
        self._grammars: OrderedDict[str, Grammar] = OrderedDict()

    def compile(self, text: str) -> Grammar:
        """The compiled grammar. Takes milliseconds, or a second for a huge one; the first of a vocabulary also builds
        llguidance's token trie.

        Raises InvalidGrammar.
        """
        with self._lock:
            grammar = self._grammars.get(text)
            if grammar is not None and not grammar.worn_out:
                self._grammars.move_to_end(text)
                return grammar
            if self._tokenizer is None:
                self._tokenizer = _make_tokenizer(self._vocab)
        grammar = Grammar(text, self._tokenizer)
        with self._lock:
            self._grammars[text] = grammar
            if len(self._grammars) > CACHED_GRAMMARS:
                self._grammars.popitem(last=False)
        return grammar

    def matcher(self, text: str) -> Matcher:
        """A fresh matcher of the grammar: microseconds if it was compiled not long ago. Raises InvalidGrammar."""
        return self.compile(text).matcher()


def _new_matcher(tokenizer: llguidance.LLTokenizer, text: str) -> llguidance.LLMatcher:
    limits = llguidance.LLParserLimits(
        max_lexer_states=MAX_LEXER_STATES, max_items_in_row=MAX_ITEMS_IN_ROW, verbose_errors=False
    )
    return llguidance.LLMatcher(tokenizer, text, log_level=0, limits=limits)


def _reason(matcher: llguidance.LLMatcher) -> str:
    """What llguidance's message says, without the place in a text that its user has never seen."""
    lines = matcher.get_error().splitlines()
    if not lines or lines[0] == matcher.stop_reason():
        return "no text fits it"
    if lines[0].endswith("regex parse error:"):
        lines = [line for line in lines if line.startswith("error: ")] or lines
        return f"a pattern isn't supported: {lines[0].removeprefix('error: ')}"[:300]
    return lines[0].rpartition("failed to compile JSON schema: ")[2][:300]


class _Tokens:
    """The vocabulary as llguidance wants it."""

    def __init__(self, vocab: Vocabulary) -> None:
        self._vocab = vocab
        self.tokens = [vocab.piece(token) for token in range(vocab.size)]
        hidden = (token for token in range(vocab.size) if self.tokens[token] and not vocab.visible_piece(token))
        self._special = {*vocab.special_tokens.values(), *vocab.stop_tokens, *hidden}
        if not vocab.stop_tokens:
            # llguidance needs one. No logit belongs to this, so it is never sampled.
            self._special.add(vocab.size)
            self.tokens.append(b"<no stop token>")
        self.special_token_ids = sorted(self._special)
        self.bos_token_id = vocab.bos
        self.eos_token_id = min(vocab.stop_tokens, default=vocab.size)
        self._ids = {piece: token for token, piece in enumerate(self.tokens) if piece and token not in self._special}
        self._longest = max(map(len, self._ids), default=0)

    def __call__(self, text: bytes | str) -> list[int]:
        """Tokens of a text that the grammar leaves no choice about, as the model is used to see it."""
        data = text.encode() if isinstance(text, str) else text
        tokens = self._vocab.tokenize(data.decode("utf-8", "replace"), parse_special=False)
        if self._special.isdisjoint(tokens) and b"".join(self.tokens[token] for token in tokens) == data:
            return tokens
        # Some tokenizers put a space first, and any makes the text of a USER_DEFINED token that token.
        return self._greedy(data)

    def _greedy(self, data: bytes) -> list[int]:
        tokens, position = [], 0
        while position < len(data):
            for size in range(min(self._longest, len(data) - position), 0, -1):
                token = self._ids.get(data[position : position + size])
                if token is not None:
                    tokens.append(token)
                    position += size
                    break
            else:
                return tokens
        return tokens


def _make_tokenizer(vocab: Vocabulary) -> llguidance.LLTokenizer:
    tokens = _Tokens(vocab)
    return llguidance.LLTokenizer(
        llguidance.TokenizerWrapper(tokens),
        n_vocab=len(tokens.tokens),
        eos_token=sorted(vocab.stop_tokens) or [tokens.eos_token_id],
    )
