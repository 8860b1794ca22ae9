"""What a client is refused with before the application sees its request, and what an operator did wrong."""

from __future__ import annotations

from ...protocol.errors import InvalidRequest


class AccessSettingsError(Exception):
    """The server can't start with these settings. The message is one line for the operator."""


class MalformedRequest(InvalidRequest):
    """What came is not HTTP/1.1."""

    code = "malformed_request"


class InvalidApiKey(InvalidRequest):
    """No API key, or none of this server's. Send ``Authorization: Bearer KEY``."""

    code = "invalid_api_key"
    status = 401


class OriginNotAllowed(InvalidRequest):
    """A page of another origin sent it. The operator allows origins by name."""

    code = "origin_not_allowed"
    status = 403


class HostNotAllowed(InvalidRequest):
    """The server has no keys, and was asked for by a name that isn't a loopback one."""

    code = "host_not_allowed"
    status = 403


class UnsupportedMediaType(InvalidRequest):
    """The body is not said to be JSON."""

    code = "unsupported_media_type"
    status = 415


class RateLimitExceeded(InvalidRequest):
    """This credential has as many requests in flight as it may. Try again when one has ended."""

    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    status = 429


class HeadersTooLarge(InvalidRequest):
    """The request line and headers have more bytes than allowed."""

    code = "headers_too_large"
    status = 431
