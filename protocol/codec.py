"""Text frames to messages and back. One encoder and one decoder a direction, made once and used for everything."""

from __future__ import annotations

import itertools
import re
from array import array
from typing import NoReturn

import msgspec

from .errors import (
    BinaryFrame,
    InvalidJson,
    InvalidValue,
    MessageTooDeep,
    MessageTooLarge,
    RemoteProtocolViolation,
    UnknownMessageType,
)
from .events import ServerEvent, WebsocketTiming
from .limits import DEFAULT_LIMITS, Limits
from .messages import ClientMessage, ResponseCreate

_encoder = msgspec.json.Encoder()
_client_messages = msgspec.json.Decoder(ClientMessage)
_creates = msgspec.json.Decoder(ResponseCreate)
_server_events = msgspec.json.Decoder(ServerEvent)
_types = msgspec.json.Decoder(dict[str, msgspec.Raw])

_CLIENT_TYPES = ("response.create", "response.append", "response.cancel", "response.resume")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_STEPS = bytes.maketrans(b"[{]}", b"\1\1\xff\xff")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)


def encode(message: ClientMessage | ServerEvent | WebsocketTiming) -> str:
    """A message as the text of one WebSocket frame. Lone surrogates can't be encoded: the struct must hold none."""
    return _encoder.encode(message).decode()


def decode_client_message(data: str | bytes, limits: Limits = DEFAULT_LIMITS) -> ClientMessage:
    """Read a frame that a client sent. Bytes mean a binary frame.

    :raises BinaryFrame: it is one.
    :raises MessageTooLarge, MessageTooDeep: it exceeds a bound.
    :raises InvalidJson: it is not a JSON object.
    :raises UnknownMessageType: ``type`` is missing or none of ours.
    :raises InvalidValue: a field has the wrong type; ``param`` is its path.
    """
    if isinstance(data, bytes):
        raise BinaryFrame("Binary frames carry no message here. Send each message as a text frame of JSON.")
    check_size(data, limits.max_message_bytes)
    try:
        _check_depth(data, limits.max_depth)
        message: ClientMessage = _client_messages.decode(data)
    except RecursionError as error:
        raise _too_deep(limits.max_depth) from error
    except msgspec.ValidationError as error:
        _explain(data, error)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _not_json("frame", data, error) from error
    return message


def decode_create(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ResponseCreate:
    """Read the body of an HTTP request: a create, which needs no ``type`` there.

    :raises MessageTooLarge, MessageTooDeep: it exceeds a bound.
    :raises InvalidJson: it is not a JSON object.
    :raises InvalidValue: a field has the wrong type; ``param`` is its path.
    """
    if len(data) > limits.max_message_bytes:
        raise _too_large(limits.max_message_bytes)
    try:
        _check_depth(data, limits.max_depth)
        return _creates.decode(data)
    except RecursionError as error:
        raise _too_deep(limits.max_depth) from error
    except msgspec.ValidationError as error:
        what, path = _what_and_where(error)
        if not path:
            raise InvalidJson(f"The body must be a JSON object. {what}.") from error
        raise _invalid_value(what, path) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _not_json("body", data, error) from error


def lane_of(data: str | bytes) -> str | None:
    """The ``stream_id`` of a message that could not be read otherwise, as far as that is possible."""
    name = _field(data, "stream_id")
    return name if isinstance(name, str) else None


def sequence_number_of(data: str | bytes) -> int | None:
    """The ``sequence_number`` of an event that could not be read otherwise."""
    number = _field(data, "sequence_number")
    return number if isinstance(number, int) else None


def _field(data: str | bytes, name: str) -> object:
    try:
        raw = _types.decode(data).get(name)
        return None if raw is None else msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def check_size(data: str, bound: int) -> None:
    """:raises MessageTooLarge: it has more than ``bound`` bytes as UTF-8."""
    # A character has 1 to 4 bytes; short messages need not be encoded to know.
    if 4 * len(data) > bound and (len(data) > bound or len(data.encode("utf-8", "surrogatepass")) > bound):
        raise _too_large(bound)


def _too_large(bound: int) -> MessageTooLarge:
    return MessageTooLarge(f"The message has more than {bound} bytes. Send less at once.")


def _check_depth(data: str | bytes, bound: int) -> None:
    """The running sum over the brackets alone, each 1 or -1. It is linear in the message; taking off one level of
    brackets after the other is not, and takes ten seconds for a message that is made for it."""
    if isinstance(data, str):
        if data.count("[") + data.count("{") <= bound:
            return
        data = data.encode("utf-8", "surrogatepass")
    elif data.count(b"[") + data.count(b"{") <= bound:
        return
    outside_strings = _STRING.sub(b"", data)
    steps = array("b", outside_strings.translate(_STEPS, _NOT_BRACKETS))
    if max(itertools.accumulate(steps), default=0) > bound:
        raise _too_deep(bound)


def _too_deep(bound: int) -> MessageTooDeep:
    return MessageTooDeep(f"The message is nested more than {bound} levels deep.")


def decode_server_event(data: str | bytes) -> ServerEvent | None:
    """Read a frame that a server sent; None for an event type that this side doesn't know (newer servers may send
    some, and clients of this protocol pass over them).

    :raises RemoteProtocolViolation: it is no JSON text frame, or a known event with fields that don't fit.
    """
    if isinstance(data, bytes):
        raise RemoteProtocolViolation("The server sent a binary frame; this protocol has none.")
    try:
        event: ServerEvent = _server_events.decode(data)
    except msgspec.ValidationError as error:
        if "Invalid value" in str(error) and str(error).endswith("`$.type`"):
            return None
        raise RemoteProtocolViolation(f"The server sent an event that can't be read: {error}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RemoteProtocolViolation(f"The server sent a frame that is not JSON: {error}") from error
    return event


def _explain(data: str, error: msgspec.ValidationError) -> NoReturn:
    """Turn msgspec's message into the error that the sender needs. Only the failing path costs a second decode."""
    what, path = _what_and_where(error)
    try:
        fields = _types.decode(data)
    except (msgspec.DecodeError, UnicodeError):
        raise InvalidJson(f"A message is a JSON object with a 'type'. {what}.") from error
    kind = bytes(fields["type"]).decode() if "type" in fields else None
    if kind not in {f'"{name}"' for name in _CLIENT_TYPES}:
        expected = " or ".join(_CLIENT_TYPES)
        raise UnknownMessageType(f"'type' is {(kind or 'missing')[:80]}; expected {expected}.", param="type") from error
    raise _invalid_value(what, path) from error


def _what_and_where(error: msgspec.ValidationError) -> tuple[str, str | None]:
    found = _PATH.match(str(error))
    return (found["what"], found["path"]) if found else (str(error), None)


def _invalid_value(what: str, path: str | None) -> InvalidValue:
    return InvalidValue(f"{what}{f' in {path!r}' if path else ''}.", param=path)


def _not_json(what: str, data: str | bytes, error: Exception) -> InvalidJson:
    text = data if isinstance(data, str) else data.decode(errors="replace")
    hint = " An escape from \\ud800 to \\udfff must be half of a pair." if _SURROGATE.search(text) else ""
    return InvalidJson(f"The {what} is not valid JSON: {error}.{hint}")
