"""What the Open Responses suite checks over HTTP, in this project's words. A test is named after the suite's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from compliance_checks import COMPACTION, ERROR, ITEMS, RESPONSE, check, check_response, check_stream

CALCULATE = {
    "type": "function",
    "name": "calculate",
    "description": "Evaluate an arithmetic expression exactly.",
    "parameters": {
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "description": "The expression, such as (3 + 4) * 5 or sqrt(2).",
            }
        },
        "required": ["expression"],
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)


def said(role: str, content: Any, **fields: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content, **fields}


def text_of(response: dict[str, Any]) -> str:
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


def test_basic_response(api: Any) -> None:
    answer = api.create(input=[said("user", "Good morning!")])
    assert answer.status == 200
    check_response(answer.body)
    assert text_of(answer.body)


def test_system_prompt(api: Any) -> None:
    answer = api.create(input=[said("system", "You are a sailor."), said("user", "Good morning!")])
    assert answer.status == 200
    check_response(answer.body)
    assert text_of(answer.body)


def test_multi_turn(api: Any) -> None:
    history = [said("user", "I am Ada."), said("assistant", "Good day, Ada."), said("user", "Who am I?")]
    answer, last_alone = api.create(input=history), api.create(input=history[-1:])
    assert answer.status == 200
    check_response(answer.body)
    assert text_of(answer.body)
    assert answer.body["usage"]["input_tokens"] > last_alone.body["usage"]["input_tokens"] + 10


def test_assistant_phase(api: Any) -> None:
    """Labels of earlier messages are taken, and kept for whoever reads them back."""
    history = [
        said("assistant", "I look it up.", phase="commentary"),
        said("assistant", "It is seven.", phase="final_answer"),
        said("user", "Say it again."),
    ]
    answer = api.create(input=history)
    assert answer.status == 200
    check_response(answer.body)
    listed = api.request("GET", f"/responses/{answer.body['id']}/input_items?order=asc").body["data"]
    for item in listed:
        check(ITEMS["message"], item)
    assert [item.get("phase") for item in listed] == ["commentary", "final_answer", None]


def test_response_output_phase_schema(api: Any) -> None:
    """A label on an output message, where there is one, is one of the two. No request that a server gets."""
    response = api.create(input="Good morning!").body
    response["output"][0]["phase"] = "final_answer"
    check(RESPONSE, response)
    response["output"][0]["phase"] = "afterthought"
    with pytest.raises(AssertionError, match="afterthought"):
        check(RESPONSE, response)


def test_tool_calling(api: Any) -> None:
    answer = api.create(input="What is 12 * 7?", tools=[CALCULATE])
    assert answer.status == 200
    check_response(answer.body)
    (call,) = [item for item in answer.body["output"] if item["type"] == "function_call"]
    assert call["name"] == "calculate"
    assert json.loads(call["arguments"]) == {"expression": "12 * 7"}
    assert answer.body["tools"][0]["parameters"]["required"] == ["expression"]


def test_streaming_response(api: Any) -> None:
    final = check_stream(api.stream(input=[said("user", "Good morning!")]))
    assert final["status"] == "completed"
    assert text_of(final)


def test_streaming_response_with_a_tool_call(api: Any) -> None:
    final = check_stream(api.stream(input="What is 12 * 7?", tools=[CALCULATE]))
    assert final["status"] == "completed"
    assert [item["type"] for item in final["output"]] == ["function_call"]


def test_streaming_response_that_is_cut(api: Any) -> None:
    """Its last item is the incomplete one."""
    final = check_stream(api.stream(input="Good morning!", max_output_tokens=1))
    assert final["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in final["output"]][-1:] in ([], ["incomplete"])


def test_image_input(api: Any) -> None:
    """The model reads text alone: said at once, and clearly."""
    answer = api.create(input=[said("user", [{"type": "input_image", "image_url": PIXEL}])])
    assert answer.status == 400
    check(ERROR, answer.body["error"])
    assert "image" in answer.body["error"]["message"]


def test_compact_response(api: Any) -> None:
    history = [said("user", "The meeting is on Friday."), said("assistant", "I have noted the meeting on Friday.")]
    body = {"model": api.model, "prompt_cache_key": "a-meeting", "input": history}
    answer = api.request("POST", "/responses/compact", body)
    assert answer.status == 200
    check(COMPACTION, answer.body)
    assert "compaction" in [item["type"] for item in answer.body["output"]]
    continued = api.create(input=[*answer.body["output"], said("user", "When is the meeting?")])
    assert continued.status == 200
    check_response(continued.body)


def test_compact_missing_model(api: Any) -> None:
    answer = api.request("POST", "/responses/compact", {"input": [said("user", "Good morning!")]})
    assert answer.status in (400, 422)
    check(ERROR, answer.body["error"])
    assert answer.body["error"]["param"] == "model"


def test_all_at_once(api: Any) -> None:
    """The suite runs its tests concurrently."""
    with ThreadPoolExecutor(17) as pool:
        streams = [pool.submit(api.stream, input=f"What is {number} + 1?", tools=[CALCULATE]) for number in range(17)]
        finals = [check_stream(each.result()) for each in streams]
    assert len({final["id"] for final in finals}) == 17
