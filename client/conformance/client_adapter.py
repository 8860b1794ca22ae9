"""This project's client as the conformance suite runs it: ``python -m caesura.client.conformance.client_adapter URL``.

It keeps to ``client_contract``, with nothing but what the client library does by default.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from uuid import uuid4

from .. import ClientError, connect
from .client_contract import MAX_RECONNECTS, MODEL, URL

DEFAULT_RECONNECTS = 8


def echo(text: str) -> str:
    """Return the text."""
    return text


def nonce() -> str:
    """Return a text that is another one each time."""
    return uuid4().hex


async def sleep(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return f"slept {seconds:g} s"


async def run(url: str) -> int:
    """One rollout; the exit status."""
    model = os.environ.get(MODEL)
    most = int(os.environ.get(MAX_RECONNECTS, DEFAULT_RECONNECTS))
    async with connect(url, max_reconnects=most) as client:
        async with client.stream(model=model, input="Run the script.", tools=[echo, nonce, sleep]) as stream:
            try:
                async for event in stream:
                    number = getattr(event, "sequence_number", None)
                    if number is not None:
                        kind = type(event).__struct_config__.tag  # type: ignore[union-attr]
                        _tell({"event": kind, "sequence_number": number})
            except ClientError as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
            result = stream.result
        _tell({"status": result.status, "text": result.output_text})
    return 0 if result.status == "completed" else 1


def _tell(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else os.environ[URL])))
