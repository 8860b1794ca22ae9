"""Input items on their way to a store and back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from caesura.protocol.errors import InvalidValue, ItemNotFound, MissingParameter
from caesura.protocol.items import FunctionCall, InputItem, InputMessage, ItemReference, parse_input
from caesura.runtime.input_items import resolve_references, stored_items
from hypothesis import assume, given
from hypothesis import strategies as st

TEXT = st.text(max_size=4)
PART = st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text", "text"]), "text": TEXT})
CONTENT = TEXT | st.lists(PART, max_size=2)
NAME = st.text("abc", min_size=1, max_size=2)
LOOSE = {
    "id": NAME | st.none() | st.just("") | st.just("x" * 300) | st.integers(),
    "status": st.sampled_from(["completed", "incomplete", None]),
    "phase": st.sampled_from(["commentary", None]),
    "x_unknown": TEXT,
}


def item(fields: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields, optional={**LOOSE, **optional})


ITEMS = st.one_of(
    item(
        {"role": st.sampled_from(InputMessage.ROLES), "content": CONTENT | st.none()},
        type=st.sampled_from(["message", None]),
    ),
    item({"type": st.just("function_call"), "call_id": NAME, "name": NAME, "arguments": TEXT}),
    item({"type": st.just("function_call_output"), "call_id": NAME, "output": CONTENT}),
    item({"type": st.just("caesura:hosted_call"), "call_id": NAME, "name": NAME, "arguments": TEXT, "output": CONTENT}),
    item({"type": st.just("reasoning")}, summary=st.none() | st.just([]), content=st.none() | st.just([])),
    item({"type": st.sampled_from(["compaction", "compaction_summary"]), "encrypted_content": NAME}),
    item({"type": st.sampled_from(["web_search_call", "ghost_snapshot"])}),
    item({"type": st.just("custom_tool_call"), "call_id": NAME, "name": NAME, "input": TEXT}),
)


@given(st.text(min_size=1, max_size=4) | st.lists(ITEMS, max_size=4))
def test_what_is_stored_reads_as_it_came(raw: Any) -> None:
    try:
        items = parse_input(raw)
    except MissingParameter:
        assume(False)
    stored = stored_items(raw)
    assert parse_input(stored) == items
    assert len({item["id"] for item in stored}) == len(stored) or any("id" in item for item in raw)
    for kept, came in zip(stored, [{}] if isinstance(raw, str) else raw, strict=True):
        assert isinstance(kept["type"], str)
        assert isinstance(kept["id"], str)
        assert 0 < len(kept["id"]) <= 256
        if isinstance(came.get("id"), str) and came["id"] not in ("", "x" * 300):
            assert kept["id"] == came["id"]
        if kept["type"] == "message":
            assert isinstance(kept["content"], list)
            assert kept["status"] in ("completed", "incomplete")
        assert {key: kept[key] for key in came if key.startswith("x_")} == {
            key: came[key] for key in came if key.startswith("x_")
        }
    assert stored_items(stored) == stored


@given(st.lists(ITEMS, min_size=1, max_size=4))
def test_what_was_read_can_be_stored_too(raw: Any) -> None:
    """A guard may have changed the items: then what was read is stored and not what was sent."""
    try:
        items = parse_input(raw)
    except MissingParameter:
        assume(False)
    assert parse_input(stored_items(msgspec.to_builtins(items))) == items


def test_a_string_is_a_message_with_a_part() -> None:
    (stored,) = stored_items("hi")
    assert stored.pop("id").startswith("msg_")
    assert stored == {
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "hi"}],
    }


@pytest.mark.parametrize(
    ("raw", "prefix"),
    [
        ({"role": "assistant", "content": "x"}, "msg_"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}, "fc_"),
        ({"type": "function_call_output", "call_id": "c", "output": "x"}, "fco_"),
        ({"type": "reasoning"}, "rs_"),
        ({"type": "compaction", "encrypted_content": "x"}, "cmp_"),
    ],
)
def test_ids_say_what_they_are_of(raw: dict[str, Any], prefix: str) -> None:
    assert stored_items([raw])[0]["id"].startswith(prefix)


def resolve(items: Sequence[InputItem], stored: Mapping[str, Any]) -> Sequence[InputItem]:
    async def find(item_id: str) -> Any:
        return stored.get(item_id)

    return asyncio.run(_resolve(items, find))


async def _resolve(items: Sequence[InputItem], find: Any) -> Sequence[InputItem]:
    return await resolve_references(items, find)


HI = InputMessage(role="user", text="hi")


def test_references_are_replaced() -> None:
    stored = {"fc_1": {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}}
    assert resolve([HI, ItemReference(id="fc_1")], stored) == [HI, FunctionCall(call_id="c", name="f", arguments="{}")]


def test_without_references_nothing_is_copied() -> None:
    items = [HI]
    assert resolve(items, {}) is items


def test_an_item_that_is_not_stored_is_named() -> None:
    with pytest.raises(ItemNotFound) as caught:
        resolve([HI, ItemReference(id="msg_x")], {})
    assert (caught.value.param, caught.value.status) == ("input[1].id", 404)


def test_a_stored_item_that_can_not_be_read_is_named() -> None:
    with pytest.raises(InvalidValue) as caught:
        resolve([ItemReference(id="a")], {"a": {"type": "from_the_future"}})
    assert caught.value.param == "input[0].type"
