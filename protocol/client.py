"""The client's end of a connection: requests in, frames out; frames in, events out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .codec import decode_server_event, encode
from .errors import LocalProtocolViolation, ProtocolViolation, RemoteProtocolViolation
from .items import FunctionCallOutput, InputMessage
from .lanes import Lane, Lanes
from .messages import ErrorEvent, ResponseAppend, ResponseCreate, ServerEvent
from .response import ResponseMachine
from .state import Stimulus


@dataclass(frozen=True, slots=True)
class Received:
    """An event, and the Response that it concerns: for an ``error`` the one on its lane, if any.

    ``rejected`` says that the error ended that Response before it began; otherwise it refused an append, whose calls
    are open again.
    """

    event: ServerEvent
    response: ResponseMachine | None
    rejected: bool = False


@dataclass(slots=True, eq=False)
class ClientConnection:
    """One connection to a server, with all its Responses."""

    _lanes: Lanes = field(default_factory=Lanes)
    _frames: list[str] = field(default_factory=list)

    def create(self, request: ResponseCreate) -> ResponseMachine:
        """Queue a create. On a lane that is busy its Response begins when those before it have ended.

        :raises InvalidStreamId, StreamLimitReached: its ``stream_id`` can't be used.
        """
        frame = encode(request)
        lane = self._lanes.open(request.stream_id)
        response = ResponseMachine(stream_id=request.stream_id)
        response.advance(Stimulus.CREATE)
        lane.waiting.append(response)
        self._frames.append(frame)
        return response

    def append(self, response: ResponseMachine, items: Sequence[FunctionCallOutput | InputMessage]) -> None:
        """Queue an append of these items.

        :raises LocalProtocolViolation, InvalidRequest: the Response takes no such append now. Nothing is queued.
        """
        frame = encode(ResponseAppend(input=list[Any](items), stream_id=response.stream_id))
        try:
            response.apply_append(items)
        except ProtocolViolation as error:
            raise LocalProtocolViolation(str(error)) from error
        self._frames.append(frame)

    def receive(self, data: str | bytes, now: float) -> list[Received]:
        """Take in one frame; ``now`` is Unix time in seconds. An event of a type that this side doesn't know gives
        nothing.

        :raises RemoteProtocolViolation: the server broke the protocol. Close the connection.
        """
        event = decode_server_event(data)
        if event is None:
            return []
        lane = self._lanes.find(None if event.stream_id is msgspec.UNSET else event.stream_id)
        if lane is None:
            raise RemoteProtocolViolation(f"The server sent an event on lane {event.stream_id!r}, which is not ours.")
        if isinstance(event, ErrorEvent):
            return [self._refused(event, lane)]
        if event.sequence_number == 0 and lane.waiting:
            if lane.current is not None and not lane.current.has_ended:
                lane.current.advance(Stimulus.SUPERSEDE)
            lane.current = lane.waiting.popleft()
        if lane.current is None:
            raise RemoteProtocolViolation("The server sent an event of a Response that was never asked for.")
        try:
            lane.current.apply(event)
        except ProtocolViolation as error:
            raise RemoteProtocolViolation(str(error)) from error
        return [Received(event, lane.current)]

    def _refused(self, event: ErrorEvent, lane: Lane) -> Received:
        """An error is about an append if it says so, else about the create that waits for its Response, if any."""
        if event.refused_call_ids is not msgspec.UNSET and lane.current is not None:
            try:
                lane.current.refuse_append(event.refused_call_ids)
            except ProtocolViolation as error:
                raise RemoteProtocolViolation(str(error)) from error
        elif lane.waiting:
            rejected = lane.waiting.popleft()
            rejected.advance(Stimulus.REJECT)
            return Received(event, rejected, rejected=True)
        return Received(event, lane.current)

    def data_to_send(self) -> list[str]:
        """Text frames to send now, in order."""
        frames, self._frames = self._frames, []
        return frames

    def close(self) -> list[ResponseMachine]:
        """The connection is gone: every Response that had not ended, now cancelled."""
        lost = [response for response in self._lanes.responses() if not response.has_ended]
        for response in lost:
            response.advance(Stimulus.LOSE)
        return lost
