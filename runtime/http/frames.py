"""What has to be known of an event's frame to pass it on. The rest of it stays the text that the core has encoded."""

from __future__ import annotations

from typing import get_args

import msgspec

from ...protocol.events import EndEvent

ENDS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(EndEvent))
"""Types of a Response's last event."""

CREATED = "response.created"
RESUMED = "response.resumed"
DETACHED = "response.detached"
ERROR = "error"

_TYPE_AT = len('{"type":"')


def type_of(frame: str) -> str:
    """The event's type, which every frame begins with."""
    return frame[_TYPE_AT : frame.index('"', _TYPE_AT)]


class Parts(msgspec.Struct, frozen=True):
    """The objects that an event carries, as they stand in its frame."""

    response: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    status: int = 500


_parts = msgspec.json.Decoder(Parts)


def parts_of(frame: str) -> Parts:
    """An event about a whole Response, or an ``error``."""
    return _parts.decode(frame)


class _Identified(msgspec.Struct, frozen=True):
    id: str


class _Begun(msgspec.Struct, frozen=True):
    response: _Identified


_begun = msgspec.json.Decoder(_Begun)


def response_id_of(frame: str) -> str:
    """Which Response an event about a whole one is of."""
    return _begun.decode(frame).response.id
