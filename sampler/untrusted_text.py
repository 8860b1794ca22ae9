"""Text from outside must never become a control token.

A chat template mixes its own markup with text from clients, and afterwards both look alike: `<|im_end|>` in a tool's
output would end the turn. So before rendering, a marker (a Unicode noncharacter) goes into every occurrence of a
special token's text in every string from outside; after rendering, the text is cut at the markers and the parts are
tokenised one by one. The text stays what it was; only its tokens can't be special ones.

Rejected: tokenising text from outside with parse_special=False. USER_DEFINED tokens such as `<tool_call>` match
even then, and the template's filters (tojson, trim) leave no way to tell afterwards which characters came from where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .errors import InvalidMessage
from .utf8 import encode_utf8

MARKER = "\ufdd0"
SENTINEL = "\ufdd1"  # for chat_template: something that no text from outside contains
_RESERVED = re.compile("[\ufdd0-\ufdef]")


class Guard:
    """Puts markers into values from outside, for one set of special token texts."""

    def __init__(self, special_texts: Iterable[str]) -> None:
        texts = sorted(set(special_texts), key=len, reverse=True)
        self._inside = _starts_of(texts)
        # A special text can also be put together from the end of one string and what the template writes next to it.
        self._prefixes = tuple({text[:cut] for text in texts for cut in range(1, len(text))})
        self._suffixes = tuple({text[cut:] for text in texts for cut in range(1, len(text))})

    def text(self, text: str) -> str:
        """`text` with markers; noncharacters reserved for them and lone surrogates become U+FFFD."""
        if not text.isascii():
            text = _RESERVED.sub("\ufffd", encode_utf8(text).decode())
        if self._inside is None:
            return text
        text = self._inside.sub(lambda match: match.group() + MARKER, text)
        # Templates may strip whitespace, so what counts is where the visible text begins and ends.
        visible = text.rstrip()
        if visible.endswith(self._prefixes):
            text = visible + MARKER + text[len(visible) :]
        visible = text.lstrip()
        if visible.startswith(self._suffixes):
            text = text[: len(text) - len(visible)] + MARKER + visible
        return text

    def value(self, value: object) -> object:
        """The same for every string, key or value, in JSON data. Raises InvalidMessage for anything else."""
        try:
            return self._value(value)
        except RecursionError:
            raise InvalidMessage("the data is nested too deeply") from None

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self._key(key): self._value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(item) for item in value]
        raise InvalidMessage(f"{type(value).__name__} is not JSON data")

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            raise InvalidMessage(f"an object's key must be a string, not {type(key).__name__}")
        return self.text(key)


def without_markers(text: str) -> str:
    return text.replace(MARKER, "")


def _starts_of(texts: list[str]) -> re.Pattern[str] | None:
    """Matches the first character of every occurrence of a text, overlapping ones too; None if there are no texts."""
    rests: dict[str, list[str]] = {}
    for text in texts:
        rests.setdefault(text[0], []).append(re.escape(text[1:]))
    if not rests:
        return None
    return re.compile("|".join(f"{re.escape(first)}(?={'|'.join(rest)})" for first, rest in rests.items()))
