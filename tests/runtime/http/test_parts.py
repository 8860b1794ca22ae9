"""The pieces that answers are made of."""

from __future__ import annotations

import json
import re

import pytest
from caesura.protocol.codec import encode
from caesura.protocol.errors import InvalidValue
from caesura.protocol.events import OutputTextDelta
from caesura.runtime.http import frames, sse
from caesura.runtime.http.input_items import inputs_of, page_of
from caesura.runtime.http.server_timing import timing_headers, timing_of
from caesura.runtime.store import StoredItem, StoredResponse
from hypothesis import given
from hypothesis import strategies as st


@given(st.text())
def test_an_event_is_one_name_and_one_line_of_data(text: str) -> None:
    """Whatever line breaks there are in it: a reader of lines knows CR, LF and both."""
    event = OutputTextDelta(item_id="m", output_index=0, content_index=0, delta=text, sequence_number=3)
    frame = encode(event)
    name, data, rest, end = re.split("\r\n|\r|\n", sse.encoded(frame).decode())
    assert (name, rest, end) == (f"event: {frames.type_of(frame)}", "", "")
    assert json.loads(data.removeprefix("data: "))["delta"] == text


def stored(items: list[StoredItem]) -> StoredResponse:
    return StoredResponse("r", "", 0.0, None, b"{}", tuple(items))


ITEMS = st.lists(st.booleans(), max_size=8)


@given(st.lists(ITEMS, min_size=1, max_size=4), st.integers(1, 9), st.booleans())
def test_pages_are_the_list_in_pieces(chain: list[list[bool]], limit: int, latest_first: bool) -> None:
    numbers = iter(range(100))
    history = []
    for kinds in chain:
        ids = [(f"i{next(numbers)}", is_output) for is_output in kinds]
        history.append(stored([StoredItem(name, is_output, b'{"id":"%b"}' % name.encode()) for name, is_output in ids]))
    items = inputs_of(history)
    wanted = [item.id for response in history for item in response.items]
    own_output = {item.id for item in history[-1].items if item.is_output}
    assert [item.id for item in items] == [name for name in wanted if name not in own_output]
    if latest_first:
        items.reverse()
    found: list[str] = []
    after = None
    while True:
        page = page_of(items, after, limit)
        ids = [json.loads(bytes(raw))["id"] for raw in page["data"]]
        assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
        assert len(ids) == limit or not page["has_more"]
        found += ids
        assert page["has_more"] == (len(found) < len(items))
        if not page["has_more"]:
            break
        after = page["last_id"]
    assert found == [item.id for item in items]


def test_a_cursor_that_is_no_item() -> None:
    with pytest.raises(InvalidValue):
        page_of([StoredItem("a", False, b"{}")], "b", 5)


def test_server_timing() -> None:
    response = (
        b'{"id": "r", "caesura": {"stages_ms": {"api": 1.5}, "preinference_ms": {"render": 0.25}, "wall_ms": 12}}'
    )
    timing = timing_of(response)
    assert timing == {"api": 1.5, "render": 0.25, "total": 12}
    assert timing_headers(timing) == {"server-timing": "api;dur=1.5, render;dur=0.25, total;dur=12"}
    assert timing_headers(timing_of(b'{"id": "r"}')) == {}
