"""The client's end of the protocol: all its Responses, across the connections that carry them.

Call :meth:`ClientProtocol.connected` when a transport opens and :meth:`~ClientProtocol.disconnected` when it is gone,
:meth:`~ClientProtocol.receive` with each frame, and send what :meth:`~ClientProtocol.next_frame` gives. On each new
connection every open Response is resumed after the last event that came, creates that were not answered are sent again,
and so are, after the replay, the appends that it did not account for: nothing is lost and nothing comes twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from .append_items import as_append
from .client_response import ClientLane, ClientResponse, Outcome, Received
from .codec import check_size, decode_server_event, encode, lane_of, sequence_number_of
from .errors import (
    ConnectionLimitReached,
    EventsLost,
    LocalProtocolViolation,
    ProtocolViolation,
    RemoteProtocolViolation,
    ResponseAlreadyEnded,
    ResponseNotFound,
    SlowReader,
    StreamBusy,
)
from .errors import ResponseDetached as DetachedError
from .events import (
    EndEvent,
    ErrorEvent,
    ResponseAppended,
    ResponseCancelled,
    ResponseCreated,
    ResponseDetached,
    ResponseEvent,
    ResponseResumed,
)
from .items import FunctionCallOutput, InputMessage
from .lanes import Lanes
from .limits import DEFAULT_LIMITS
from .messages import ClientMessage, ResponseCancel, ResponseCreate, ResponseResume
from .state import Stimulus

__all__ = ["ClientProtocol", "ClientResponse", "Outcome", "Received"]

_NOT_OF_A_CREATE = {error.code for error in (ResponseNotFound, ResponseAlreadyEnded, DetachedError, SlowReader)}
"""Errors that answer other messages."""


class ClientProtocol:
    """All Responses of a client."""

    def __init__(self) -> None:
        self._lanes: Lanes[ClientLane] = Lanes(ClientLane, DEFAULT_LIMITS.max_named_lanes)
        self._frames: deque[str] = deque()
        self._is_connected = False

    @property
    def open_responses(self) -> list[ClientResponse]:
        """Those that have not ended."""
        found = [[lane.current, *lane.waiting] for lane in self._lanes]
        return [each for responses in found for each in responses if each is not None and not each.has_ended]

    # --- what the user asks for -----------------------------------------------------------------------------------

    def create(self, request: ResponseCreate) -> ClientResponse:
        """Begin a Response. On a lane that is busy it begins when those before it have ended or are superseded.

        A create is sent when the one before it on its lane is answered: an error doesn't say which create it refuses.

        :raises InvalidStreamId, StreamLimitReached: its ``stream_id`` can't be used.
        """
        encode(request)  # what can't be written is the caller's error, now and not on some connection later
        lane = self._lanes.open(request.stream_id)
        response = ClientResponse(stream_id=request.stream_id, request=request)
        response.advance(Stimulus.CREATE)
        lane.waiting.append(response)
        if lane.waiting[0] is response and not lane.is_resuming:
            self._send(request)
        return response

    def resume(self, response_id: str, stream_id: str | None = None) -> ClientResponse:
        """Take over a Response that another connection or process began, from its first event.

        ``stream_id`` is its lane.

        :raises InvalidStreamId, StreamLimitReached: that can't be used.
        :raises LocalProtocolViolation: the lane carries an open Response of this client; or this connection has lost
            the one that is asked for, and only the next one can have it.
        """
        lane = self._lanes.open(stream_id)
        if lane.open is not None or lane.waiting:
            raise LocalProtocolViolation("The lane carries an open Response. Use another client.")
        if lane.current is not None and lane.current.is_lost and lane.current.id == response_id:
            raise LocalProtocolViolation("This connection has lost the Response. Resume it on the next one.")
        response = ClientResponse(stream_id=stream_id, request=None, id=response_id)
        response.advance(Stimulus.CREATE)
        lane.current = response
        self._send_resume(response)
        return response

    def append(self, response: ClientResponse, items: Sequence[FunctionCallOutput | InputMessage]) -> None:
        """Send outputs of open calls, and messages after them.

        :raises LocalProtocolViolation: a call is not open; or nothing is left to append to. Nothing is sent.
        :raises InvalidRequest: the items are not what an append takes, or too much for one message.
        """
        append = as_append(items)
        opened = {call.call_id for call in response.open_calls}
        closed = [call_id for call_id in append.call_ids if call_id not in opened]
        if response.has_ended or response.is_unborn or closed:
            which = f"call {closed[0]!r} is not open" if closed else "nothing can be appended"
            raise LocalProtocolViolation(f"Response {response.id} is {response.standing}: {which}.")
        if not append.outputs and not (response.is_paused and opened):
            raise LocalProtocolViolation(f"Response {response.id} is not paused: a message alone has to wait.")
        if not append.outputs and not all(each.outputs for each in response.under_way):
            raise LocalProtocolViolation("A message alone is under way: acknowledgements don't tell two of them apart.")
        check_size(encode(response.message(append)), DEFAULT_LIMITS.max_message_bytes)
        response.under_way.append(append)
        if not response.is_resending:
            self._send(response.message(append))

    def cancel(self, response: ClientResponse) -> None:
        """End a Response; ``response.cancelled`` comes if it has not ended by then."""
        if response.has_ended or response.is_cancel_wanted:
            return
        response.is_cancel_wanted = True
        if not response.is_resending:
            self._send_cancel(response)

    def give_up(self, response: ClientResponse) -> None:
        """Forget about it here, whatever becomes of it on the server. For when the connection is gone: what comes for
        it on one that is there would break that."""
        if not response.has_ended:
            self._lose(response)

    # --- connections ----------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """A transport is open, the first one or another one: queue what goes on where the last one left off."""
        self._is_connected = True
        self._frames.clear()
        for lane in self._lanes:
            lane.is_resuming = lane.is_busy = False
            if lane.current is not None and lane.current.is_lost:
                lane.current = None
            if lane.open is not None:
                self._send_resume(lane.open)
            for response in [each for each in lane.waiting if each.is_cancel_wanted]:
                self._lose(response)
            self._send_next_create(lane)

    def disconnected(self) -> None:
        """The transport is gone."""
        self._is_connected = False
        self._frames.clear()

    def next_frame(self) -> str | None:
        """The next text frame to send; None if there is none now."""
        return self._frames.popleft() if self._frames else None

    def _send(self, message: ClientMessage) -> None:
        if self._is_connected:  # if not, connected() will
            self._frames.append(encode(message))

    def _send_next_create(self, lane: ClientLane) -> None:
        if lane.waiting and lane.waiting[0].request is not None and not lane.is_resuming:
            self._send(lane.waiting[0].request)

    def _send_resume(self, response: ClientResponse) -> None:
        self._lanes.open(response.stream_id).is_resuming = response.is_resending = True
        after = response.next_sequence_number - 1
        self._send(ResponseResume(response_id=response.id or "", starting_after=after, stream_id=response.stream_id))

    def _send_cancel(self, response: ClientResponse) -> None:
        lane = self._lanes.find(response.stream_id)
        is_next = lane is not None and lane.open is None and bool(lane.waiting) and lane.waiting[0] is response
        if not response.is_unborn or is_next:
            key = None if response.request is None else response.request.idempotency_key
            self._send(ResponseCancel(response_id=response.id, idempotency_key=key, stream_id=response.stream_id))

    # --- events ---------------------------------------------------------------------------------------------------

    def receive(self, data: str | bytes) -> Received | None:
        """Take in one frame. None for an event of a type that this side doesn't know.

        :raises RemoteProtocolViolation: the server broke the protocol, or an event is missing. Close the connection;
            what was lost comes again on the next one.
        """
        event = decode_server_event(data)
        if event is None:
            self._pass_over(data)
            return None
        lane = self._lanes.find(None if event.stream_id is msgspec.UNSET else event.stream_id)
        if lane is None:
            raise RemoteProtocolViolation(f"The server sent an event on lane {event.stream_id!r}, which is not ours.")
        match event:
            case ErrorEvent():
                return self._refused(event, lane)
            case ResponseResumed():
                return self._resumed(event, lane)
            case ResponseDetached():
                return self._detached(event, lane)
        response = self._holder(event, lane)
        try:
            self._account(response, event)
            response.apply(event)
        except ProtocolViolation as error:
            raise RemoteProtocolViolation(str(error)) from error
        if isinstance(event, EndEvent):
            response.under_way.clear()
        self._after_replay(response)
        self._make_room(lane)
        return Received(event, response)

    def _pass_over(self, data: str | bytes) -> None:
        """An event of a type that is not known, if it is one of a Response, has one of its numbers."""
        lane = self._lanes.find(lane_of(data))
        response = None if lane is None else lane.open
        if response is not None and sequence_number_of(data) == response.next_sequence_number:
            response.next_sequence_number += 1

    def _holder(self, event: ResponseEvent, lane: ClientLane) -> ClientResponse:
        """The Response whose event this is. The first event of the next one comes when the lane is free."""
        if lane.open is None and lane.waiting and isinstance(event, ResponseCreated | ResponseCancelled):
            lane.current = self._answered(lane)
            lane.current.is_resending = lane.current.is_cancel_wanted
        if lane.current is None:
            raise RemoteProtocolViolation("The server sent an event of a Response that is not there.")
        return lane.current

    def _answered(self, lane: ClientLane) -> ClientResponse:
        """The create that was sent is answered; the next one may be."""
        response = lane.waiting.popleft()
        self._send_next_create(lane)
        return response

    def _account(self, response: ClientResponse, event: ResponseEvent) -> None:
        """Which append under way this event acknowledges."""
        under_way = response.under_way
        if isinstance(event, ResponseAppended):
            # Those before it were refused, if that was not heard of.
            accepted = [append for append in under_way if set(append.call_ids) == set(event.answered)]
            if accepted:
                under_way.remove(accepted[0])
            # One that was sent again, and ended the pause the first time: nothing was heard of that.
            is_over, is_known = response.is_paused and not event.pending, True
        else:
            is_over, is_known = response.goes_on_with(event), event.sequence_number <= response.replay_until
        if not is_over:
            return
        opened = response.pending_calls.keys()
        if under_way and set(under_way[0].call_ids) == opened:
            response.apply_append(under_way.popleft())
        elif under_way and set(under_way[0].call_ids) > opened:
            under_way.popleft()
            response.end_pause()  # someone else had answered some of them already
        elif is_known:
            response.end_pause()  # by an append of another client, or of this one in another life
        else:
            raise ProtocolViolation(
                f"Response {response.id} is paused with open calls ({', '.join(response.pending_calls)}), and the "
                f"server sent more than acknowledgements."
            )

    def _after_replay(self, response: ClientResponse) -> None:
        """All that was missed has come: what it did not account for is sent again."""
        if not response.is_resending or response.is_unborn or response.next_sequence_number <= response.replay_until:
            return
        response.is_resending = False
        if response.has_ended:
            return
        if response.is_paused and not response.is_waited_for:
            response.end_pause()  # its last append came through, and no event has said so yet
        for append in response.under_way:
            self._send(response.message(append))
        if response.is_cancel_wanted:
            self._send_cancel(response)

    def _resumed(self, event: ResponseResumed, lane: ClientLane) -> Received:
        if lane.open is None and lane.waiting and not lane.is_resuming:
            lane.current = self._answered(lane)  # a create that was repeated: the server has its Response already
            lane.current.id, lane.current.is_resending = event.response_id, True
        response = lane.current
        if response is None or response.id != event.response_id:
            raise RemoteProtocolViolation(f"The server resumed Response {event.response_id}, which was not asked for.")
        response.replay_until, response.is_waited_for = event.last_sequence_number, bool(event.required_input)
        self._after_replay(response)
        self._resume_answered(lane)
        return Received(event, response, Outcome.RESUMED)

    def _resume_answered(self, lane: ClientLane) -> None:
        if lane.is_resuming:
            lane.is_resuming = False
            self._send_next_create(lane)

    def _detached(self, event: ResponseDetached, lane: ClientLane) -> Received:
        response = lane.current
        if response is None or response.id != event.response_id or response.has_ended:
            return Received(event, None, Outcome.NOTICE)
        self._lose(response)
        self._make_room(lane)
        return Received(event, response, Outcome.DETACHED)

    def _refused(self, event: ErrorEvent, lane: ClientLane) -> Received:
        """What an error refuses: the append or the resume of the Response that it names, else the create that is not
        answered yet."""
        if lane.waiting and event.response_id is not msgspec.UNSET:
            known = self._refused_repeat(event, lane)
            if known is not None:
                return known
        response = lane.current
        if event.response_id is not msgspec.UNSET:
            if response is None or response.id != event.response_id:
                return Received(event, None, Outcome.NOTICE)
            return Received(event, response, self._refused_request(event, response))
        if not lane.waiting or event.input is not msgspec.UNSET or event.error.code in _NOT_OF_A_CREATE:
            return Received(event, None, Outcome.NOTICE)
        if event.error.code == ConnectionLimitReached.code:
            return Received(event, lane.waiting[0], Outcome.POSTPONED)
        refused = self._answered(lane)
        refused.advance(Stimulus.REJECT)
        return Received(event, refused, Outcome.REJECTED)

    def _refused_repeat(self, event: ErrorEvent, lane: ClientLane) -> Received | None:
        """A create that was repeated has a Response already, which can't be resumed as it is. None if the error is
        about something else."""
        create = lane.waiting[0]
        key = None if create.request is None else create.request.idempotency_key
        if key is None or event.idempotency_key != key or lane.is_resuming:
            return None
        match event.error.code:
            case EventsLost.code if lane.open is None and event.response_id:
                lane.current, lane.is_resuming = lane.waiting.popleft(), True
                lane.current.id = event.response_id
                return Received(event, lane.current, self._refused_request(event, lane.current))
            case StreamBusy.code if lane.open is not None:
                lane.is_busy = True
                self._make_room(lane)
                return Received(event, create, Outcome.POSTPONED)
            case DetachedError.code:
                self._answered(lane).id = event.response_id or None
                self._lose(create)
                return Received(event, create, Outcome.DETACHED)
        return None

    def _make_room(self, lane: ClientLane) -> None:
        """A create that was repeated has a Response already, which can't be resumed while its lane carries the one
        before it: a connection that the server did not know to be lost has begun it. It supersedes that one, as creates
        do."""
        if lane.is_busy and lane.open is None:
            lane.is_busy = False
            self._send_next_create(lane)
        elif lane.is_busy and lane.open is not None and lane.open.is_paused:
            self.cancel(lane.open)

    def _refused_request(self, event: ErrorEvent, response: ClientResponse) -> Outcome:
        if event.error.code == ConnectionLimitReached.code:
            return Outcome.POSTPONED
        if event.snapshot is not msgspec.UNSET:
            self._take_over(response, event)
            return Outcome.SNAPSHOT
        if event.input is not msgspec.UNSET:
            for append in response.under_way:
                if msgspec.to_builtins(response.message(append).input) == event.input:
                    response.under_way.remove(append)
                    return Outcome.REFUSED
            return Outcome.NOTICE
        # A cancel may be refused while the Response is resumed. One that named its create by key tells so.
        is_of_cancel = event.idempotency_key is not msgspec.UNSET or event.error.code == ResponseAlreadyEnded.code
        if not response.is_resending or response.has_ended or is_of_cancel:
            return Outcome.NOTICE
        self._lose(response)
        self._resume_answered(self._lanes.open(response.stream_id))
        return Outcome.DETACHED if event.error.code == DetachedError.code else Outcome.LOST

    def _take_over(self, response: ClientResponse, event: ErrorEvent) -> None:
        """Stand where the snapshot says, and resume from there. Appends that it shows as answered were accepted; one of
        messages alone is not sent again, since nothing tells whether it was."""
        assert event.snapshot is not msgspec.UNSET
        response.restore(event.snapshot)
        missing = [
            append for append in response.under_way if not response.pending_calls.keys().isdisjoint(append.call_ids)
        ]
        response.under_way = deque(missing)
        if response.has_ended:
            self._resume_answered(self._lanes.open(response.stream_id))
        else:
            self._send_resume(response)

    def _lose(self, response: ClientResponse) -> None:
        response.advance(Stimulus.LOSE)
        response.is_lost = True
        waiting = self._lanes.open(response.stream_id).waiting
        if response in waiting:
            waiting.remove(response)
