"""One client's connection, as the server sees it: frames in, frames out, and the lanes between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .append_items import parse_append
from .codec import decode_client_message, encode, lane_of
from .connection_memory import ConnectionMemory
from .errors import (
    CaesuraError,
    ConnectionLimitReached,
    ConnectionResponseLimitReached,
    LocalProtocolViolation,
    Overloaded,
    ResponseAlreadyEnded,
    ResponseDetached,
    ResponseNotFound,
    SlowReader,
    StreamBusy,
    UnknownMessageType,
)
from .events import ResponseDetached as DetachedEvent
from .items import parse_input
from .lanes import Lanes
from .messages import ClientMessage, ResponseAppend, ResponseCancel, ResponseCreate, ResponseResume
from .modes import HTTP, Mode
from .opening import APPEND_MODE, BETA_HEADER
from .server_lanes import ServerLane, Waiting
from .server_outlet import ServerOutlet
from .server_requests import AppendRequested, Close, CreateRequested
from .server_response import ServerResponse
from .state import Stimulus

if TYPE_CHECKING:
    from .server import ServerProtocol

POLICY_VIOLATION = 1008
GOING_AWAY = 1001


class ServerConnection(ServerOutlet):
    """Made by :meth:`.server.ServerProtocol.connect`.

    :ivar mode: how its Responses are carried.
    :ivar memory: the ended Responses that its creates can go on from.
    :ivar number: rises with every connection of the server.
    """

    def __init__(self, server: ServerProtocol, credential: str, number: int, mode: Mode) -> None:
        super().__init__(server, credential)
        self.mode = mode
        self.number = number
        self._lanes: Lanes[ServerLane] = Lanes(ServerLane, server.limits.max_named_lanes)
        self._waiting = Waiting()
        self.memory = ConnectionMemory(self, server.limits.max_remembered, server.request)
        self._expired = False

    # --- frames ---------------------------------------------------------------------------------------------------

    def receive(self, data: str | bytes, now: float) -> None:
        """Take in one frame: text, or bytes for a binary one. Never raises."""
        if self.closing is not None or self._is_lost:
            return
        if self._outbox.is_full:  # of errors, say: those are not events that `queue` counts
            self._detach_slow_reader(now)
            return
        try:
            message = decode_client_message(data, self._server.limits)
            self._check_known(message)
        except CaesuraError as error:
            self.refuse(error, lane_of(data))
            return
        self.take(message, now)

    def take(self, message: ClientMessage, now: float) -> None:
        """Take in a message that is decoded already. Never raises."""
        if isinstance(message, ResponseCreate) and not (self.mode.outlives or self.in_background(message)):
            # A field that nobody knows there: what a repeat would resume ends with its own connection.
            message = msgspec.structs.replace(message, idempotency_key=None)
        about: dict[str, Any] = {}
        try:
            match message:
                case ResponseCreate():
                    about["key"] = message.idempotency_key
                    self._create(message, about, now)
                case ResponseAppend():
                    about["raw"] = message.input
                    self._append(message, about, now)
                case ResponseCancel():
                    about["key"] = message.idempotency_key
                    self._cancel(message, about, now)
                case ResponseResume():
                    about["response_id"] = message.response_id
                    self._resume(self._server.find(message.response_id, self.credential), message.starting_after, now)
        except CaesuraError as error:
            self.refuse(error, message.stream_id, **about)
            if isinstance(message, ResponseCreate):
                self.memory.failed(message.previous_response_id, message.stream_id)

    def in_background(self, create: ResponseCreate) -> bool:
        """Whether its Response lives on without this connection, though others of the mode don't."""
        return self.mode is HTTP and bool(create.background)

    def _check_known(self, message: ClientMessage) -> None:
        if type(message) not in self.mode.messages:
            raise UnknownMessageType(
                f"'{message.__struct_config__.tag}' is no message of this mode. To append to a Response, connect with "
                f"the header '{BETA_HEADER}: {APPEND_MODE}'.",
                param="type",
            )

    def lost(self, now: float) -> None:
        """The transport is gone. Its Responses live on; creates without a ``response.created`` don't. Harmless when
        repeated."""
        if self._is_lost:
            return
        self._is_lost = True
        self._server.deadlines.cancel(self)
        self._outbox.clear()
        self._detach_all(now)
        self.memory.clear()

    # --- what a client asks for -----------------------------------------------------------------------------------

    def _create(self, message: ResponseCreate, about: dict[str, Any], now: float) -> None:
        self._check_age()
        limits = self._server.limits
        existing = self._server.find_by_key(message.idempotency_key, self.credential)
        if existing is not None and not existing.is_unborn:
            about["response_id"] = existing.id
            self._resume(existing, -1, now)
            return
        if existing is not None and existing.connection is self:
            return  # sent twice on one connection: the first one will be answered
        if existing is not None:
            self._check_order(existing)
        needs_input = message.previous_response_id is None and message.generate is not False
        items = parse_input(message.input) if message.input or needs_input else []
        if message.previous_response_id is not None:
            self.memory.use(message.previous_response_id)
        self._lanes.open(message.stream_id)
        if len(self._waiting.on(message.stream_id)) >= limits.max_waiting:
            raise Overloaded(f"{limits.max_waiting} creates wait on this lane already. Wait for one to end.")
        if self._num_open() >= limits.max_open_per_connection:
            raise ConnectionResponseLimitReached(
                f"{limits.max_open_per_connection} Responses are open on this connection. End one first."
            )
        if existing is not None:
            self._drop(existing, now)
        response = self._server.open(self, message)
        self._waiting.creates.append(CreateRequested(response, message, items))
        self.hand_out(now)

    def _append(self, message: ResponseAppend, about: dict[str, Any], now: float) -> None:
        self._check_age()
        response = self._addressed(message, about)
        append = parse_append(message.input, max_items=self._server.limits.max_append_items)
        stimulus = response.check_append(append)
        is_repeat = stimulus is Stimulus.APPEND_AGAIN
        if response.is_ending and not is_repeat:
            raise ResponseAlreadyEnded(f"Response {response.id} is being ended.", param="response_id")
        self._server.request(AppendRequested(response, append, is_repeat, message.input))

    def _cancel(self, message: ResponseCancel, about: dict[str, Any], now: float) -> None:
        response = self._addressed(message, about, unborn_too=True)
        response.advance(Stimulus.CANCEL)
        self._waiting.creates = [create for create in self._waiting.creates if create.response is not response]
        self._server.request_end(response, "cancelled", "client_request")

    def _addressed(
        self, message: ResponseAppend | ResponseCancel, about: dict[str, Any], *, unborn_too: bool = False
    ) -> ServerResponse:
        """The Response that a message is for; an error about it names it."""
        named = self._named(message)
        if named is not None:
            response = named
            if not response.is_unborn:
                about["response_id"] = response.id
            if response.connection is not self and not response.has_ended:
                raise ResponseDetached(
                    f"Response {response.id} is not carried by this connection. Send response.resume first.",
                    param="response_id",
                )
            return response
        lane = self._lanes.find(message.stream_id)
        if lane is not None:
            unborn = [lane.requested, *(create.response for create in self._waiting.on(message.stream_id))]
            candidates: list[ServerResponse | None] = [lane.open, *(unborn if unborn_too else ()), lane.current]
            for found in candidates:
                if found is not None:
                    about["response_id"] = found.id
                    return found
        raise ResponseNotFound("No Response is open on this lane. Begin one with response.create.", param="response_id")

    def _named(self, message: ResponseAppend | ResponseCancel) -> ServerResponse | None:
        """The Response whose id or key a message has; None if it has none.

        :raises ResponseNotFound: there is no such Response.
        """
        if message.response_id is not None:
            return self._server.find(message.response_id, self.credential)
        if isinstance(message, ResponseAppend) or message.idempotency_key is None:
            return None
        response = self._server.find_by_key(message.idempotency_key, self.credential)
        if response is None:
            raise ResponseNotFound("No Response was created with this key.", param="idempotency_key")
        return response

    def _resume(self, response: ServerResponse, starting_after: int, now: float) -> None:
        self._check_age()
        self._check_order(response)
        if not response.outlives:
            raise ResponseDetached(
                f"Response {response.id} belongs to the connection that carries it, and can't be resumed on another.",
                param="response_id",
            )
        frames = response.events_after(starting_after)
        lane = self._lanes.open(response.stream_id)
        if lane.requested is not None or (lane.open is not None and lane.open is not response):
            raise StreamBusy(
                f"The lane of Response {response.id} carries another one here. Resume on another connection.",
                param="response_id",
            )
        if response.connection is not self and response.connection is not None:
            response.connection.give_up(response, now)
        self._server.attach(response, self)
        lane.current = response
        replay = [encode(response.resumed(starting_after)), *frames]
        self._outbox.allow(response.stream_id, replay)
        for frame in replay:
            self.queue(frame, now)
        self.hand_out(now)

    def _check_order(self, response: ServerResponse) -> None:
        """A Response moves to later connections only. A message may arrive after its client has given this connection
        up and gone on with another one; it must not take anything from that."""
        carrier = response.connection
        if carrier is not None and carrier.number > self.number:
            raise ResponseDetached(
                "A connection that was opened after this one carries the Response. Resume on a new connection.",
                param="response_id",
            )

    # --- lanes ----------------------------------------------------------------------------------------------------

    def lane_of(self, response: ServerResponse) -> ServerLane:
        return self._lanes.open(response.stream_id)

    def hand_out(self, now: float) -> None:
        """Hand out the creates whose turn has come. If the connection is too old for them, see whether it can close."""
        if self._is_lost or self.closing is not None:
            return
        if self._expired:
            self._retire(now)
            return
        for create in list(self._waiting.creates):
            if self._num_sampling() >= self._server.limits.max_sampling:
                return
            lane = self.lane_of(create.response)
            if lane.is_free:
                self._waiting.creates.remove(create)
                lane.requested = create.response
                self._server.request(create)

    def begin(self, response: ServerResponse) -> None:
        """A create is accepted: its Response holds the lane.

        :raises LocalProtocolViolation: another one does, or the create was not handed out.
        """
        lane = self.lane_of(response)
        if lane.requested is not response or lane.open is not None:
            raise LocalProtocolViolation("This create was answered already, or its predecessor is still open.")
        lane.requested, lane.current = None, response

    def forget(self, response: ServerResponse, now: float) -> None:
        """A create has ended without a Response."""
        lane = self.lane_of(response)
        if lane.requested is response:
            lane.requested = None
        self.hand_out(now)

    # --- who carries what -----------------------------------------------------------------------------------------

    def give_up(self, response: ServerResponse, now: float) -> None:
        """Another connection has resumed this Response."""
        lane = self.lane_of(response)
        if lane.current is response:
            lane.current = None
        stream_id = msgspec.UNSET if response.stream_id is None else response.stream_id
        self.queue(encode(DetachedEvent(response_id=response.id or "", stream_id=stream_id)), now)
        self.hand_out(now)

    def _num_sampling(self) -> int:
        """Responses that are sampled on this connection, and creates that are about to be."""
        return sum(
            (lane.requested is not None) + (lane.current is not None and lane.current.is_sampling)
            for lane in self._lanes
        )

    def _num_open(self) -> int:
        taken = sum((lane.requested is not None) + (lane.open is not None) for lane in self._lanes)
        return taken + len(self._waiting.creates)

    def _drop(self, response: ServerResponse, now: float) -> None:
        """Give up a Response that has not been created, on whatever connection it was asked for."""
        connection = response.connection
        self._server.lose(response)
        self._server.request_end(response, "cancelled", "connection_lost")
        if connection is not None:
            connection._waiting.creates = [one for one in connection._waiting.creates if one.response is not response]
            connection.forget(response, now)

    def _detach_all(self, now: float) -> None:
        waiting, self._waiting.creates = self._waiting.creates, []
        unborn = [create.response for create in waiting]
        for lane in self._lanes:
            if lane.current is not None and lane.current.connection is self:
                self._server.detach(lane.current, now)
            if lane.requested is not None and not lane.requested.has_ended:  # else its end was one event too many
                unborn.append(lane.requested)
            lane.current = lane.requested = None
        for response in unborn:
            self._drop(response, now)

    # --- out ------------------------------------------------------------------------------------------------------

    def _detach_slow_reader(self, now: float) -> None:
        going_on = "resume on another one" if self.mode.outlives else "go on with another one"
        slow = SlowReader(f"{len(self._outbox)} events wait to be read. The connection closes; {going_on}.")
        self._outbox.clear()
        self._close(POLICY_VIOLATION, slow, now)

    def _announce(self) -> None:
        self._server.has_output(self)

    # --- the end --------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Its lifetime is over: it closes as soon as nothing is sampled on it."""
        waiting, self._waiting.creates = self._waiting.creates, []
        for create in waiting:
            self._server.reject(create, self._too_old(), now)
        self._expired = True
        self.hand_out(now)

    def _retire(self, now: float) -> None:
        if not self._num_sampling():
            self._close(GOING_AWAY, self._too_old(), now)

    def _close(self, code: int, error: CaesuraError, now: float) -> None:
        self.refuse(error, None)
        self.closing = Close(code, error.code)
        self._server.deadlines.cancel(self)
        self._detach_all(now)
        self.memory.clear()

    def _check_age(self) -> None:
        if self._expired:
            raise self._too_old()

    def _too_old(self) -> ConnectionLimitReached:
        minutes = self._server.limits.lifetime / 60
        return ConnectionLimitReached(
            f"Responses websocket connection limit reached ({minutes:g} minutes). Create a new websocket connection "
            f"{'and resume there' if self.mode.outlives else 'to continue'}."
        )
