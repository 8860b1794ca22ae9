"""Parameters in paths and queries. All there is of them is text that a client wrote."""

from __future__ import annotations

import re

from starlette.requests import Request

from ...protocol.errors import InvalidValue

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def response_id_of(request: Request) -> str:
    """:raises InvalidValue: it can't be an id."""
    value = str(request.path_params["response_id"])
    if _ID.fullmatch(value) is None:
        raise InvalidValue("A Response's id is 1 to 128 of A-Z a-z 0-9 _ -", param="response_id")
    return value


def boolean(request: Request, name: str) -> bool:
    """A flag, false if it is not there.

    :raises InvalidValue: it is neither true nor false.
    """
    value = request.query_params.get(name, "false").lower()
    if value not in _BOOLEANS:
        raise InvalidValue(f"'{name}' must be true or false.", param=name)
    return _BOOLEANS[value]


def integer(request: Request, name: str, default: int, low: int, high: int) -> int:
    """:raises InvalidValue: it is no number from ``low`` to ``high``."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if _INTEGER.fullmatch(value) is None or not low <= int(value) <= high:
        raise InvalidValue(f"'{name}' must be an integer from {low} to {high}.", param=name)
    return int(value)
