"""Errors that only requests about stored Responses have."""

from __future__ import annotations

from ...protocol.errors import InvalidRequest


class ResponseInProgress(InvalidRequest):
    """What is asked for can't be had while the Response is carried out. Wait for its end, or cancel it."""

    code = "response_in_progress"
    status = 409
