"""A client of WebSocket mode that knows no more of the protocol than its JSON, on a session without a transport."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from caesura.protocol.modes import WEBSOCKET, Mode
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.session import Session

SECONDS = 20

ENDS = ("response.completed", "response.failed", "response.incomplete", "response.cancelled", "error")


TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
CALL = {"calls": [{"name": "look", "arguments": {"at": "here"}}]}
TWO_CALLS = {"calls": [{"name": "look", "arguments": {"at": "here"}}, {"name": "look", "arguments": {"at": "there"}}]}
KNOWN_EVENTS = {
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "error",
}
"""All that a client of this mode is sent."""


class Socket:
    """``events`` is all that came, in order."""

    def __init__(self, rollouts: Rollouts, mode: Mode = WEBSOCKET, credential: str = "") -> None:
        self.events: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._news = asyncio.Event()
        self._seen = 0
        self.session = Session(rollouts, self._frame, self._close, credential, mode)

    async def _frame(self, text: str) -> None:
        self.events.append(json.loads(text))
        self._news.set()

    async def _close(self, code: int, reason: str) -> None:
        self.closed = code, reason
        self._news.set()

    def send(self, **fields: Any) -> None:
        self.session.receive(json.dumps({"type": "response.create", "model": "test", **fields}))

    async def create(self, **fields: Any) -> dict[str, Any]:
        """Send a create, and wait for how it ends: the final Response, or the error event."""
        self.send(**fields)
        end = await self.end()
        return end if end["type"] == "error" else end["response"]

    async def end(self, stream_id: str | None = None) -> dict[str, Any]:
        """The next event that ends something and was not returned yet; of that lane, if one is named."""
        return await self.event(*ENDS, stream_id=stream_id)

    async def event(self, *kinds: str, stream_id: str | None = None) -> dict[str, Any]:
        """The next event of these kinds that was not returned yet."""
        async with asyncio.timeout(SECONDS):
            while True:
                for event in self.events:
                    if event["type"] in kinds and not event.get("_seen") and event.get("stream_id") == stream_id:
                        event["_seen"] = True
                        return event
                self._news.clear()
                await self._news.wait()

    async def lose(self) -> None:
        await self.session.disconnect()


def text_of(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


def calls_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in response["output"] if item["type"] == "function_call"]


def answer(call: dict[str, Any], output: str = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": output}
