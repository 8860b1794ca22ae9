"""Text frames to messages and back. One encoder and one decoder a direction, made once and used for everything."""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

from .errors import BinaryFrame, InvalidJson, InvalidValue, RemoteProtocolViolation, UnknownMessageType
from .messages import ClientMessage, ServerEvent

_encoder = msgspec.json.Encoder()
_client_messages = msgspec.json.Decoder(ClientMessage)
_server_events = msgspec.json.Decoder(ServerEvent)
_types = msgspec.json.Decoder(dict[str, msgspec.Raw])

_CLIENT_TYPES = ("response.create", "response.append")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)


def encode(message: ClientMessage | ServerEvent) -> str:
    """A message as the text of one WebSocket frame. Lone surrogates can't be encoded: the struct must hold none."""
    return _encoder.encode(message).decode()


def decode_client_message(data: str | bytes) -> ClientMessage:
    """Read a frame that a client sent. Bytes mean a binary frame.

    :raises BinaryFrame: it is one.
    :raises InvalidJson: it is not a JSON object, or nested too deeply to read.
    :raises UnknownMessageType: ``type`` is missing or none of ours.
    :raises InvalidValue: a field has the wrong type; ``param`` is its path.
    """
    if isinstance(data, bytes):
        raise BinaryFrame("Binary frames carry no message here. Send each message as a text frame of JSON.")
    try:
        message: ClientMessage = _client_messages.decode(data)
    except msgspec.ValidationError as error:
        _explain(data, error)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        hint = " An escape from \\ud800 to \\udfff must be half of a pair." if _SURROGATE.search(data) else ""
        raise InvalidJson(f"The frame is not valid JSON: {error}.{hint}") from error
    return message


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
    found = _PATH.match(str(error))
    what, path = (found["what"], found["path"]) if found else (str(error), None)
    try:
        fields = _types.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidJson(f"A message is a JSON object with a 'type'. {what}.") from error
    kind = bytes(fields["type"]).decode() if "type" in fields else None
    if kind not in {f'"{name}"' for name in _CLIENT_TYPES}:
        expected = " or ".join(_CLIENT_TYPES)
        raise UnknownMessageType(f"'type' is {(kind or 'missing')[:80]}; expected {expected}.", param="type") from error
    raise InvalidValue(f"{what}{f' in {path!r}' if path else ''}.", param=path) from error
