"""A server core that a test drives by hand, and raw peers that say what they like to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from caesura.protocol.errors import CaesuraError
from caesura.protocol.events import (
    OutputItemAdded,
    OutputItemDone,
    ResponseCancelled,
    ResponseCompleted,
    ResponseCreated,
    ResponseEvent,
    ResponseFailed,
    ResponseIncomplete,
)
from caesura.protocol.items import FunctionCall, OutputMessage, OutputText
from caesura.protocol.limits import Limits
from caesura.protocol.resource import Response
from caesura.protocol.server import AppendRequested, CreateRequested, EndRequested, ServerProtocol, ServerResponse

R = TypeVar("R", CreateRequested, AppendRequested, EndRequested)
Json = dict[str, Any]
ENDS: dict[str, Callable[..., ResponseEvent]] = {
    "completed": ResponseCompleted,
    "failed": ResponseFailed,
    "incomplete": ResponseIncomplete,
    "cancelled": ResponseCancelled,
}


class Server:
    """Its clock stands at ``now``. What it is asked for is done only when the test does it."""

    def __init__(self, **limits: Any) -> None:
        self.core = ServerProtocol(Limits(**limits))
        self.now = 1_000.0
        self._num = 0

    def connect(self, credential: str = "") -> Peer:
        return Peer(self, credential)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.core.advance_time(self.now)

    def request(self, kind: type[R]) -> R:
        """The next thing that the core asks for: it must be of this kind."""
        request = self.core.next_request()
        assert isinstance(request, kind), request
        return request

    def is_idle(self) -> bool:
        return self.core.next_request() is None

    def begin(self, request: CreateRequested | None = None) -> ServerResponse:
        """Accept a create, the next one unless given, and send ``response.created``."""
        request = request or self.request(CreateRequested)
        predecessor = self.core.predecessor(request)
        if predecessor is not None:
            self.end(predecessor, "cancelled", "superseded")
        self.core.accept(request, self.now)
        self._num += 1
        self.emit(request.response, ResponseCreated(response=resource(f"resp_{self._num}")))
        return request.response

    def emit(self, response: ServerResponse, *events: ResponseEvent) -> None:
        for event in events:
            self.core.emit(response, event, self.now)

    def say(self, response: ServerResponse, text: str = "hello") -> None:
        """The model writes a message."""
        index = len(response.items)
        item = OutputMessage(id=f"msg_{index}", status="in_progress")
        done = OutputMessage(id=f"msg_{index}", status="completed", content=[OutputText(text)])
        self.emit(
            response, OutputItemAdded(output_index=index, item=item), OutputItemDone(output_index=index, item=done)
        )

    def call(self, response: ServerResponse, *call_ids: str) -> None:
        """The model calls a tool, as often as there are ids."""
        for call_id in call_ids:
            self.emit(response, OutputItemDone(output_index=len(response.items), item=call(call_id)))

    def pause(self, response: ServerResponse, *call_ids: str) -> None:
        """The model calls, and stops."""
        self.call(response, *call_ids)
        self.emit(response, response.pause())

    def end(self, response: ServerResponse, status: str = "completed", reason: str | None = None) -> None:
        self._num += 1
        details = {"reason": reason} if reason else None
        final = resource(response.id or f"resp_{self._num}", status, output=response.output, incomplete_details=details)
        self.emit(response, ENDS[status](response=final))

    def end_as_asked(self) -> EndRequested:
        request = self.request(EndRequested)
        self.end(request.response, request.status, request.reason)
        return request

    def accept(self) -> AppendRequested:
        request = self.request(AppendRequested)
        self.core.accept(request, self.now)
        return request

    def reject(self, request: CreateRequested | AppendRequested, error: CaesuraError) -> None:
        self.core.reject(request, error, self.now)


class Peer:
    """A client without a core: every frame is up to the test."""

    def __init__(self, server: Server, credential: str = "") -> None:
        self.server = server
        self.connection = server.core.connect(server.now, credential=credential)

    def send(self, kind: str, **fields: Any) -> None:
        self.send_raw(json.dumps({"type": kind, **fields}))

    def send_raw(self, frame: str | bytes) -> None:
        self.connection.receive(frame, self.server.now)

    def read(self) -> list[Json]:
        """All that has come."""
        frames = []
        while (frame := self.connection.next_frame()) is not None:
            frames.append(json.loads(frame))
        return frames

    def types(self) -> list[str]:
        """The types of all that has come."""
        return [event["type"] for event in self.read()]

    def error(self) -> Json:
        """What has come must be one error."""
        (event,) = self.read()
        assert event["type"] == "error"
        return event

    def code(self) -> str:
        """Its code."""
        return str(self.error()["error"]["code"])

    def create(self, **fields: Any) -> ServerResponse:
        """Ask for a Response and get it. Nothing is left to read."""
        self.send("response.create", model="m", input="hi", **fields)
        response = self.server.begin()
        self.read()
        return response

    def paused(self, *call_ids: str, **fields: Any) -> ServerResponse:
        """Ask for a Response that calls and pauses. Nothing is left to read."""
        response = self.create(**fields)
        self.server.pause(response, *(call_ids or ("a",)))
        self.read()
        return response

    def append(self, *items: Json, **fields: Any) -> None:
        self.send("response.append", input=list(items), **fields)

    def lose(self) -> None:
        self.connection.lost(self.server.now)


def resource(response_id: str, status: str = "in_progress", **fields: Any) -> Response:
    return Response(id=response_id, created_at=0, status=status, model="m", **fields)


def call(call_id: str, status: str = "completed") -> FunctionCall:
    return FunctionCall(id=f"fc_{call_id}", call_id=call_id, name="f", arguments="{}", status=status)


def output(call_id: str, text: Any = "ok", **fields: Any) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": text, **fields}


def message(text: str = "and hurry", role: str = "user") -> Json:
    return {"type": "message", "role": role, "content": text}
