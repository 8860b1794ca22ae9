"""A Response as its server keeps it, whatever connection carries it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from .errors import EventsLost, InvalidValue
from .event_log import EventLog
from .events import ResponseResumed, Snapshot
from .modes import APPEND, Mode
from .response import IN_PROGRESS, ResponseMachine

if TYPE_CHECKING:
    from .server_connection import ServerConnection


@dataclass(slots=True, eq=False, kw_only=True)
class ServerResponse(ResponseMachine):
    """With what a resume needs.

    :ivar owner: the credential that it was created with.
    :ivar log: its last events.
    :ivar connection: the one that it is attached to; None while nobody is.
    :ivar model: what its create asked for.
    :ivar previous_response_id: the one that it goes on from.
    :ivar is_background: it lives on without a connection, whatever the mode.
    :ivar is_silent: nobody is told anything of it but its end.
    :ivar timing: what its preinference took by stage, milliseconds, once it has begun.
    :ivar is_ending: the runtime has been asked to end it.
    """

    owner: str
    log: EventLog
    connection: ServerConnection | None
    model: str | None = None
    idempotency_key: str | None = None
    mode: Mode = APPEND
    previous_response_id: str | None = None
    is_background: bool = False
    is_silent: bool = False
    timing: dict[str, float] = field(default_factory=dict)
    is_ending: bool = False

    @property
    def outlives(self) -> bool:
        """Whether it lives on when its connection is lost."""
        return self.mode.outlives or self.is_background

    def events_after(self, starting_after: int) -> list[str]:
        """The frames after that sequence number, as they were first sent.

        :raises InvalidValue: there is no such event yet.
        :raises EventsLost: some of them are not kept any more.
        """
        if not -1 <= starting_after <= self.log.last:
            raise InvalidValue(
                f"The last event of Response {self.id} is {self.log.last}; 'starting_after' must be from -1 to that.",
                param="starting_after",
            )
        frames = self.log.after(starting_after)
        if frames is None:
            raise EventsLost(
                f"Not all events after {starting_after} are kept any more. Take over the snapshot and resume after its "
                "sequence_number.",
                param="starting_after",
            )
        return frames

    def resumed(self, starting_after: int) -> ResponseResumed:
        """Where it stands, for who resumes it."""
        return ResponseResumed(
            response_id=self.id or "",
            starting_after=starting_after,
            last_sequence_number=self.log.last,
            status=IN_PROGRESS if self.final is None else self.final.status,
            required_input=() if self.has_ended else self.required_input,
            stream_id=msgspec.UNSET if self.stream_id is None else self.stream_id,
        )

    def snapshot(self) -> Snapshot | msgspec.UnsetType:
        """All of it as it stands, for who has missed too much; nothing before it began."""
        if self.announced is None:
            return msgspec.UNSET
        now = self.final
        if now is None:
            usage = None if self.last_pause is None else self.last_pause.response.usage
            now = msgspec.structs.replace(self.announced, output=self.all_items, usage=usage)
        return Snapshot(
            sequence_number=self.log.last,
            paused=self.is_paused,
            response=now,
            required_input=() if self.has_ended else self.required_input,
        )
