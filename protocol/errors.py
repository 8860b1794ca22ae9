"""Every error that can reach a peer, in one tree. Each has a wire code and says what its reader can do about it.

::

    CaesuraError
    ├── InvalidRequest                  the peer's message can't be carried out; 4xx
    │   ├── InvalidJson                 invalid_json
    │   ├── BinaryFrame                 binary_frame
    │   ├── UnknownMessageType          unknown_message_type
    │   ├── InvalidValue                invalid_value
    │   ├── MissingParameter            missing_required_parameter
    │   ├── Unsupported                 unsupported
    │   ├── UnsupportedContent          unsupported_content
    │   ├── InvalidToolSchema           invalid_tool_schema
    │   ├── ModelNotFound               model_not_found
    │   ├── PreviousResponseNotFound    previous_response_not_found
    │   ├── ItemNotFound                item_not_found
    │   ├── GuardStopped                blocked_by_guard
    │   ├── ContextLengthExceeded       context_length_exceeded
    │   ├── ToolCallNotFound            tool_call_not_found
    │   ├── ToolCallAlreadyAnswered     tool_call_already_answered
    │   ├── ResponseNotFound            response_not_found
    │   ├── ResponseDetached            response_detached
    │   ├── ResponseNotPaused           response_not_paused
    │   ├── ResponseAlreadyEnded        response_already_completed
    │   ├── EventsLost                  events_lost
    │   ├── StreamBusy                  stream_busy
    │   ├── InvalidStreamId             invalid_stream_id
    │   ├── StreamLimitReached          websocket_stream_limit_reached
    │   ├── MessageTooLarge             message_too_large
    │   ├── MessageTooDeep              message_too_deep
    │   ├── TooManyItems                too_many_items
    │   ├── ConnectionResponseLimitReached    connection_response_limit_reached
    │   ├── CredentialResponseLimitReached    credential_response_limit_reached
    │   ├── ConnectionLimitReached      websocket_connection_limit_reached; the connection is too old
    │   └── SlowReader                  slow_reader
    ├── Overloaded                      server_overloaded; 503, the same request may succeed later
    ├── ServerFault                     server_error; 500, a bug or a broken model on our side
    └── ProtocolViolation               a message that the state table doesn't allow
        ├── LocalProtocolViolation      you tried to send it
        └── RemoteProtocolViolation     the peer sent it

Codes that OpenAI's WebSocket mode has too carry the same meaning here (wire facts: ``previous_response_not_found``,
``invalid_stream_id``, ``websocket_stream_limit_reached``, ``response_already_completed``, ``response_not_found``).
"""

from __future__ import annotations

from typing import ClassVar


class CaesuraError(Exception):
    """Root of the tree.

    :param message: what went wrong and what the reader can do, in a sentence or two.
    :param param: the offending field, as a path such as ``input[2].call_id``.
    """

    code: ClassVar[str] = "server_error"
    type: ClassVar[str] = "server_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidRequest(CaesuraError):
    """The peer's message can't be carried out as it is. The connection and its Responses live on."""

    code = "invalid_request"
    type = "invalid_request_error"
    status = 400


class InvalidJson(InvalidRequest):
    """The frame is no JSON object."""

    code = "invalid_json"


class BinaryFrame(InvalidRequest):
    """A binary frame; messages are text frames."""

    code = "binary_frame"


class UnknownMessageType(InvalidRequest):
    """``type`` is missing or no message of this protocol."""

    code = "unknown_message_type"


class InvalidValue(InvalidRequest):
    """A field has a value that can't be used; ``param`` names it."""

    code = "invalid_value"


class MissingParameter(InvalidRequest):
    """A field that must be there is not."""

    code = "missing_required_parameter"


class Unsupported(InvalidRequest):
    """Something of the Responses API that this server doesn't have, and that can't be left out unnoticed: a field, a
    tool's type, an item's type. Send the request without it."""

    code = "unsupported"


class UnsupportedContent(InvalidRequest):
    """An image, a file or sound for a model that reads text. Send text in its place."""

    code = "unsupported_content"


class InvalidToolSchema(InvalidRequest):
    """A tool that can't be offered to the model: no name, a name twice, or parameters that are no JSON schema or, if it
    is strict, one that can't be enforced."""

    code = "invalid_tool_schema"


