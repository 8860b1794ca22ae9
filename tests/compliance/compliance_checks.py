"""What a Response, an item and a stream of events must look like to any client of the Responses API.

The fields are those of Open Responses (openresponses.org, version 2026-04-24): which exist, which may be null, which
types they have. The life cycles are stricter than its schema: they are what a client that follows a stream event by
event relies on. No code of the server takes part.
"""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

Json = dict[str, Any]

TERMINAL = {"response.completed": "completed", "response.failed": "failed", "response.incomplete": "incomplete"}

STRING, INTEGER, NUMBER, BOOLEAN = ({"type": name} for name in ("string", "integer", "number", "boolean"))
ID = {"type": "string", "minLength": 1}
INDEX = {"type": "integer", "minimum": 0}


def nullable(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def record(*, optional: Json | None = None, **required: Json) -> Json:
    """An object with these fields; others are let pass, since the API grows."""
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def array(items: Json) -> Json:
    return {"type": "array", "items": items}


def only(value: str) -> Json:
    return {"const": value}


def one_of(*values: str) -> Json:
    return {"enum": list(values)}


TOKEN = record(token=STRING, logprob=NUMBER, bytes=array(INTEGER))
LOGPROBS = array({**TOKEN, "properties": {**TOKEN["properties"], "top_logprobs": array(TOKEN)}})
OUTPUT_TEXT = record(
    type=only("output_text"), text=STRING, annotations=array({"type": "object"}), optional={"logprobs": LOGPROBS}
)
TEXT_PARTS = [record(type=only(name), text=STRING) for name in ("input_text", "text", "summary_text", "reasoning_text")]
PART = {"oneOf": [OUTPUT_TEXT, *TEXT_PARTS, record(type=only("refusal"), refusal=STRING)]}
STATUS = one_of("in_progress", "completed", "incomplete")
PHASE = one_of("commentary", "final_answer")

ITEMS = {
    "message": record(
        type=only("message"),
        id=ID,
        status=STATUS,
        role=one_of("user", "assistant", "system", "developer"),
        content=array(PART),
        optional={"phase": PHASE},
    ),
    "function_call": record(type=only("function_call"), id=ID, call_id=ID, name=ID, arguments=STRING, status=STATUS),
    "function_call_output": record(
        type=only("function_call_output"), id=ID, call_id=ID, output={"type": ["string", "array"]}, status=STATUS
    ),
    "reasoning": record(type=only("reasoning"), id=ID, summary=array(PART), optional={"content": array(PART)}),
    "compaction": record(type=only("compaction"), id=ID, encrypted_content=STRING),
}
ITEM = {"oneOf": list(ITEMS.values())}

TOOL = record(
    type=only("function"),
    name=ID,
    description=nullable(STRING),
    parameters=nullable({"type": "object"}),
    strict=nullable(BOOLEAN),
)
CHOICE = one_of("none", "auto", "required")
TOOL_CHOICE = {
    "anyOf": [
        CHOICE,
        record(type=only("function"), name=ID),
        record(type=only("allowed_tools"), mode=CHOICE, tools=array(record(type=only("function")))),
    ]
}
FORMAT = {"oneOf": [record(type=only(name)) for name in ("text", "json_object", "json_schema")]}
USAGE = record(
    input_tokens=INDEX,
    output_tokens=INDEX,
    total_tokens=INDEX,
    input_tokens_details=record(cached_tokens=INDEX),
    output_tokens_details=record(reasoning_tokens=INDEX),
)
RESPONSE = record(
    id=ID,
    object=only("response"),
    created_at=INTEGER,
    completed_at=nullable(INTEGER),
    status=one_of("completed", "failed", "in_progress", "cancelled", "queued", "incomplete"),
    incomplete_details=nullable(record(reason=STRING)),
    model=ID,
    previous_response_id=nullable(ID),
    instructions=nullable(STRING),
    output=array(ITEM),
    error=nullable(record(code=STRING, message=STRING)),
    tools=array(TOOL),
    tool_choice=TOOL_CHOICE,
    truncation=one_of("auto", "disabled"),
    parallel_tool_calls=BOOLEAN,
    text=record(format=FORMAT),
    top_p=NUMBER,
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
    top_logprobs=INTEGER,
    temperature=NUMBER,
    reasoning=nullable(record(effort=nullable(STRING), summary=nullable(STRING))),
    usage=nullable(USAGE),
    max_output_tokens=nullable(INTEGER),
    max_tool_calls=nullable(INTEGER),
    store=BOOLEAN,
    background=BOOLEAN,
    service_tier=STRING,
    metadata={"type": "object", "additionalProperties": STRING},
    safety_identifier=nullable(STRING),
    prompt_cache_key=nullable(STRING),
)
COMPACTION = record(id=ID, object=only("response.compaction"), created_at=INTEGER, output=array(ITEM), usage=USAGE)
ERROR = record(type=STRING, code=nullable(STRING), message=ID, param=nullable(STRING))

_WHOLE = {"response": RESPONSE}
_OF_ITEM = {"output_index": INDEX, "item": ITEM}
_OF_PART = {"item_id": ID, "output_index": INDEX, "content_index": INDEX}
EVENTS = {
    **dict.fromkeys(["response.created", "response.queued", "response.in_progress", *TERMINAL], _WHOLE),
    "response.output_item.added": _OF_ITEM,
    "response.output_item.done": _OF_ITEM,
    "response.content_part.added": {**_OF_PART, "part": PART},
    "response.content_part.done": {**_OF_PART, "part": PART},
    "response.output_text.delta": {**_OF_PART, "delta": STRING, "logprobs": LOGPROBS},
    "response.output_text.done": {**_OF_PART, "text": STRING, "logprobs": LOGPROBS},
    "response.function_call_arguments.delta": {"item_id": ID, "output_index": INDEX, "delta": STRING},
    "response.function_call_arguments.done": {"item_id": ID, "output_index": INDEX, "arguments": STRING, "name": ID},
}
"""What a text model without reasoning may send, and with which fields."""


def check(schema: Json, value: Any) -> None:
    problems = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)]
    assert not problems, "\n".join(problems)


