"""What a fuzzer plays: lines of text that are frames of a client, and between them what the server and time do.

A line that begins with ``!`` is an act of :data:`ACTS`; one that begins with ``#`` a binary frame; every other one is a
text frame. Whatever the lines are, nothing may raise, every frame is handled or answered by an error, and a paused
Response goes on only when its open calls are answered.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from caesura.protocol.codec import decode_client_message, decode_server_event
from caesura.protocol.errors import CaesuraError, ContextLengthExceeded, ModelNotFound, RemoteProtocolViolation
from caesura.protocol.events import ErrorEvent
from caesura.protocol.server import CreateRequested, EndRequested, ServerResponse
from peers import Peer, Server

LIMITS = {
    "max_message_bytes": 2_000,
    "max_append_items": 8,
    "max_waiting": 2,
    "max_sampling": 2,
    "max_open_per_connection": 4,
    "max_open_per_credential": 6,
    "max_unsent_events": 12,
    "max_replay_events": 4,
    "max_ended": 3,
    "pause_timeout": 100.0,
    "grace": 50.0,
    "lifetime": 300.0,
}


def play(data: bytes) -> Scene:
    """Play it, and see it through to its end."""
    scene = Scene()
    for line in data.split(b"\n"):
        scene.line(line)
    scene.finish()
    return scene


def decode(data: bytes) -> None:
    """The two decoders, on the same bytes."""
    for frame in (data, data.decode("utf-8", "surrogateescape")):
        with suppress(CaesuraError):
            decode_client_message(frame)
        with suppress(RemoteProtocolViolation):
            decode_server_event(frame)


class Scene:
    """``num_errors`` counts the frames that were answered by an error, ``num_ignored`` those that came to a connection
    that closes, ``num_handled`` the others."""

    def __init__(self) -> None:
        self.server = Server(**LIMITS)
        self.peers = [self.server.connect(credential) for credential in ("alice", "alice", "mallory")]
        self.peer = self.peers[0]
        self.creates: list[CreateRequested] = []
        self.ends: list[EndRequested] = []
        self.responses: list[ServerResponse] = []
        self.refuses_next = False
        self.num_errors = 0
        self.num_handled = 0
        self.num_ignored = 0
        self._calls = 0

    def line(self, line: bytes) -> None:
        act = ACTS.get(line[1:2]) if line[:1] == b"!" else None
        if act is not None:
            act(self)
            self.serve()
        elif line[:1] == b"#":
            self.frame(line[1:])
        elif line:
            self.frame(line.decode("utf-8", "surrogateescape"))

    def frame(self, frame: str | bytes) -> None:
        """Have the peer say it: it is handled, or answered by an error, or both ends agree to ignore each other."""
        connection = self.peer.connection
        was_closed = connection.closing is not None
        paused = [response for response in self.responses if response.is_paused]
        before = [repr(response) for response in self.responses]
        self.read(self.peer)
        errors_before = connection.num_errors
        connection.receive(frame, self.server.now)
        is_refused = connection.num_errors > errors_before
        assert connection.num_errors - errors_before <= 1 + (connection.closing is not None)
        if was_closed:
            assert not is_refused
            self.num_ignored += 1
        elif is_refused:
            self.num_errors += 1
            if connection.closing is None:
                assert [repr(response) for response in self.responses] == before, "an error changed a Response"
        else:
            self.num_handled += 1
        ended = self.serve()
        for response in paused:
            assert response.is_paused or response in ended, "a pause ended without its answers"

    def serve(self) -> list[ServerResponse]:
        """Do what is asked for at once; give back the Responses whose pause an append has ended."""
        ended = []
        while (request := self.server.core.next_request()) is not None:
            if isinstance(request, CreateRequested):
                self.creates.append(request)
            elif isinstance(request, EndRequested):
                self.ends.append(request)
            elif self.refuses_next:
                self.refuses_next = False
                self.server.reject(request, ContextLengthExceeded("It does not fit.", param="input"))
            else:
                opened = set(request.response.pending_calls)
                self.server.core.accept(request, self.server.now)
                if not request.response.is_paused and opened <= set(request.append.call_ids):
                    ended.append(request.response)
        self.creates = [each for each in self.creates if not each.response.has_ended]
        self.ends = [each for each in self.ends if not each.response.has_ended]
        return ended

    def read(self, peer: Peer) -> None:
        """Whatever is sent can be read, and no error is of our own making."""
        while (frame := peer.connection.next_frame()) is not None:
            event = decode_server_event(frame)
            assert event is not None
            assert not isinstance(event, ErrorEvent) or event.error.code != "server_error"

    def finish(self) -> None:
        """Everyone leaves: nothing is left in the end."""
        for peer in self.peers:
            self.read(peer)
            peer.lose()
        self.serve()
        self.end_all()
        while (deadline := self.server.core.next_deadline()) is not None:
            self.server.wait(max(0.0, deadline - self.server.now))
            self.serve()
            self.end_all()
        core = self.server.core
        assert not core._responses
        assert not core._keys
        assert not core._num_open

    def end_all(self) -> None:
        while self.ends:
            end(self)
            self.serve()

    @property
    def open(self) -> list[ServerResponse]:
        self.responses = [response for response in self.responses if not response.has_ended]
        return self.responses


def switch(scene: Scene) -> None:
    scene.peer = scene.peers[(scene.peers.index(scene.peer) + 1) % len(scene.peers)]


def lose(scene: Scene) -> None:
    scene.peer.lose()
    fresh = scene.server.connect(scene.peer.connection.credential)
    scene.peers[scene.peers.index(scene.peer)] = scene.peer = fresh


def begin(scene: Scene) -> None:
    if scene.creates:
        request = scene.creates.pop(0)
        predecessor = scene.server.core.predecessor(request)
        if predecessor is not None:
            scene.server.end(predecessor, "cancelled", "superseded")
        if not request.response.has_ended:  # that was one event too many for a slow reader
            scene.responses.append(scene.server.begin(request))


def refuse(scene: Scene) -> None:
    if scene.creates:
        scene.server.reject(scene.creates.pop(0), ModelNotFound("No such model.", param="model"))


def call(scene: Scene) -> None:
    for response in scene.open:
        if response.is_sampling:
            scene._calls += 1
            scene.server.call(response, f"c{scene._calls}")
            return


def pause(scene: Scene) -> None:
    for response in scene.open:
        if response.is_sampling and response.pending_calls:
            scene.server.pause(response)
            return


def complete(scene: Scene) -> None:
    for response in scene.open:
        if response.is_sampling:
            scene.server.end(response)
            return


def end(scene: Scene) -> None:
    if scene.ends:
        request = scene.ends.pop(0)
        if not request.response.has_ended:
            scene.server.end(request.response, request.status, request.reason)


def refuse_append(scene: Scene) -> None:
    scene.refuses_next = True


def wait(scene: Scene) -> None:
    scene.server.wait(60.0)


ACTS: dict[bytes, Callable[[Scene], None]] = {
    b"a": refuse_append,
    b"b": begin,
    b"c": call,
    b"d": complete,
    b"e": end,
    b"l": lose,
    b"p": pause,
    b"r": refuse,
    b"s": switch,
    b"w": wait,
}
