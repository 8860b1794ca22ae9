"""One connection to a server under test, watched: which Response an event belongs to, and whether it may come now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .events import ACKNOWLEDGEMENT, Event, error_code, is_count, objects, response_of
from .response_log import ResponseLog
from .usage_rule import Complain


@dataclass(slots=True)
class Attachment:
    """A Response that this connection carries. ``next`` is the sequence number that has to come, ``replay_until`` the
    last one that a resume repeats, ``required`` what it said is open after that."""

    log: ResponseLog
    next: int
    replay_until: int = -1
    required: list[Event] | None = None


class Observer:
    """``find_log`` gives the log of a Response, the same for all connections of a check."""

    def __init__(self, find_log: Callable[[str], ResponseLog], complain: Complain) -> None:
        self.attached: dict[str | None, Attachment] = {}
        self._find_log = find_log
        self._complain = complain
        self._lanes: set[str | None] = set()
        self._num_errors = 0
        self._taken: set[str | None] = set()

    def sends(self, message: Event) -> None:
        """The suite sends this."""
        lane = message.get("stream_id")
        if message.get("type") == "response.create":
            self._lanes.add(lane)
        elif message.get("type") == "response.append":
            named = message.get("response_id")
            if isinstance(named, str):
                self._find_log(named).sent(message)
            elif lane in self.attached:
                self.attached[lane].log.sent(message)

    def receives(self, text: str, event: Event) -> ResponseLog | None:
        """The server sent this; the Response that it is an event of, if it is one."""
        kind, lane = str(event.get("type")), event.get("stream_id")
        lane = lane if isinstance(lane, str | None) else repr(lane)
        if kind == "error":
            self._error(event)
        elif kind == "response.resumed":
            self._resumed(event, lane)
        elif kind == "response.detached":
            self._detached(event)
        elif kind.startswith("response."):
            return self._numbered(kind, lane, text, event)
        return None

    def _error(self, event: Event) -> None:
        body = event.get("error")
        if event.get("sequence_number") != self._num_errors and error_code(event) != "slow_reader":
            text = f"error {self._num_errors} of the connection has sequence_number {event.get('sequence_number')!r}"
            self._complain("error-apart", text)
        self._num_errors += 1
        if not is_count(event.get("status")) or not is_count(event.get("sequence_number")):
            self._complain("error-shape", f"status, or sequence_number, is no number in {event}")
        if not isinstance(body, dict) or not {"type", "code", "message", "param"} <= body.keys():
            self._complain("error-shape", f"error lacks type, code, message or param: {event}")
        elif not all(isinstance(body[name], str) and body[name] for name in ("type", "code", "message")):
            self._complain("error-shape", f"type, code or message is no text: {body}")
        elif not isinstance(body["param"], str | None):
            self._complain("error-shape", f"param is neither text nor null: {body}")
        if isinstance(event.get("response_id"), str) and "input" in event:
            self._find_log(event["response_id"]).refused(event["input"])

    def _resumed(self, event: Event, lane: str | None) -> None:
        start = event.get("starting_after")
        if not isinstance(start, int) or not isinstance(event.get("last_sequence_number"), int):
            self._complain("resume-first", f"starting_after or last_sequence_number is no number: {event}")
        if event.get("status") is None or not isinstance(event.get("required_input"), list):
            self._complain("resume-first", f"it does not say where the Response stands: {event}")
        log = self._find_log(str(event.get("response_id")))
        last = event.get("last_sequence_number")
        after = start if isinstance(start, int) else -1
        required = objects(event.get("required_input")) if event.get("status") == "in_progress" else None
        self.attached[lane] = Attachment(log, after + 1, last if isinstance(last, int) else after, required)
        self._end_replay(self.attached[lane])
        self._lanes.add(lane)
        self._taken.discard(lane)

    def _end_replay(self, attachment: Attachment) -> None:
        """Once a replay is over, what its ``response.resumed`` said of the open calls has to hold."""
        log, required = attachment.log, attachment.required
        if required is None or attachment.next <= attachment.replay_until:
            return
        attachment.required = None
        if log.last == attachment.replay_until and (wrong := log.wrong_required_input(required)) is not None:
            self._complain("resume-first", f"required_input: {wrong}")

    def _detached(self, event: Event) -> None:
        for lane, attachment in list(self.attached.items()):
            if attachment.log.id == event.get("response_id"):
                del self.attached[lane]
                self._taken.add(lane)

    def _numbered(self, kind: str, lane: str | None, text: str, event: Event) -> ResponseLog | None:
        sequence = event.get("sequence_number")
        if not is_count(sequence):
            requirement = "append-ack-numbered" if kind == ACKNOWLEDGEMENT else "sequence-numbers"
            self._complain(requirement, f"{kind} has sequence_number {sequence!r}")
            return None
        assert isinstance(sequence, int)
        attachment = self._attachment(kind, lane, event)
        if attachment is None:
            return None
        log = attachment.log
        said = response_of(event).get("id", event.get("response_id", log.id))
        if said != log.id:
            self._complain("lane-echo", f"{kind} is of {said}, on the lane {lane!r} of {log.id}")
        replayed = min(sequence, attachment.next) <= attachment.replay_until
        if sequence != attachment.next:
            requirement = "resume-replay" if replayed else "sequence-numbers"
            message = f"{kind} has sequence_number {sequence}, and {attachment.next} was to come"
            self._complain(requirement, message)
        attachment.next = sequence + 1
        log.take(sequence, text, event, replayed=replayed)
        self._end_replay(attachment)
        return log

    def _attachment(self, kind: str, lane: str | None, event: Event) -> Attachment | None:
        """What an event belongs to; begins with ``response.created``, or with the cancel of what was never created."""
        current = self.attached.get(lane)
        new_id = response_of(event).get("id")
        unborn = kind == "response.cancelled" and (current is None or current.log.id != new_id)
        replayed = current is not None and current.log.id == new_id and current.next <= current.replay_until
        if replayed or (kind != "response.created" and not unborn):
            if current is None:
                self._stray(kind, lane)
            return current
        if lane not in self._lanes:
            self._complain("lane-default" if None in self._lanes else "lane-echo", f"{kind} came on the lane {lane!r}")
        if current is not None and current.log.terminal is None and kind == "response.created":
            requirement = "supersede" if current.log.is_paused else "lane-order"
            self._complain(requirement, f"{kind} came before the end of {current.log.id} on the lane {lane!r}")
        begun = Attachment(self._find_log(str(new_id)), 0)
        if not (unborn and current is not None and current.log.terminal is None):
            self.attached[lane] = begun
        return begun

    def _stray(self, kind: str, lane: str | None) -> None:
        if lane in self._taken:
            self._complain("resume-takeover", f"{kind} came for a Response that another connection took over")
        elif lane is None and any(name is not None for name in self._lanes):
            self._complain("lane-echo", f"{kind} came without a stream_id, and no Response is on the default lane")
        elif lane is not None:
            self._complain("lane-default", f"{kind} came with the stream_id {lane!r}, and no Response is on that lane")
        else:
            self._complain("created-first", f"{kind} came before response.created")
