"""The server's end of a connection: frames in, requests out; events in, frames out.

Drive it so: :meth:`ServerConnection.receive` with each frame, then :meth:`~ServerConnection.next_request` until it
gives None, then send what :meth:`~ServerConnection.data_to_send` gives. Answer each request with the method that it
names. Nothing a client sends raises here: what can't be carried out becomes an ``error`` frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from .codec import decode_client_message, encode
from .errors import (
    CaesuraError,
    InvalidRequest,
    LocalProtocolViolation,
    NothingToAppendTo,
    Overloaded,
    ProtocolViolation,
)
from .items import FunctionCallOutput, InputItem, parse_input
from .lanes import MAX_WAITING, Lane, Lanes
from .messages import ErrorBody, ErrorEvent, ResponseAppend, ResponseCreate, ResponseEvent
from .response import ResponseMachine
from .state import Stimulus


@dataclass(frozen=True, slots=True)
class CreateRequested:
    """A create whose turn has come. Answer with :meth:`ServerConnection.accept` or :meth:`ServerConnection.reject`."""

    response: ResponseMachine
    request: ResponseCreate
    input: Sequence[InputItem]
    received_at: float


@dataclass(frozen=True, slots=True)
class AppendRequested:
    """An append that the state table allows. Answer with :meth:`ServerConnection.accept` or
    :meth:`ServerConnection.reject`; until then the Response has not changed."""

    response: ResponseMachine
    items: Sequence[InputItem]
    resumes: bool
    """Whether it answers the last open call."""
    received_at: float


@dataclass(frozen=True, slots=True)
class ResponseCancelled:
    """The client has given this Response up. Needs no answer; what it holds can be released."""

    response: ResponseMachine


Request = CreateRequested | AppendRequested | ResponseCancelled


@dataclass(slots=True, eq=False)
class ServerConnection:
    """One client's connection, with all its Responses.

    :ivar num_errors: errors sent so far; numbers the next one.
    """

    num_errors: int = 0
    _lanes: Lanes = field(default_factory=Lanes)
    _creates: dict[ResponseMachine, CreateRequested] = field(default_factory=dict)
    _ended: dict[str, ResponseMachine] = field(default_factory=dict)
    _requests: deque[Request] = field(default_factory=deque)
    _frames: list[str] = field(default_factory=list)

    # --- in -------------------------------------------------------------------------------------------------------

    def receive(self, data: str | bytes, now: float) -> None:
        """Take in one frame: text, or bytes for a binary one. ``now`` is Unix time in seconds. Never raises."""
        stream_id = None
        try:
            message = decode_client_message(data)
            stream_id = message.stream_id
            match message:
                case ResponseCreate():
                    self._create(message, now)
                case ResponseAppend():
                    self._append(message, now)
        except CaesuraError as error:
            self._error(error, stream_id)

    def next_request(self) -> Request | None:
        """What the server has to do next, in order of arrival; None if there is nothing."""
        return self._requests.popleft() if self._requests else None

    def close(self) -> list[ResponseMachine]:
        """The connection is gone: every Response that had not ended, now cancelled."""
        lost = [response for response in self._lanes.responses() if not response.has_ended]
        for response in lost:
            response.advance(Stimulus.LOSE)
        self._requests.clear()
        self._creates.clear()
        return lost

    def _create(self, message: ResponseCreate, now: float) -> None:
        items = parse_input(message.input)
        lane = self._lanes.open(message.stream_id)
        if len(lane.waiting) >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} creates wait on this lane already. Wait for one to end.")
        response = ResponseMachine(stream_id=message.stream_id)
        response.advance(Stimulus.CREATE)
        self._creates[response] = CreateRequested(response, message, items, now)
        lane.waiting.append(response)
        self._turn(lane)

    def _turn(self, lane: Lane) -> None:
        """Hand out the lane's next create if nothing runs there. A paused Response doesn't hold the lane: its client
        asks for another one instead of answering."""
        current = lane.current
        if lane.waiting and (current is None or current.has_ended or current.is_paused):
            create = self._creates.pop(lane.waiting[0], None)
            if create is not None:
                self._requests.append(create)

    def _append(self, message: ResponseAppend, now: float) -> None:
        items = parse_input(message.input)
        response = self._target(items, message.stream_id)
        stimulus = response.check_append(items)
        self._requests.append(AppendRequested(response, items, stimulus is Stimulus.APPEND_LAST, now))

    def _target(self, items: Sequence[InputItem], stream_id: str | None) -> ResponseMachine:
        """The Response that an append is for: the one whose calls it answers, else the lane's."""
        call_ids = {item.call_id for item in items if isinstance(item, FunctionCallOutput)}
        candidates = [*self._lanes.responses(), *self._ended.values()]
        for response in candidates:
            if not call_ids.isdisjoint(response.pending_calls.keys() | response.outputs.keys()):
                return response
        lane = self._lanes.find(stream_id)
        if lane is None or lane.current is None:
            raise NothingToAppendTo(
                "No Response of this connection waits for an append. Begin one with response.create.", param="input"
            )
        return lane.current

    # --- out ------------------------------------------------------------------------------------------------------

    def data_to_send(self) -> list[str]:
        """Text frames to send now, in order."""
        frames, self._frames = self._frames, []
        return frames

    def accept(self, request: CreateRequested | AppendRequested) -> None:
        """Carry it out. After a create, :meth:`emit` its ``response.created``; a Response that was paused on the
        same lane is cancelled (a :class:`ResponseCancelled` request follows). An append changes its Response now.

        :raises LocalProtocolViolation: it was answered before, or something else has ended its Response meanwhile.
        """
        match request:
            case CreateRequested(response=response):
                lane = self._lane_of(response)
                if not lane.waiting or lane.waiting[0] is not response:
                    raise LocalProtocolViolation("This create has been answered already.")
                lane.waiting.popleft()
                superseded = self.supersede(request)
                if superseded is not None:
                    self._requests.append(ResponseCancelled(superseded))
                lane.current = response
            case AppendRequested(response=response, items=items):
                try:
                    response.apply_append(items)
                except (InvalidRequest, ProtocolViolation) as error:
                    raise LocalProtocolViolation(str(error)) from error

    def supersede(self, request: CreateRequested) -> ResponseMachine | None:
        """Cancel the Response that still holds the lane of this create, and give it; None if there is none. Part of
        :meth:`accept`; a server calls it on its own to get room for the new Response."""
        lane = self._lane_of(request.response)
        current = lane.current
        if current is None or current.has_ended:
            return None
        current.advance(Stimulus.SUPERSEDE)
        self._remember(current)
        return current

    def reject(self, request: CreateRequested | AppendRequested, error: CaesuraError) -> None:
        """Answer with an ``error`` event. A create is forgotten; an append leaves its Response as it was."""
        if isinstance(request, CreateRequested):
            request.response.advance(Stimulus.REJECT)
            lane = self._lane_of(request.response)
            lane.waiting.remove(request.response)
            self._error(error, request.response.stream_id)
            self._turn(lane)
        else:
            outputs = [item.call_id for item in request.items if isinstance(item, FunctionCallOutput)]
            refused = [call_id for call_id in outputs if call_id in request.response.pending_calls]
            self._error(error, request.response.stream_id, refused)

    def emit(self, response: ResponseMachine, event: ResponseEvent) -> None:
        """Queue an event of a Response, with its next sequence number.

        :raises LocalProtocolViolation: the state table doesn't allow it now. Nothing is queued.
        """
        stamped = response.stamp(event)
        frame = encode(stamped)  # before anything changes, should it be impossible
        try:
            response.apply(stamped)
        except ProtocolViolation as error:
            raise LocalProtocolViolation(str(error)) from error
        self._frames.append(frame)
        if response.has_ended:
            self._remember(response)
        if response.has_ended or response.is_paused:
            self._turn(self._lane_of(response))

    def _lane_of(self, response: ResponseMachine) -> Lane:
        return self._lanes.open(response.stream_id)

    def _remember(self, response: ResponseMachine) -> None:
        """Keep a few ended Responses, so that a late append is told so rather than that its call is unknown."""
        self._ended[response.id or ""] = response
        while len(self._ended) > MAX_WAITING:
            self._ended.pop(next(iter(self._ended)))

    def _error(self, error: CaesuraError, stream_id: str | None, refused: Sequence[str] | None = None) -> None:
        lane = self._lanes.find(stream_id)
        event = ErrorEvent(
            sequence_number=self.num_errors,
            stream_id=msgspec.UNSET if lane is None or lane.stream_id is None else lane.stream_id,
            status=error.status,
            error=ErrorBody(type=error.type, code=error.code, message=error.message, param=error.param),
            refused_call_ids=msgspec.UNSET if refused is None else refused,
        )
        self.num_errors += 1
        self._frames.append(encode(event))
