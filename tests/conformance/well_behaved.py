"""A Response in order, as events, and an observer that watches it."""

from __future__ import annotations

import copy
import json
from typing import Any

from caesura.client.conformance.observer import Observer
from caesura.client.conformance.response_log import ResponseLog

Event = dict[str, Any]
LANE = "one"


class Server:
    """Says the events of a Response that is in order."""

    def __init__(self, response_id: str = "resp_1", lane: str | None = None) -> None:
        self.id = response_id
        self.lane = lane
        self.events: list[Event] = []
        self.items: list[Event] = []
        self.segment: list[Event] = []
        self.open: list[Event] = []
        self.tokens = 10

    def say(self, kind: str, **fields: Any) -> None:
        lane = {} if self.lane is None else {"stream_id": self.lane}
        self.events.append({"type": kind, "sequence_number": len(self.events), **lane, **copy.deepcopy(fields)})

    def response(self, status: str, **fields: Any) -> Event:
        usage = {"input_tokens": self.tokens, "output_tokens": 1, "total_tokens": self.tokens + 1}
        return {"id": self.id, "status": status, "usage": usage, **fields}

    def begin(self) -> None:
        self.say("response.created", response={**self.response("in_progress"), "created_at": 1.5, "model": "m"})

    def item(self, kind: str) -> Event:
        at = len(self.items)
        item = {"type": kind, "id": f"item_{at}", "status": "in_progress"}
        if kind == "function_call":
            item |= {"call_id": f"call_{at}", "name": "f", "arguments": "{}"}
        self.say("response.output_item.added", output_index=at, item=item)
        delta = "response.function_call_arguments.delta" if kind == "function_call" else "response.output_text.delta"
        self.say(delta, output_index=at, item_id=item["id"], delta="x")
        item = {**item, "status": "completed"}
        self.say("response.output_item.done", output_index=at, item=item)
        for each in (self.items, self.segment, *([self.open] if kind == "function_call" else [])):
            each.append(item)
        return item

    def required(self) -> list[Event]:
        return [{"type": "function_call_output", "call_id": call["call_id"], "name": "f"} for call in self.open]

    def pause(self) -> None:
        output, self.segment = self.segment, []
        said = self.response("in_progress", output=output, required_input=self.required())
        self.say("response.done", response=said)

    def acknowledge(self, call: Event) -> None:
        self.open.remove(call)
        pending = [each["call_id"] for each in self.open]
        self.say("response.appended", response_id=self.id, answered=[call["call_id"]], pending=pending)

    def end(self, kind: str = "completed", **fields: Any) -> None:
        self.tokens += 5
        self.say(f"response.{kind}", response=self.response(kind, output=self.items, **fields))


def append(*calls: Event, lane: str | None = None) -> Event:
    outputs = [{"type": "function_call_output", "call_id": call["call_id"], "output": "ok"} for call in calls]
    return {"type": "response.append", "input": outputs, **({} if lane is None else {"stream_id": lane})}


class Watched:
    """An observer, and all that it complains of."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.logs: dict[str, ResponseLog] = {}
        self.observer = self.connect()

    def connect(self) -> Observer:
        return Observer(self.log, self.complain)

    def complain(self, requirement: str, text: str) -> None:
        assert text
        self.broken.append(requirement)

    def log(self, response_id: str) -> ResponseLog:
        return self.logs.setdefault(response_id, ResponseLog(response_id, self.complain))

    def receive(self, *events: Event, observer: Observer | None = None) -> None:
        for event in events:
            (observer or self.observer).receives(json.dumps(event), event)


def story(server: Server) -> list[Event]:
    """Two pauses, one of two calls that are answered one by one. Returns what happened, in order: the events of the
    server, and the messages of the client, which have no ``sequence_number``."""
    happened: list[Event] = [{"type": "response.create", **({"stream_id": server.lane} if server.lane else {})}]

    def said() -> None:
        happened.extend(server.events[sum("sequence_number" in each for each in happened) :])

    server.begin()
    server.item("message")
    a, b = server.item("function_call"), server.item("function_call")
    server.pause()
    said()
    happened.append(append(b, lane=server.lane))
    server.acknowledge(b)
    said()
    happened.append(append(a, lane=server.lane))
    server.open.clear()
    server.tokens += 5
    c = server.item("function_call")
    server.pause()
    said()
    happened.append(append(c, lane=server.lane))
    server.open.clear()
    server.item("message")
    server.end()
    said()
    return happened


def watch(happened: list[Event]) -> list[str]:
    watched = Watched()
    for each in happened:
        if "sequence_number" in each:
            watched.receive(each)
        else:
            watched.observer.sends(each)
    return watched.broken
