"""``openai`` for Python and stored Responses: retrieve, delete, cancel, input items, compact."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from local_tools import LocalTools
from openai import OpenAI


def test_retrieve(client: OpenAI, model: str) -> None:
    made = client.responses.create(model=model, input="Good morning!", temperature=0, metadata={"a": "b"})
    found = client.responses.retrieve(made.id)
    assert found.to_dict() == made.to_dict()


def test_not_stored(client: OpenAI, model: str) -> None:
    made = client.responses.create(model=model, input="Good morning!", temperature=0, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_delete(client: OpenAI, model: str) -> None:
    made = client.responses.create(model=model, input="Good morning!", temperature=0)
    client.responses.delete(made.id)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


def test_input_items(client: OpenAI, model: str, tools: LocalTools) -> None:
    """Newest first, in pages; all that came before the Response's own output."""
    first = client.responses.create(model=model, input="What is 6 * 7?", tools=tools.definitions, temperature=0)
    second = client.responses.create(
        model=model,
        previous_response_id=first.id,
        input=tools.outputs(first.output),
        tools=tools.definitions,
        temperature=0,
    )
    listed: list[Any] = list(client.responses.input_items.list(second.id, limit=1))
    assert listed[0].type == "function_call_output"
    assert listed[0].output == "42"
    oldest_first: list[Any] = list(client.responses.input_items.list(second.id, order="asc", limit=2))
    assert [item.id for item in oldest_first] == [item.id for item in reversed(listed)]
    assert len({item.id for item in listed}) == len(listed)


def test_background_and_cancel(client: OpenAI, model: str) -> None:
    made = client.responses.create(model=model, input="Good morning!", temperature=0, background=True)
    assert made.status in ("queued", "in_progress")
    assert made.background is True
    ended = client.responses.cancel(made.id)
    assert ended.id == made.id
    assert ended.status in ("cancelled", "completed")
    assert client.responses.cancel(made.id).status == ended.status


def test_cancel_of_one_that_has_ended(client: OpenAI, model: str) -> None:
    made = client.responses.create(model=model, input="Good morning!", temperature=0)
    assert client.responses.cancel(made.id).to_dict() == made.to_dict()


def test_item_reference(client: OpenAI, model: str) -> None:
    """An item of a stored Response, named by its id alone."""
    made = client.responses.create(model=model, input="Good morning!", temperature=0)
    reference: Any = {"type": "item_reference", "id": made.output[0].id}
    answer = client.responses.create(model=model, input=[reference, {"role": "user", "content": "Again."}])
    assert answer.status == "completed"


def test_compact(client: OpenAI, model: str) -> None:
    made = client.responses.create(model=model, input="Good morning! I am Ada.", temperature=0)
    compacted = client.responses.compact(model=model, previous_response_id=made.id)
    assert "compaction" in [item.type for item in compacted.output]
    # The library has no type for a user's message in an output, and warns when it writes one.
    items = [item.to_dict(warnings=False) for item in compacted.output]
    history: list[Any] = [*items, {"role": "user", "content": "Who am I?"}]
    answer = client.responses.create(model=model, input=history, temperature=0)
    assert answer.status == "completed"
