"""Events as server-sent events (WHATWG HTML, 9.2), as the Responses API writes them."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Message

from . import frames
from .exchange import Exchange

KEEP_ALIVE_SECONDS = 15.0
"""How long nothing may come before a comment says that the connection lives: a long prompt can take that long, and
proxies give up after a minute."""

_KEEP_ALIVE = b": keep-alive\n\n"
_DONE = b"data: [DONE]\n\n"

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold the events back
}


def encoded(frame: str) -> bytes:
    """An event's frame as a server-sent event. JSON text has no line breaks."""
    return f"event: {frames.type_of(frame)}\ndata: {frame}\n\n".encode()


async def send_events(
    line: Exchange, first: str | None, headers: Mapping[str, str], keep_alive: float = KEEP_ALIVE_SECONDS
) -> None:
    """Answer with ``first`` and the events that follow it, up to the last one of the Response; with None, there are
    none. Each event is one message, and so one chunk: there are readers that lose an event that comes in two pieces.

    :raises ClientGone: the client did not stay.
    """
    raw = [(name.encode(), value.encode()) for name, value in {**_HEADERS, **headers}.items()]
    await line.send({"type": "http.response.start", "status": 200, "headers": raw})
    frame = first
    while first is not None:
        if frame is None:
            await line.send(_chunk(_KEEP_ALIVE))
        else:
            kind = frames.type_of(frame)
            if kind == frames.DETACHED:  # another request streams it now: this stream has no end to tell
                await line.send({"type": "http.response.body", "body": b""})
                return
            if kind != frames.RESUMED:
                await line.send(_chunk(encoded(frame)))
            if kind in frames.ENDS:
                break
        frame = await line.next_frame(keep_alive)
    await line.send({"type": "http.response.body", "body": _DONE})


def _chunk(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}