def check_response(response: Json, *, status: str = "completed") -> None:
    """A Response that has ended, whose numbers fit together."""
    check(RESPONSE, response)
    assert response["status"] == status
    usage = response["usage"]
    assert usage["input_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"]["cached_tokens"] <= usage["input_tokens"]
    if status == "completed":
        assert response["created_at"] <= response["completed_at"]
        assert response["error"] is None
        assert response["incomplete_details"] is None
        assert {item["status"] for item in response["output"]} <= {"completed"}
    ids = [item["id"] for item in response["output"]]
    assert len(set(ids)) == len(ids)


def check_stream(events: list[Json]) -> Json:
    """The events of one Response, from its creation to its end; the Response that it ended with."""
    for number, event in enumerate(events):
        assert event["type"] in EVENTS, f"event {number} is of unknown type {event['type']!r}"
        check(record(**EVENTS[event["type"]]), event)
        assert event["sequence_number"] == number
    created, final = events[0], events[-1]
    assert created["type"] == "response.created"
    assert created["response"]["status"] in ("queued", "in_progress")
    assert created["response"]["output"] == []
    assert created["response"]["usage"] is None
    assert final["response"]["status"] == TERMINAL[final["type"]]
    check_response(final["response"], status=TERMINAL[final["type"]])
    whole = [event["type"] for event in events if "response" in event]
    assert [kind for kind in whole if kind != "response.queued"] == [
        created["type"],
        "response.in_progress",
        final["type"],
    ]
    assert [event["type"] for event in events[: len(whole) - 1]] == whole[:-1]
    snapshots = [event["response"] for event in events if "response" in event]
    for field in ("id", "created_at", "model", "tools", "previous_response_id"):
        assert all(snapshot[field] == final["response"][field] for snapshot in snapshots), field
    output = _items(events[1:-1])
    assert final["response"]["output"] == output
    return dict(final["response"])


def _items(events: list[Json]) -> list[Json]:
    """Follow every item from ``added`` to ``done``; the done ones."""
    by_index: dict[int, list[Json]] = {}
    for event in events:
        if "response" not in event:
            by_index.setdefault(event["output_index"], []).append(event)
    assert list(by_index) == list(range(len(by_index)))
    return [_item(each) for each in by_index.values()]


def _item(events: list[Json]) -> Json:
    first, last = events[0], events[-1]
    assert first["type"] == "response.output_item.added"
    assert first["item"]["status"] == "in_progress"
    assert last["type"] == "response.output_item.done"
    item: Json = last["item"]
    assert {"id": first["item"]["id"], "type": first["item"]["type"]} == {"id": item["id"], "type": item["type"]}
    assert all(event["item_id"] == item["id"] for event in events[1:-1])
    if item["type"] == "function_call":
        _call(first["item"], events[1:-1], item)
    else:
        assert item["type"] == "message"
        _message(first["item"], events[1:-1], item)
    return item


def _call(added: Json, events: list[Json], done: Json) -> None:
    assert added == {**done, "arguments": "", "status": "in_progress"}
    *deltas, last = events
    assert {event["type"] for event in deltas} == {"response.function_call_arguments.delta"}
    assert last["type"] == "response.function_call_arguments.done"
    assert "".join(event["delta"] for event in deltas) == last["arguments"] == done["arguments"]
    assert last["name"] == done["name"]
    json.loads(done["arguments"])


def _message(added: Json, events: list[Json], done: Json) -> None:
    assert added == {**done, "content": [], "status": "in_progress"}
    parts: dict[int, list[Json]] = {}
    for event in events:
        parts.setdefault(event["content_index"], []).append(event)
    assert list(parts) == list(range(len(done["content"])))
    for each, part in zip(parts.values(), done["content"], strict=True):
        begin, *deltas, text, end = each
        assert begin["type"] == "response.content_part.added"
        assert begin["part"]["text"] == ""
        assert {event["type"] for event in deltas} <= {"response.output_text.delta"}
        assert text["type"] == "response.output_text.done"
        assert end["type"] == "response.content_part.done"
        assert "".join(event["delta"] for event in deltas) == text["text"] == part["text"]
        assert end["part"] == part
