"""The vocabulary: text to token ids and back. Safe to use from any thread."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable

from .errors import InvalidToken
from .llama import ATTRIBUTE_CONTROL, ATTRIBUTE_UNKNOWN, ATTRIBUTE_USER_DEFINED, LlamaModel
from .utf8 import encode_utf8

# A USER_DEFINED token of this shape carries structure (<tool_call>, [TOOL_CALLS], <|channel|>). Others are just
# frequent strings that the tokenizer's author wanted whole.
_MARKUP = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")


class Vocabulary:
    """Token ids, their bytes, and which of them are special.

    size:           number of tokens; valid ids are 0 .. size - 1.
    stop_tokens:    the model's end-of-generation tokens.
    special_tokens: text -> id of every token that marks structure rather than text. Text from outside must never become
                    one of them; `chat_template` sees to that.
    bos, eos:       ids, None if the vocabulary has none.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self.size = model.vocab_size
        self.stop_tokens = model.end_of_generation()
        self.bos = model.bos()
        self.eos = model.eos()
        self.adds_bos = model.adds_bos()
        self._pieces: list[bytes | None] = [None] * self.size
        self._hidden: set[int] = set()
        self.special_tokens: dict[str, int] = {}
        hidden_attributes = ATTRIBUTE_CONTROL | ATTRIBUTE_UNKNOWN
        for token, attributes in enumerate(model.attributes()):
            if not attributes & (hidden_attributes | ATTRIBUTE_USER_DEFINED) and token not in self.stop_tokens:
                continue
            text = self.piece(token).decode("utf-8", "replace")
            hidden = bool(attributes & hidden_attributes) or token in self.stop_tokens
            # One character can't be broken by a marker; no model's structure hangs on one.
            if len(text) > 1 and (hidden or _MARKUP.fullmatch(text)):
                self.special_tokens[text] = token
            if hidden:
                self._hidden.add(token)

    def showing(self, texts: Collection[str]) -> Vocabulary:
        """The same vocabulary, of which `visible_piece` also gives the special tokens of these texts: those that frame
        tool calls and reasoning (`ToolFormat.structure`), for the parser to see."""
        shown = copy.copy(self)
        shown._hidden = self._hidden - {self.special_tokens[text] for text in texts if text in self.special_tokens}
        return shown

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokens of `text`; BOS and EOS are never added.

        parse_special: let the text of control tokens become those tokens. Never True for text from outside. Even with
                       False, USER_DEFINED tokens match: `chat_template` breaks them up first.

        Lone surrogates, which have no UTF-8 form, count as U+FFFD.
        """
        return self._model.tokenize(encode_utf8(text), parse_special)

    def piece(self, token: int) -> bytes:
        """The bytes of one token, which may be a part of a character. Special tokens give their text.

        Raises InvalidToken for an id that the vocabulary doesn't have.
        """
        if not 0 <= token < self.size:
            raise InvalidToken(f"token {token} is not in the vocabulary of {self.size}")
        piece = self._pieces[token]
        if piece is None:
            piece = self._pieces[token] = self._model.piece(token)
        return piece

    def visible_piece(self, token: int) -> bytes:
        """Like `piece`, but empty for control and stop tokens, which are no part of what the model says.

        Those that the vocabulary was told to show stay, whatever their type.
        """
        return b"" if token in self._hidden else self.piece(token)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of a row of tokens, special ones included; invalid UTF-8 becomes U+FFFD."""
        return b"".join(map(self.piece, tokens)).decode("utf-8", "replace")

    def check(self, tokens: Iterable[int]) -> None:
        """Raise InvalidToken unless every id is in the vocabulary."""
        size = self.size
        for token in tokens:
            if type(token) is not int or not 0 <= token < size:
                raise InvalidToken(f"token {token!r} is not in the vocabulary of {size}")
