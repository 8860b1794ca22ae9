"""Events of the Responses API, decoded as far as a loop needs them."""

from __future__ import annotations

from typing import Any

import msgspec

_PREFIX = b'{"type":"'

DONE = b"[DONE]"
"""Ends an event stream, in place of an event."""

CREATED = b"response.created"
ITEM_ADDED = b"response.output_item.added"
ITEM_DONE = b"response.output_item.done"
TEXT_DELTA = b"response.output_text.delta"
PAUSED = b"response.done"
APPENDED = b"response.appended"
COMPLETED = b"response.completed"
INCOMPLETE = b"response.incomplete"
FAILURES = frozenset({b"response.failed", b"response.cancelled", b"error"})


class Item(msgspec.Struct):
    type: str = ""
    status: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class ItemEvent(msgspec.Struct):
    item: Item


class DeltaEvent(msgspec.Struct):
    delta: str = ""


class ErrorBody(msgspec.Struct):
    message: str | None = None
    code: Any = None


class Details(msgspec.Struct):
    reason: str = ""


class ResponseBody(msgspec.Struct):
    """``output`` stays as it was written: it goes back word for word."""

    id: str | None = None
    output: list[msgspec.Raw] = []
    usage: dict[str, Any] | None = None
    error: ErrorBody | None = None
    incomplete_details: Details | None = None


class ResponseEvent(msgspec.Struct):
    response: ResponseBody = msgspec.field(default_factory=ResponseBody)


class _Brief(msgspec.Struct):
    id: str | None = None
    usage: dict[str, Any] | None = None


class BriefEvent(msgspec.Struct):
    """The same for those who don't need the output."""

    response: _Brief = msgspec.field(default_factory=_Brief)


class _Typed(msgspec.Struct):
    type: str = ""


class _Refusal(msgspec.Struct):
    error: ErrorBody | str | None = None
    message: str | None = None
    detail: Any = None


item_event = msgspec.json.Decoder(ItemEvent).decode
delta_event = msgspec.json.Decoder(DeltaEvent).decode
response_event = msgspec.json.Decoder(ResponseEvent).decode
brief_event = msgspec.json.Decoder(BriefEvent).decode
_typed = msgspec.json.Decoder(_Typed).decode
_refusal = msgspec.json.Decoder(_Refusal).decode


def type_of(data: bytes) -> bytes:
    """The event's type; empty if it has none. Servers write it first as a rule, and then nothing is decoded."""
    if data.startswith(_PREFIX):
        return data[9 : data.index(b'"', 9)]
    if data == DONE:
        return DONE
    return _typed(data).type.encode()


def failure_of(data: bytes) -> str:
    """What an event says that ends a Response badly, in a line."""
    refusal = reason_of(data)
    try:
        response = response_event(data).response
    except msgspec.DecodeError:
        return refusal
    if response.error is not None and response.error.message:
        return response.error.message
    if response.incomplete_details is not None:
        return response.incomplete_details.reason
    return refusal


def reason_of(body: bytes) -> str:
    """Why a server refuses, in a line: the message of its error, or the beginning of what it says."""
    try:
        refusal = _refusal(body)
    except msgspec.DecodeError:
        refusal = _Refusal()
    if isinstance(refusal.error, ErrorBody) and refusal.error.message:
        return refusal.error.message
    if isinstance(refusal.error, str) and refusal.error:
        return refusal.error
    return refusal.message or " ".join(body.decode(errors="replace").split())[:300] or "nothing"
