"""The content of a JSON string, at once or as it comes."""

from __future__ import annotations

import json

from .utf8 import encode_utf8


class Unescape:
    """A JSON string's content, decoded as it comes; surrogate pairs and escapes may be split anywhere."""

    def __init__(self) -> None:
        self.pending = ""  # an escape that isn't complete
        self._high = ""  # a complete escape of a high surrogate, which waits for its low one

    def feed(self, character: str) -> str:
        if not self.pending and character != "\\":
            return self.finish() + character
        self.pending += character
        if len(self.pending) < 2 or (self.pending[1] == "u" and len(self.pending) < 6):
            return ""
        escape, self.pending = self.pending, ""
        if self._high:
            pair, self._high = self._high + escape, ""
            return decode_string(pair) or "\ufffd"
        if escape[:3].lower() in ("\\ud",) and escape[3:4].lower() in ("8", "9", "a", "b"):
            self._high = escape
            return ""
        return decode_string(escape) or "\ufffd"

    def finish(self) -> str:
        """What a high surrogate without its low one stands for."""
        high, self._high = self._high, ""
        return "\ufffd" if high else ""


def decode_string(raw: str) -> str:
    """The text of a JSON string without its quotes; empty if it is none. Never holds lone surrogates."""
    try:
        return encode_utf8(json.loads(f'"{raw}"', strict=False)).decode()
    except ValueError:
        return ""
