"""The content of a ``compaction`` item: a summary that stands for what was said before it.

The Responses API calls it ``encrypted_content`` and leaves its form to the server. Here it is the summary itself, with
a mark of its form and a checksum, and no secret: the client that gets it had all that it was made from, and could say
the same in a message. Encrypting it was rejected: it would need a key that every server of a fleet, and the next start
of this one, knows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from ..protocol.errors import InvalidValue

_FORM = "caesura1."
_CHECKSUM = 8


def encode_summary(text: str) -> str:
    """A summary as ``encrypted_content``: letters, digits, ``-``, ``_`` and ``.``"""
    data = text.encode("utf-8", "surrogatepass")
    return _FORM + base64.urlsafe_b64encode(_checksum(data) + data).rstrip(b"=").decode()


def decode_summary(value: str, *, param: str | None = None) -> str:
    """The summary that :func:`encode_summary` was given.

    :param param: where the value stands in the request, for the error.
    :raises InvalidValue: it was not made by a server of this kind, or has been damaged.
    """
    text = _decoded(value)
    if text is None:
        raise InvalidValue(
            "This compaction item was not made by this server, or has been changed since. Send the conversation that "
            "it stands for, or a summary of it as a message.",
            param=param,
        )
    return text


def _decoded(value: str) -> str | None:
    encoded = value.removeprefix(_FORM)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        text = raw[_CHECKSUM:].decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return None
    return text if encode_summary(text) == value else None


def as_message(summary: str) -> str:
    """What the model is told in its place."""
    return f"Earlier turns of this conversation are left out. A summary stands in for them:\n\n{summary}"


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECKSUM]
