"""The Response of one check, as the suite's server tells it to the client under test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from .client_appends import AppendReader
from .client_peer import ClientPeer
from .client_response import ScriptedResponse
from .events import Event
from .outcome import CheckFailed, NotTestable, Violation

if TYPE_CHECKING:
    from .client_case import ClientCase


class CancelledByClient(CheckFailed):
    """It asked for the end of the Response."""


class ScriptedRollout(ScriptedResponse):
    """The Response, and ``peer``, the connection that carries it. ``last_sent`` is the last event that was sent."""

    def __init__(self, case: ClientCase, peer: ClientPeer, create: Event) -> None:
        super().__init__(create)
        self.case = case
        self.peer = peer
        self.last_sent = -1
        self._appends = AppendReader(self.id, create, case.complain)

    # --- telling --------------------------------------------------------------------------------------------------

    async def send(self, *events: Event) -> None:
        """Number these events, keep them, and send them."""
        for event in self.keep(*events):
            await self._deliver(event)

    async def send_while_open(self, *events: Event) -> None:
        """The same, though the client may close the connection meanwhile: all are kept then."""
        numbered = self.keep(*events)
        with suppress(CheckFailed):
            for event in numbered:
                await self._deliver(event)

    async def finish(self, text: str = "It is done.") -> None:
        """Say this, complete, and see that the client tells its user so."""
        await self.send(*self.message(text))
        await self.send(self.end())
        await self.case.ends_well(text)

    async def _deliver(self, event: Event) -> None:
        self._appends.announce(event)
        self.last_sent = max(self.last_sent, event["sequence_number"])
        await self.peer.send(event)

    # --- appends --------------------------------------------------------------------------------------------------

    async def answered(self) -> None:
        """Take appends until no call is open.

        :raises CancelledByClient: the client asks for the end instead.
        :raises Violation: a call is not answered, or not as it should be.
        """
        while self.open_calls:
            await self.accept(await self.read_append())

    async def read_append(self, requirement: str | None = None, *, seconds: float | None = None) -> dict[str, Event]:
        """The outputs of the next append, by ``call_id``; nothing is done with them.

        :param requirement: what is broken if there is none.
        """
        try:
            message = await self.peer.message("response.append", seconds=seconds)
        except CheckFailed as failed:
            raise Violation(requirement or await self.leaving_breaks(), str(failed)) from None
        if message["type"] == "response.cancel":
            raise CancelledByClient("the client cancels the Response")
        return self.hear(message)

    def hear(self, message: Event) -> dict[str, Event]:
        """The outputs of this message, which should be an append.

        :raises Violation, CheckFailed: it is no append, or not one that may come now.
        """
        if message["type"] != "response.append":
            raise CheckFailed(f"the client sent {message['type']}, not response.append")
        if message.get("response_id") is None and message.get("stream_id") != self.lane:
            raise CheckFailed("an append names neither its Response nor its lane")
        return self._appends.read(message)

    async def accept(self, outputs: Mapping[str, Event]) -> None:
        """Take these outputs in, and acknowledge them unless that ends the pause."""
        was_open = bool(self.open_calls)
        for call_id in outputs:
            self.open_calls.pop(call_id, None)
        self._appends.accepted.update(outputs)
        if self.open_calls or not was_open:
            pending = list(self.open_calls)
            event = {"type": "response.appended", "response_id": self.id, "answered": list(outputs), "pending": pending}
            await self.send(event)

    async def leaving_breaks(self) -> str:
        """The requirement that a client breaks which has left its calls alone: it waits, has failed, or thinks that all
        is done."""
        if self.peer.closed is None:
            return "client-answers-all"
        try:
            has_failed = self.case.has_failed(await self.case.exit_status(seconds=1))
        except CheckFailed:
            has_failed = False
        return "client-answers-all" if has_failed else "client-done"

    # --- losing the connection and coming back --------------------------------------------------------------------

    async def lose(self) -> None:
        """Break the connection, after the client has taken in what it was sent."""
        await self.case.settle(self.peer, self.last_sent)
        await self.peer.abort()
        self._appends.may_repeat = True

    async def come_back(self, requirement: str | None = None, *, seconds: float | None = None) -> int:
        """Wait for the client on another connection, asking to resume: after which event. ``peer`` is that connection.

        :param requirement: what is broken if it does not come; without it the check can't tell anything then.
        """
        try:
            self.peer = await self.case.connection(seconds=seconds)
            message = await self.peer.message("response.resume")
            if message["type"] != "response.resume":
                raise CheckFailed(f"its first message on a new connection is {message['type']}, not response.resume")
        except CheckFailed as failed:
            if requirement is None:
                raise NotTestable("the client does not resume after a lost connection") from None
            raise Violation(requirement, f"after a lost connection: {failed}") from None
        after = self.position(message)
        if after > self.last_sent:
            text = f"it resumes after event {after}; the last one that it was sent is {self.last_sent}"
            raise Violation("client-resume", text)
        return after

    def position(self, resume: Event) -> int:
        """What ``response.resume`` says that the client has.

        :raises CheckFailed: it is about another Response, or no number.
        """
        if resume.get("response_id") != self.id:
            raise CheckFailed(f"it resumes {resume.get('response_id')!r}, and its Response is {self.id!r}")
        after = resume.get("starting_after")
        if after is None:
            return -1
        if not isinstance(after, int) or after < -1:
            raise CheckFailed(f"starting_after is {json.dumps(after)}")
        return after

    async def comes_again(self, requirement: str) -> int:
        """The same after a resume that was refused: on this connection, or on another one."""
        try:
            message = await self.peer.message("response.resume")
        except CheckFailed:
            return await self.come_back(requirement)
        if message["type"] != "response.resume":
            raise Violation(requirement, f"after a resume that was refused, {message['type']} came")
        return self.position(message)

    async def resumed(self, after: int) -> None:
        """Say that the Response is attached again: the beginning of the answer to a resume."""
        await self.peer.send(
            self.on_lane(
                {
                    "type": "response.resumed",
                    "response_id": self.id,
                    "starting_after": after,
                    "last_sequence_number": len(self.events) - 1,
                    "status": "in_progress",
                    "required_input": self.required_input,
                }
            )
        )

    async def replay(self, first: int, stop: int | None = None) -> None:
        """Send the kept events from the number ``first`` on, up to ``stop``."""
        for event in self.events[first:stop]:
            await self._deliver(event)

    async def resume(self, after: int) -> None:
        """Answer a resume in full."""
        await self.resumed(after)
        await self.replay(after + 1)

    async def events_lost(self, *, paused: bool) -> int:
        """Refuse a resume, with a snapshot of now; the number where the snapshot stands."""
        number = len(self.events) - 1
        snapshot = {
            "sequence_number": number,
            "paused": paused,
            "response": self.snapshot(),
            "required_input": self.required_input,
        }
        text = "Not all events after that one are kept any more."
        error = {"type": "invalid_request_error", "code": "events_lost", "message": text, "param": "starting_after"}
        fields = {"sequence_number": 0, "status": 409, "response_id": self.id, "error": error, "snapshot": snapshot}
        self._appends.told.update(self.open_calls)
        self.last_sent = number
        await self.peer.send(self.on_lane({"type": "error", **fields}))
        return number
