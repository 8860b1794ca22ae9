"""UTF-8 of any str."""

from __future__ import annotations


def encode_utf8(text: str) -> bytes:
    """Lone surrogates, which have no UTF-8 form, become U+FFFD; pairs become the character that they stand for."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
