"""The server's end of the protocol: all its Responses, whatever connection carries them.

Drive it so: :meth:`.ServerConnection.receive` with each frame of a connection, then :meth:`ServerProtocol.next_request`
until it gives None, then send what each connection's :meth:`~.ServerConnection.next_frame` gives. Answer each request
with the method that it names. At :meth:`ServerProtocol.next_deadline`, call :meth:`ServerProtocol.advance_time` and do
the same. Nothing that a client sends raises here: what can't be carried out becomes an ``error`` frame.

``now`` is seconds of any clock that doesn't go back.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from .codec import encode
from .deadlines import Deadlines
from .errors import (
    CaesuraError,
    CredentialResponseLimitReached,
    InvalidRequest,
    LocalProtocolViolation,
    ProtocolViolation,
    ResponseNotFound,
)
from .event_log import Budget, EventLog
from .events import EndEvent, ResponseAppended, ResponseEvent, ResponseFailed
from .limits import DEFAULT_LIMITS, Limits
from .messages import ResponseCreate
from .modes import APPEND, HTTP, Mode
from .server_connection import ServerConnection
from .server_requests import AppendRequested, CreateRequested, EndRequested, ForgetRequested, Request
from .server_response import ServerResponse
from .state import Stimulus

__all__ = [
    "AppendRequested",
    "CreateRequested",
    "EndRequested",
    "ForgetRequested",
    "Request",
    "ServerProtocol",
    "ServerResponse",
]


class ServerProtocol:
    """All Responses of a server, by id, and the connections that carry them."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, on_error: Callable[[str], None] = lambda code: None) -> None:
        """``on_error`` is told the code of every error that a client is told."""
        self.limits = limits
        self.on_error = on_error
        self.deadlines: Deadlines[object] = Deadlines()
        self._responses: dict[str, ServerResponse] = {}
        self._keys: dict[tuple[str, str], ServerResponse] = {}
        self._num_open: Counter[str] = Counter()
        self._ended: dict[str, dict[str, None]] = {}
        self._requests: deque[Request] = deque()
        self._num_connections = 0
        self._ready: dict[ServerConnection, None] = {}
        self._replay_budget = Budget(limits.max_replay_bytes_in_all)

    def connect(self, now: float, *, credential: str = "", mode: Mode = APPEND) -> ServerConnection:
        """A client has connected. ``credential`` stands for who it is; Responses are found by their owner alone."""
        self._num_connections += 1
        connection = ServerConnection(self, credential, self._num_connections, mode)
        self.deadlines.set(connection, now + self.limits.lifetime)
        return connection

    def has_output(self, connection: ServerConnection) -> None:
        """Called by a connection that has something to send, or is to be closed."""
        self._ready[connection] = None

    def take_ready(self) -> list[ServerConnection]:
        """The connections that have got something to send since the last call, or are to be closed."""
        ready, self._ready = self._ready, {}
        return list(ready)

    # --- requests -------------------------------------------------------------------------------------------------

    def next_request(self) -> Request | None:
        """What the server has to do next, in order; None if there is nothing."""
        return self._requests.popleft() if self._requests else None

    def request(self, request: Request) -> None:
        """Ask the runtime for this."""
        self._requests.append(request)

    def request_end(self, response: ServerResponse, status: str, reason: str) -> None:
        """Ask for its end, once."""
        if not response.is_ending:
            response.is_ending = True
            self.request(EndRequested(response, status, reason))

    def predecessor(self, request: CreateRequested) -> ServerResponse | None:
        """The open Response whose place this create takes. It has to end, as superseded, before :meth:`accept`."""
        connection = request.response.connection
        return None if connection is None else connection.lane_of(request.response).open

    def accept(self, request: CreateRequested | AppendRequested, now: float) -> None:
        """Carry it out. After a create, :meth:`emit` its ``response.created``. An append changes its Response now.

        :raises LocalProtocolViolation: it can't be, since something else has happened meanwhile.
        """
        response = request.response
        if isinstance(request, CreateRequested):
            if response.has_ended or response.connection is None:
                raise LocalProtocolViolation("This create was answered already, or its connection was lost.")
            response.connection.begin(response)
            return
        try:
            stimulus = response.apply_append(request.append)
        except (InvalidRequest, ProtocolViolation) as error:
            raise LocalProtocolViolation(str(error)) from error
        if stimulus is Stimulus.APPEND_LAST:
            self.deadlines.cancel((response, "pause"))
            return
        if response.is_paused and not request.is_repeat:
            self.deadlines.set((response, "pause"), now + self.limits.pause_timeout)
        answered, pending = request.append.call_ids, list(response.pending_calls)
        self.emit(response, ResponseAppended(response_id=response.id or "", answered=answered, pending=pending), now)

    def reject(self, request: CreateRequested | AppendRequested, error: CaesuraError, now: float) -> None:
        """Answer with an ``error`` event. A create is forgotten; an append leaves its Response as it was."""
        response, connection = request.response, request.response.connection
        if isinstance(request, CreateRequested):
            if not response.has_ended:
                response.advance(Stimulus.REJECT)
                self._closed(response)
                self._drop_key(response)
            if connection is not None:
                connection.refuse(error, response.stream_id, key=response.idempotency_key)
                connection.memory.failed(response.previous_response_id, response.stream_id)
                connection.forget(response, now)
        elif connection is not None:
            connection.refuse(error, response.stream_id, response_id=response.id, raw=request.raw)

    # --- events ---------------------------------------------------------------------------------------------------

    def emit(self, response: ServerResponse, event: ResponseEvent, now: float) -> None:
        """Number an event of a Response, keep it, and queue it for whoever is attached.

        :raises LocalProtocolViolation: the state table doesn't allow it now. Nothing is queued.
        """
        stamped = response.stamp(event)
        is_told = not response.is_silent or isinstance(event, EndEvent)
        frame = encode(stamped) if is_told else ""  # before anything changes, should it be impossible
        unborn = response.is_unborn
        try:
            response.apply(stamped)
        except ProtocolViolation as error:
            raise LocalProtocolViolation(str(error)) from error
        if not response.is_silent:
            response.log.add(frame)
        connection = response.connection
        if unborn:
            self._responses[response.id or ""] = response
        if connection is not None and is_told:
            connection.queue(frame, now)
        if response.has_ended:
            if connection is not None:
                connection.memory.ended(response, failed=isinstance(event, ResponseFailed))
            self._ended_now(response, now)
        elif response.is_paused and response.last_pause is stamped:
            self.deadlines.set((response, "pause"), now + self.limits.pause_timeout)
        if connection is not None and not response.is_sampling:
            connection.forget(response, now) if unborn else connection.hand_out(now)

    def _ended_now(self, response: ServerResponse, now: float) -> None:
        response.connection = None
        self.deadlines.cancel((response, "pause"))
        self._closed(response)
        if not response.outlives:
            del self._responses[response.id or ""]
            response.log.clear()
            self._drop_key(response)
            return
        self.deadlines.set((response, "grace"), now + self.limits.grace)
        ended = self._ended.setdefault(response.owner, {})
        ended[response.id or ""] = None
        while len(ended) > self.limits.max_ended:
            self._forget(self._responses[next(iter(ended))])

    # --- who owns what --------------------------------------------------------------------------------------------

    def find(self, response_id: str, owner: str) -> ServerResponse:
        """The Response of that id.

        :raises ResponseNotFound: there is none, or its owner is another.
        """
        response = self._responses.get(response_id)
        if response is None or response.owner != owner:
            raise ResponseNotFound(f"No Response {response_id[:80]!r} here.", param="response_id")
        return response

    def find_by_key(self, key: str | None, owner: str) -> ServerResponse | None:
        """The Response that was created with this idempotency key."""
        return None if key is None else self._keys.get((owner, key))

    def open(self, connection: ServerConnection, create: ResponseCreate) -> ServerResponse:
        """A new Response for a create of this connection.

        :raises CredentialResponseLimitReached: its owner has too many.
        """
        owner, limits = connection.credential, self.limits
        if self._num_open[owner] >= limits.max_open_per_credential:
            raise CredentialResponseLimitReached(
                f"{limits.max_open_per_credential} Responses are open with these credentials, those that nobody is "
                "attached to included. End one first."
            )
        log = EventLog(limits.max_replay_events, limits.max_replay_bytes, self._replay_budget)
        response = ServerResponse(
            owner=owner,
            log=log,
            connection=connection,
            stream_id=create.stream_id,
            model=create.model,
            idempotency_key=create.idempotency_key,
            mode=connection.mode,
            previous_response_id=create.previous_response_id,
            is_background=connection.in_background(create),
            is_silent=connection.mode is HTTP and not create.stream and not create.background,
        )
        response.advance(Stimulus.CREATE)
        self._num_open[owner] += 1
        if create.idempotency_key is not None:
            self._keys[(owner, create.idempotency_key)] = response
        return response

    def lose(self, response: ServerResponse) -> None:
        """The connection of a Response that was not created yet is gone: nobody could ever find it."""
        response.advance(Stimulus.LOSE)
        response.connection = None
        self._closed(response)
        self._drop_key(response)

    def detach(self, response: ServerResponse, now: float) -> None:
        """Nobody carries it any more. It lives on for the grace period; in the background, to its end; where a
        Response does not outlive its connection, not at all."""
        response.connection = None
        if not response.outlives:
            self.request_end(response, "cancelled", "connection_lost")
        elif not response.is_background:
            self.deadlines.set((response, "grace"), now + self.limits.grace)

    def attach(self, response: ServerResponse, connection: ServerConnection) -> None:
        """This connection carries it from now on. One that has ended is only read, and needs nobody."""
        if not response.has_ended:
            response.connection = connection
            self.deadlines.cancel((response, "grace"))

    def _closed(self, response: ServerResponse) -> None:
        self._num_open[response.owner] -= 1
        if not self._num_open[response.owner]:
            del self._num_open[response.owner]

    def _forget(self, response: ServerResponse) -> None:
        self.deadlines.cancel((response, "grace"))
        del self._responses[response.id or ""]
        response.log.clear()
        ended = self._ended[response.owner]
        del ended[response.id or ""]
        if not ended:
            del self._ended[response.owner]
        self._drop_key(response)

    def _drop_key(self, response: ServerResponse) -> None:
        if response.idempotency_key is not None:
            self._keys.pop((response.owner, response.idempotency_key), None)

    # --- time -----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When :meth:`advance_time` has something to do next; None if never."""
        return self.deadlines.next()

    def advance_time(self, now: float) -> None:
        """Do what has become due: pauses and grace periods that are over, connections that are too old."""
        for key in self.deadlines.due(now):
            match key:
                case ServerConnection():
                    key.expire(now)
                case (ServerResponse() as response, "pause"):
                    self.request_end(response, "incomplete", "append_timeout")
                case (ServerResponse() as response, "grace") if response.has_ended:
                    self._forget(response)
                case (ServerResponse() as response, "grace"):
                    self.request_end(response, "cancelled", "abandoned")
