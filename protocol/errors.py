"""Every error that can reach a peer, in one tree. Each has a wire code and says what its reader can do about it.

::

    CaesuraError
    ├── InvalidRequest                  the peer's message can't be carried out; 4xx
    │   ├── InvalidJson                 invalid_json
    │   ├── BinaryFrame                 binary_frame
    │   ├── UnknownMessageType          unknown_message_type
    │   ├── InvalidValue                invalid_value
    │   ├── MissingParameter            missing_required_parameter
    │   ├── InvalidToolSchema           invalid_tool_schema
    │   ├── ModelNotFound               model_not_found
    │   ├── PreviousResponseNotFound    previous_response_not_found
    │   ├── ContextLengthExceeded       context_length_exceeded
    │   ├── UnknownCallId               unknown_call_id
    │   ├── ConflictingOutput           conflicting_output
    │   ├── NothingToAppendTo           response_not_found
    │   ├── ResponseNotPaused           response_not_paused
    │   ├── ResponseAlreadyEnded        response_already_completed
    │   ├── InvalidStreamId             invalid_stream_id
    │   └── StreamLimitReached          websocket_stream_limit_reached
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


class ContextLengthExceeded(InvalidRequest):
    """It doesn't fit the model's context. A paused Response stays paused."""

    code = "context_length_exceeded"


class UnknownCallId(InvalidRequest):
    """An output for a call that nobody waits for."""

    code = "unknown_call_id"


class ConflictingOutput(InvalidRequest):
    """A second, different output for a call that is answered. The first one stands."""

    code = "conflicting_output"
    status = 409


class NothingToAppendTo(InvalidRequest):
    """An append, but no Response of this connection that could take it."""

    code = "response_not_found"
    status = 404


class ResponseNotPaused(InvalidRequest):
    """An append while the model still samples. Wait for ``response.done``."""

    code = "response_not_paused"
    status = 409


class ResponseAlreadyEnded(InvalidRequest):
    """An append to a Response that has ended. Begin a new one."""

    code = "response_already_completed"
    status = 409


class InvalidStreamId(InvalidRequest):
    """A lane's name that is not 1 to 256 of ``[A-Za-z0-9_.-]``."""

    code = "invalid_stream_id"


class StreamLimitReached(InvalidRequest):
    """Too many different lanes on one connection."""

    code = "websocket_stream_limit_reached"


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
