"""One Response, as a check drives it on one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .events import TERMINAL, Event, mapping, response_of
from .outcome import CheckFailed, Violation
from .peer import Frame
from .response_log import ResponseLog
from .server_peer import ServerPeer, laid_to

MANY_PAUSES = 12


class Rollout:
    """``log`` is the Response over all connections, ``lane`` its lane here. What is waited for is looked for after what
    was found last."""

    def __init__(self, peer: ServerPeer, log: ResponseLog, lane: str | None, seen: int = 0) -> None:
        self.peer = peer
        self.log = log
        self.lane = lane
        self._seen = seen

    @property
    def id(self) -> str:
        return self.log.id

    # --- what comes -----------------------------------------------------------------------------------------------

    async def until(self, *types: str, requirement: str | None = None, after_last: int = -1) -> Event:
        """The next event of this Response that has one of the types.

        :param requirement: what is broken if it does not come; without it the check as a whole has failed.
        :param after_last: only events with a higher sequence number.
        """
        what = " or ".join(types)

        def test(frame: Frame) -> Event | None:
            self.peer.raise_unexpected(frame, what)
            if self.peer.response_id(frame) != self.id:
                return None
            self._seen = frame.index + 1
            if frame.type in types and frame.event.get("sequence_number", -1) > after_last:
                return frame.event
            if frame.type in TERMINAL:
                raise CheckFailed(f"{frame.type} came, not {what}")
            return None

        return await laid_to(requirement, self.peer.wait(test, what, after=self._seen))

    async def pause(self, *, requirement: str | None = None) -> Event:
        return await self.until("response.done", requirement=requirement)

    async def end(self, *, requirement: str | None = None) -> Event:
        """Its last event, whatever it says until then."""
        return await self.until(*TERMINAL, requirement=requirement)

    async def call_done(self, *, requirement: str | None = None) -> Event:
        """The next call that is there to be answered, as an item."""
        while True:
            event = await self.until("response.output_item.done", requirement=requirement)
            if event.get("item") in self.log.calls:
                return dict(event["item"])

    async def finish(self, *, requirement: str | None = None) -> Event:
        """Answer whatever it asks until it is completed, or cut because the model talks too much; the last event."""
        for _ in range(MANY_PAUSES):
            event = await self.until("response.done", *TERMINAL, requirement=requirement)
            if event["type"] in TERMINAL:
                if event["type"] != "response.completed" and not _is_cut(event):
                    raise _failure(requirement, f"it ended with {event['type']}, not response.completed")
                return event
            await self.answer(*self.log.open_calls)
        raise CheckFailed(f"the model still makes calls after {MANY_PAUSES} pauses")

    # --- what goes out --------------------------------------------------------------------------------------------

    async def answer(self, *calls: Event, output: Any = "ok", **fields: Any) -> None:
        """Append an output for each of these calls, by the lane."""
        await self.append([output_for(call, output) for call in calls], **fields)

    async def append(self, items: Sequence[Any], *, by_id: bool = False, **fields: Any) -> None:
        """:param by_id: name the Response in ``response_id``."""
        named = {"response_id": self.id} if by_id else {}
        lane = {"stream_id": self.lane} if self.lane is not None else {}
        await self.peer.send({"type": "response.append", **lane, **named, "input": list(items), **fields})

    async def cancel(self, *, by_id: bool = True) -> None:
        named = {"response_id": self.id} if by_id else {}
        lane = {"stream_id": self.lane} if self.lane is not None else {}
        await self.peer.send({"type": "response.cancel", **lane, **named})


def output_for(call: Event, output: Any = "ok", **fields: Any) -> Event:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": output, **fields}


def message(role: str, text: str) -> Event:
    return {"type": "message", "role": role, "content": text}


def _is_cut(event: Event) -> bool:
    return mapping(response_of(event).get("incomplete_details")).get("reason") == "max_output_tokens"


def _failure(requirement: str | None, text: str) -> CheckFailed:
    return CheckFailed(text) if requirement is None else Violation(requirement, text)
