"""A plain model of one Response: what was emitted, what was answered, and what the two allow next.

It shares nothing with the machine that it judges: frames are read as JSON, states are words, calls are lists.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from caesura.protocol.server import AppendRequested, ServerResponse

ENDS = {"response.completed", "response.failed", "response.incomplete", "response.cancelled"}


@dataclass
class Rollout:
    """``response`` is what the server core has for it; ``since`` is when the pause began or was last appended to."""

    response: ServerResponse
    frames: list[str] = field(default_factory=list)
    state: str = "sampling"
    calls: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    came_with: dict[str, list[Any]] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=list)
    items: dict[int, Any] = field(default_factory=dict)
    segment: list[Any] = field(default_factory=list)
    opened_at: dict[int, list[list[str]]] = field(default_factory=dict)
    adding: dict[str, Any] | None = None
    since: float = 0.0

    @property
    def id(self) -> str:
        return str(self.response.id)

    @property
    def is_open(self) -> bool:
        return self.state != "ended"

    # --- what the server sends ------------------------------------------------------------------------------------

    def take(self, now: float) -> dict[str, Any]:
        """Read the one event that the server has just emitted."""
        fresh = self.response.log.after(len(self.frames) - 1)
        assert fresh is not None
        assert len(fresh) == 1, "one step emits one event"
        event: dict[str, Any] = json.loads(fresh[0])
        assert event["sequence_number"] == len(self.frames), "the numbers rise by one"
        assert event.get("stream_id") == self.response.stream_id
        assert self.is_open, "nothing comes after the end"
        self.frames.append(fresh[0])
        self._follow(event, now)
        self._note_open()
        return event

    def _follow(self, event: dict[str, Any], now: float) -> None:
        kind = event["type"]
        if self.state == "paused":
            assert kind == "response.appended" or kind in ENDS, f"{kind} in a pause"
        if kind in ENDS:
            self.state = "ended"
        elif kind == "response.output_item.added":
            self.items[event["output_index"]] = event["item"]
        elif kind == "response.output_item.done":
            self.items[event["output_index"]] = event["item"]
            self.segment.append(event["item"])
            if event["item"]["type"] == "function_call" and event["item"]["status"] == "completed":
                self.calls.append(event["item"]["call_id"])
                self.open.append(event["item"]["call_id"])
        elif kind == "response.done":
            assert event["response"]["output"] == self.segment, "a pause shows its own segment"
            assert [call["call_id"] for call in event["response"]["required_input"]] == self.open
            assert event["response"]["status"] == "in_progress"
            self.segment, self.state, self.since = [], "paused", now
        elif kind == "response.appended":
            assert event["pending"] == self.open

    def _note_open(self) -> None:
        self.opened_at.setdefault(len(self.frames) - 1, []).append(list(self.open))

    # --- what the client sends ------------------------------------------------------------------------------------

    def judge(self, request: AppendRequested) -> bool:
        """What the core lets through must be right. Whether it ends the pause."""
        outputs = [item for item in request.raw if item["type"] == "function_call_output"]
        messages = [item for item in request.raw if item["type"] == "message"]
        fresh = list(dict.fromkeys(item["call_id"] for item in outputs if item["call_id"] in self.open))
        first: dict[str, dict[str, Any]] = dict(self.answers)
        for item in outputs:
            assert first.setdefault(item["call_id"], item) == item, "a second, different output got through"
            assert item["call_id"] in self.calls, "an output for a call that was never sampled got through"
        repeats = [item["call_id"] for item in outputs if item["call_id"] not in fresh]
        known = [self.came_with[call_id] for call_id in repeats]
        again = not fresh and bool(repeats) and (not messages or messages in known)
        assert request.is_repeat == again
        assert fresh or again or self.state == "paused", "messages alone got through while the model samples"
        return self.state == "paused" and len(fresh) == len(self.open)

    def accept(self, request: AppendRequested, now: float) -> None:
        """The server has accepted it: take it in, and the acknowledgement."""
        ends_pause = self.judge(request)
        outputs = [item for item in request.raw if item["type"] == "function_call_output"]
        messages = [item for item in request.raw if item["type"] == "message"]
        for item in outputs:
            if item["call_id"] in self.open:
                self.open.remove(item["call_id"])
                self.answers[item["call_id"]] = item
                self.came_with[item["call_id"]] = messages
        if not request.is_repeat:
            self.messages += messages
        if ends_pause:
            self.state = "sampling"
            self._note_open()
            return
        if self.state == "paused" and not request.is_repeat:
            self.since = now
        event = self.take(now)
        assert event["type"] == "response.appended", "what does not end a pause is acknowledged"
        assert event["answered"] == list(dict.fromkeys(item["call_id"] for item in outputs))

    # --- comparisons ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """The core's machine says the same."""
        machine = self.response
        assert machine.next_sequence_number == len(self.frames)
        state = "ended" if machine.has_ended else "paused" if machine.is_paused else "sampling"
        assert state == self.state
        if self.is_open:
            assert [call.call_id for call in machine.required_input] == self.open
            assert list(machine.pending_calls) == self.open
            assert {call_id: known.output.output for call_id, known in machine.answers.items() if known.output} == {
                call_id: item["output"] for call_id, item in self.answers.items()
            }
        assert len({str(message) for message in self.messages}) == len(self.messages), "a message was added twice"

    def check_snapshot(self, snapshot: dict[str, Any]) -> None:
        """It shows the Response as of its number."""
        number, response = snapshot["sequence_number"], snapshot["response"]
        items: dict[int, Any] = {}
        kinds = []
        for frame in self.frames[: number + 1]:
            event = json.loads(frame)
            kinds.append(event["type"])
            if event["type"].startswith("response.output_item."):
                items[event["output_index"]] = event["item"]
        if kinds[-1] in ENDS:
            assert response == json.loads(self.frames[number])["response"]
            return
        assert response["status"] == "in_progress"
        assert response["output"] == [items[index] for index in sorted(items)]
        opened = [call["call_id"] for call in snapshot["required_input"]]
        assert opened in self.opened_at[number]
        assert snapshot["paused"] <= ("response.done" in kinds)
