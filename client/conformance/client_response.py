"""A Response as a script makes it: its items, its events and their numbers. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from .client_contract import ECHO
from .client_script import call_events, hosted_call_events, message_events, response_object, usage
from .events import Event, item_of


class ScriptedResponse:
    """``events`` are all of them, each at its sequence number, whether or not the client was sent it. ``open_calls``
    are the items that wait for an output, by ``call_id``."""

    def __init__(self, create: Event) -> None:
        self.create = create
        self.id = f"resp_{uuid4().hex}"
        self.lane = create.get("stream_id")
        self.events: list[Event] = []
        self.open_calls: dict[str, Event] = {}
        self._model = str(create.get("model"))
        self._num_items = 0
        self._items: list[Event] = []
        self._segment: list[Event] = []

    # --- events, without their numbers ----------------------------------------------------------------------------

    def created(self) -> Event:
        return {"type": "response.created", "response": response_object(self.id, self._model, "in_progress")}

    def message(self, text: str) -> list[Event]:
        return message_events(self._next_index(), text)

    def call(self, name: str, arguments: str | Mapping[str, Any], *, status: str = "completed") -> list[Event]:
        return call_events(
            self._next_index(), name, arguments, call_id=f"call_{self._num_items}_{uuid4().hex[:8]}", status=status
        )

    def echo(self, text: str) -> list[Event]:
        """A call of the tool that every client under test has."""
        return self.call(ECHO, {"text": text})

    def hosted_call(self) -> list[Event]:
        return hosted_call_events(self._next_index(), f"call_{self._num_items}_{uuid4().hex[:8]}")

    def pause(self) -> Event:
        """The ``response.done`` that is right now."""
        output, self._segment = self._segment, []
        return {
            "type": "response.done",
            "response": {
                "id": self.id,
                "status": "in_progress",
                "usage": usage(len(self.events)),
                "output": output,
                "required_input": self.required_input,
            },
        }

    def end(self, status: str = "completed", **fields: Any) -> Event:
        """The last event, as it is right now."""
        return {"type": f"response.{status}", "response": self.snapshot(status, **fields)}

    def snapshot(self, status: str = "in_progress", **fields: Any) -> Event:
        """The Response object with all that there is."""
        return response_object(
            self.id, self._model, status, output=list(self._items), usage=usage(len(self.events)), **fields
        )

    @property
    def required_input(self) -> list[Event]:
        return [
            {"type": "function_call_output", "call_id": call_id, "name": item["name"]}
            for call_id, item in self.open_calls.items()
        ]

    def _next_index(self) -> int:
        self._num_items += 1
        return self._num_items - 1

    # --- numbers ---------------------------------------------------------------------------------------------------

    def keep(self, *events: Event) -> list[Event]:
        """Number these events and keep them: what a server does while the client is not there."""
        numbered = []
        for event in events:
            item = item_of(event)
            if event["type"] == "response.output_item.done":
                self._items.append(dict(item))
                self._segment.append(dict(item))
                if item["type"] == "function_call" and item["status"] == "completed":
                    self.open_calls[item["call_id"]] = dict(item)
            numbered.append(self.on_lane({**event, "sequence_number": len(self.events)}))
            self.events.append(numbered[-1])
        return numbered

    def on_lane(self, message: Event) -> Event:
        return message if self.lane is None else {**message, "stream_id": self.lane}
