"""Whether a function's ``parameters`` are a JSON schema.

Checking one takes a millisecond and more, every request of an agent brings the same twenty, and a request doesn't know
of the one before it. So a schema that was found good is remembered by its content.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from jsonschema import Draft202012Validator, SchemaError

from ..protocol.errors import InvalidToolSchema

MAX_REMEMBERED = 4096
"""Digests, some 100 bytes each. When it is reached all are forgotten, and the next ones are checked again."""

_good: set[bytes] = set()


def check_parameters(name: str, parameters: Any, at: str) -> None:
    """:raises InvalidToolSchema: they are no JSON schema of an object; ``at`` is where they stand in the request."""
    try:
        digest = hashlib.sha256(msgspec.json.encode(parameters)).digest()
        if digest not in _good:
            Draft202012Validator.check_schema(parameters)
    except SchemaError as error:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path)
        raise InvalidToolSchema(
            f"The parameters of {name!r} are no JSON schema: {error.message[:200]}", param=f"{at}{where}"
        ) from error
    except RecursionError as error:
        raise InvalidToolSchema(f"The parameters of {name!r} are nested too deeply.", param=at) from error
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise InvalidToolSchema(f"The parameters of {name!r} must be a schema of type 'object'.", param=at)
    if len(_good) >= MAX_REMEMBERED:
        _good.clear()
    _good.add(digest)