class ModelNotFound(InvalidRequest):
    """The server has no model of that name."""

    code = "model_not_found"
    status = 404


class PreviousResponseNotFound(InvalidRequest):
    """No such Response is stored. Send the full input."""

    code = "previous_response_not_found"


class ItemNotFound(InvalidRequest):
    """No stored item has the id of an `item_reference`. Send the item itself."""

    code = "item_not_found"
    status = 404


class GuardStopped(InvalidRequest):
    """This server's operator doesn't let the input in; the message says why. A Response that it had begun, or that it
    went into, fails with this, and nothing that the model made of it is released."""

    code = "blocked_by_guard"
    status = 422


class ContextLengthExceeded(InvalidRequest):
    """It doesn't fit the model's context. A paused Response stays paused."""

    code = "context_length_exceeded"


class ToolCallNotFound(InvalidRequest):
    """An output for a call that the Response, or the input, does not have."""

    code = "tool_call_not_found"


class ToolCallAlreadyAnswered(InvalidRequest):
    """A second, different output for a call that is answered. The first one stands."""

    code = "tool_call_already_answered"
    status = 409


class ResponseNotFound(InvalidRequest):
    """No such Response here: never created, forgotten, or created with other credentials. Begin a new one."""

    code = "response_not_found"
    status = 404


class ResponseDetached(InvalidRequest):
    """The Response is not carried by this connection. Send `response.resume` first."""

    code = "response_detached"
    status = 409


class ResponseNotPaused(InvalidRequest):
    """An append that only a paused Response takes. Wait for `response.done`."""

    code = "response_not_paused"
    status = 409


class ResponseAlreadyEnded(InvalidRequest):
    """The Response has ended; the message says how. Begin a new one."""

    code = "response_already_completed"
    status = 409


class EventsLost(InvalidRequest):
    """The events after `starting_after` are not all kept any more. The error carries a `snapshot`: take it over, and
    resume after its `sequence_number`."""

    code = "events_lost"
    status = 409


class StreamBusy(InvalidRequest):
    """The lane of the Response carries another open one on this connection. Resume on another connection."""

    code = "stream_busy"
    status = 409


class InvalidStreamId(InvalidRequest):
    """A lane's name that is not 1 to 256 of ``[A-Za-z0-9_.-]``."""

    code = "invalid_stream_id"


class StreamLimitReached(InvalidRequest):
    """Too many different lanes on one connection."""

    code = "websocket_stream_limit_reached"


class MessageTooLarge(InvalidRequest):
    """The message has more bytes than allowed. Far larger ones close the connection."""

    code = "message_too_large"
    status = 413


class MessageTooDeep(InvalidRequest):
    """The message is nested more deeply than allowed."""

    code = "message_too_deep"


class TooManyItems(InvalidRequest):
    """The append has more items than allowed. Send several."""

    code = "too_many_items"


class ConnectionResponseLimitReached(InvalidRequest):
    """Too many open Responses on this connection. End one, or use another connection."""

    code = "connection_response_limit_reached"
    type = "rate_limit_error"
    status = 429


class CredentialResponseLimitReached(InvalidRequest):
    """Too many open Responses of this credential. End one; those that nobody is attached to count too."""

    code = "credential_response_limit_reached"
    type = "rate_limit_error"
    status = 429


class ConnectionLimitReached(InvalidRequest):
    """The connection has reached the end of its lifetime, and closes once nothing is being sampled on it. Open a new
    one and resume there."""

    code = "websocket_connection_limit_reached"


class SlowReader(InvalidRequest):
    """Too many events wait to be read. The connection closes; open a new one and resume there."""

    code = "slow_reader"
    status = 408


class Overloaded(CaesuraError):
    """No room now; nothing was begun. The same request may succeed later."""

    code = "server_overloaded"
    type = "server_error"
    status = 503


class ServerFault(CaesuraError):
    """Something broke on the server's side; the request was not at fault."""


class ProtocolViolation(CaesuraError):
    """A message that the state table has no entry for."""

    code = "protocol_violation"


class LocalProtocolViolation(ProtocolViolation):
    """This side tried to send a message that isn't allowed now. Nothing was sent and no state changed."""


class RemoteProtocolViolation(ProtocolViolation):
    """The peer sent a message that isn't allowed now. The connection can't be trusted further: close it."""
