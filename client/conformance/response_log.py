"""One Response as the suite saw it, over all the connections that carried it, and the rules that hold for every one.

A log takes the events of every check, so each requirement that it knows of is watched all the time. It has no state
table and no code in common with what it judges.
"""

from __future__ import annotations

from collections import Counter

from .events import ACKNOWLEDGEMENT, TERMINAL, Event, call_ids, is_count, item_of, mapping, objects, response_of
from .usage_rule import Complain, UsageRule


class ResponseLog:
    """``frames`` holds each event by sequence number, as it was sent first. ``done_items`` and ``calls`` are in the
    order of ``output_index``. ``is_whole`` ends when events were passed over by way of a snapshot: what depends on all
    of them is not judged from there on."""

    def __init__(self, response_id: str, complain: Complain) -> None:
        self.id = response_id
        self.frames: dict[int, str] = {}
        self.events: list[Event] = []
        self.is_whole = True
        self.is_paused = False
        self.terminal: Event | None = None
        self.answered: set[str] = set()
        self.required: list[str] = []
        self._complain = complain
        self._sent: Counter[str] = Counter()
        self._appends: Counter[frozenset[str]] = Counter()
        self._added: dict[int, str] = {}
        self._done: dict[int, Event] = {}
        self._segment: list[int] = []
        self._usage = UsageRule(complain)

    @property
    def pauses(self) -> list[Event]:
        """Its ``response.done`` events."""
        return [event for event in self.events if event.get("type") == "response.done"]

    @property
    def last(self) -> int:
        """The highest sequence number that came, -1 if none did."""
        return max(self.frames, default=-1)

    @property
    def status(self) -> str:
        return "in_progress" if self.terminal is None else str(response_of(self.terminal).get("status"))

    @property
    def done_items(self) -> list[Event]:
        return [self._done[at] for at in sorted(self._done)]

    @property
    def calls(self) -> list[Event]:
        """Calls that the client is asked to answer."""
        return [item for item in self.done_items if _is_asked(item)]

    @property
    def open_calls(self) -> list[Event]:
        return [item for item in self.calls if str(item.get("call_id")) not in self.answered]

    def sent(self, append: Event) -> None:
        """An append for it goes out."""
        ids = call_ids(append.get("input"))
        self._sent.update(ids)
        self._appends[frozenset(ids)] += 1

    def refused(self, append_input: object) -> None:
        ids = call_ids(append_input)
        self._sent.subtract(ids)
        self._appends[frozenset(ids)] -= 1

    def take(self, sequence: int, text: str, event: Event, *, replayed: bool = False) -> None:
        """An event of it came, in the replay after a resume or for the first time."""
        known = self.frames.get(sequence)
        if known is not None:
            if known != text and replayed:
                self._complain("resume-replay", f"event {sequence} came as {_cut(known)} and then as {_cut(text)}")
            return
        self.is_whole = self.is_whole and sequence == self.last + 1
        self.frames[sequence] = text
        self.events.append(event)
        self._rules(event)

    # --- the rules ------------------------------------------------------------------------------------------------

    def _rules(self, event: Event) -> None:
        kind = str(event.get("type"))
        if self.terminal is not None:
            self._complain("final-output", f"{kind} came after {self.terminal.get('type')}")
        if len(self.events) == 1 and self.is_whole and kind not in ("response.created", "response.cancelled"):
            self._complain("created-first", f"the first event was {kind}")
        self._leave_pause(kind)
        if kind == "response.created":
            self._created(event)
        elif kind == "response.output_item.added":
            self._item_added(event)
        elif kind == "response.output_item.done":
            self._item_done(event)
        elif kind == ACKNOWLEDGEMENT:
            self._acknowledged(event)
        elif kind == "response.done":
            self._paused(event)
        elif kind in TERMINAL:
            self._ended(event)
        elif "item_id" in event:
            self._said_of(event)

    def _leave_pause(self, kind: str) -> None:
        if not self.is_paused or kind == ACKNOWLEDGEMENT or kind in TERMINAL:
            return
        missing = [call for call in self.required if self._sent[call] < 1]
        if missing:
            self._complain(
                "done-silence", f"{kind} came in a pause, before an output for {', '.join(missing)} was sent"
            )
        self.is_paused = False
        self.answered.update(self.required)

    def _created(self, event: Event) -> None:
        response = response_of(event)
        if event.get("sequence_number") != 0:
            self._complain("created-first", f"response.created has sequence_number {event.get('sequence_number')}")
        for name, kinds in (("id", str), ("created_at", (int, float)), ("model", str)):
            if not isinstance(response.get(name), kinds):
                self._complain("created-first", f"its response has {name} = {response.get(name)!r}")
        if response.get("status") != "in_progress":
            self._complain("created-first", f"its response has status {response.get('status')!r}")

    def _item_added(self, event: Event) -> None:
        at = event.get("output_index")
        if not is_count(at):
            self._complain("output-index", f"an item was added with output_index {at!r}")
            return
        assert isinstance(at, int)
        if self.is_whole and at != len(self._added):
            self._complain("output-index", f"an item was added at {at}, after {len(self._added)} others")
        if not isinstance(item_of(event).get("id"), str):
            self._complain("event-order", "an item was added that has no id")
        self._added[at] = str(item_of(event).get("id"))

    def _said_of(self, event: Event) -> None:
        at, item_id, kind = event.get("output_index"), event.get("item_id"), event.get("type")
        if not self.is_whole:
            return
        if not isinstance(at, int) or self._added.get(at) != item_id:
            self._complain("event-order", f"{kind} is of item {item_id!r} at {at!r}, which was not added")
        elif at in self._done:
            self._complain("event-order", f"{kind} came for item {item_id!r} after it was done")

    def _item_done(self, event: Event) -> None:
        at, item = event.get("output_index"), dict(item_of(event))
        if not isinstance(at, int):
            self._complain("output-index", f"an item was done at {at!r}")
            return
        if self.is_whole and self._added.get(at) != item.get("id"):
            self._complain("event-order", f"item {item.get('id')!r} at {at} was done and had not been added")
        elif at in self._done:
            self._complain("event-order", f"item {item.get('id')!r} was done twice")
        self._done[at] = item
        self._segment.append(at)

    def _acknowledged(self, event: Event) -> None:
        answered, pending = event.get("answered"), event.get("pending")
        if event.get("response_id") != self.id or not isinstance(answered, list) or not isinstance(pending, list):
            self._complain("append-ack", f"the acknowledgement is {_cut(str(event))}")
            return
        if self._appends[frozenset(map(str, answered))] < 1:
            self._complain("append-ack", f"answered is {answered}, and no append with just these outputs was sent")
        self.answered.update(map(str, answered))
        still_open = [item.get("call_id") for item in self.open_calls]
        if self.is_whole and pending != still_open:
            self._complain("append-ack", f"pending is {pending}, and open are {still_open}")

    def _paused(self, event: Event) -> None:
        response = response_of(event)
        self.is_paused = True
        if response.get("id") != self.id or response.get("status") != "in_progress":
            self._complain("done-fields", f"id is {response.get('id')!r} and status {response.get('status')!r}")
        if not isinstance(response.get("output"), list) or not isinstance(response.get("required_input"), list):
            self._complain("done-fields", f"there is no list of output, or of required_input: {sorted(response)}")
        self._usage.take(response, "done-fields")
        if self.is_whole:
            expected = [self._done[at] for at in sorted(self._segment)]
            output = sorted(objects(response.get("output")), key=lambda item: str(item.get("id")))
            if output != sorted(expected, key=lambda item: str(item.get("id"))):
                self._complain("done-segment", f"{_ids(output)} came, {_ids(expected)} were done since the last pause")
        self._segment.clear()
        self._requires(objects(response.get("required_input")))

    def _requires(self, required: list[Event]) -> None:
        self.required = [str(each.get("call_id")) for each in required]
        if (wrong := self.wrong_required_input(required)) is not None:
            self._complain("done-required-input", wrong)
        if not required:
            self._complain("append-early-no-pause", "response.done came, and no call was open")

    def wrong_required_input(self, required: list[Event]) -> str | None:
        """What is wrong with a ``required_input`` after the events that came; None if nothing is."""
        if not self.is_whole:
            return None
        named = [each.get("call_id") for each in required]
        expected = [
            {"type": "function_call_output", "call_id": item.get("call_id"), "name": item.get("name")}
            for item in self.open_calls
            # What was sent and not acknowledged may have been taken already, or not.
            if item.get("call_id") in named or self._sent[str(item.get("call_id"))] < 1
        ]
        said = [{name: each.get(name) for name in ("type", "call_id", "name")} for each in required]
        return None if said == expected else f"it is {said}, and open are {expected}"

    def _ended(self, event: Event) -> None:
        self.terminal, self.is_paused = event, False
        response = response_of(event)
        kind = str(event.get("type")).removeprefix("response.")
        if response.get("id") != self.id or response.get("status") != kind:
            self._complain("final-output", f"{kind} has id {response.get('id')!r}, status {response.get('status')!r}")
        if kind == "cancelled" and not mapping(response.get("incomplete_details")).get("reason"):
            self._complain("cancel-final", "response.cancelled has no incomplete_details.reason")
        if not isinstance(response.get("output"), list):
            self._complain("final-output", f"{kind} has no list of output")
        if response.get("usage") is not None or kind == "completed":
            self._usage.take(response, "usage-cumulative")
        if not self.is_whole:
            return
        output, done = objects(response.get("output")), self.done_items
        if kind == "completed" and output != done:
            self._complain("final-output", f"it has {_ids(output)}, and {_ids(done)} were done")
        # What was cut in its middle need not have been done, and may be there as incomplete.
        ids = [item.get("id") for item in done]
        if kind != "completed" and [item.get("id") for item in output if item.get("id") in ids] != ids:
            self._complain("final-output", f"{kind} has {_ids(output)}, and {_ids(done)} were done")


def _is_asked(item: Event) -> bool:
    return item.get("type") == "function_call" and item.get("status", "completed") == "completed"


def _ids(items: list[Event]) -> list[str]:
    return [f"{item.get('type')} {item.get('id')}" for item in items]


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
