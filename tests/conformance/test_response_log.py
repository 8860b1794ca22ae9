"""The rules that are watched all the time: nothing to say of a Response that is in order, and what is wrong is seen."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from well_behaved import LANE, Event, Server, story, watch


@pytest.mark.parametrize("lane", [None, LANE])
def test_nothing_to_say_of_a_response_in_order(lane: str | None) -> None:
    assert watch(story(Server(lane=lane))) == []


def find(happened: list[Event], kind: str, number: int = 0) -> Event:
    return [each for each in happened if each["type"] == f"response.{kind}"][number]


def renumbered(happened: list[Event]) -> list[Event]:
    numbered = [each for each in happened if "sequence_number" in each]
    for number, each in enumerate(numbered):
        each["sequence_number"] = number
    return happened


def move(happened: list[Event], event: Event, to: int) -> None:
    happened.remove(event)
    happened.insert(to, event)
    renumbered(happened)


FAULTS: dict[str, tuple[str, Callable[[list[Event]], object]]] = {
    "a number twice": ("sequence-numbers", lambda h: h.insert(6, {**h[5], "delta": "again"})),
    "a number left out": ("sequence-numbers", lambda h: h.pop(3)),
    "no number": ("sequence-numbers", lambda h: h[4].update(sequence_number=None)),
    "begins at 1": ("created-first", lambda h: find(h, "created").update(sequence_number=1)),
    "created without model": ("created-first", lambda h: find(h, "created")["response"].pop("model")),
    "created as completed": ("created-first", lambda h: find(h, "created")["response"].update(status="completed")),
    "something before created": ("created-first", lambda h: move(h, find(h, "created"), 3)),
    "an index twice": ("output-index", lambda h: find(h, "output_item.added", 1).update(output_index=0)),
    "an index begun anew": ("output-index", lambda h: find(h, "output_item.added", 3).update(output_index=0)),
    "a delta before its item": (
        "event-order",
        lambda h: move(h, find(h, "output_item.added"), h.index(find(h, "output_text.delta")) + 1),
    ),
    "a delta after its item": (
        "event-order",
        lambda h: move(h, find(h, "output_text.delta"), h.index(find(h, "output_item.done")) + 1),
    ),
    "an item done twice": (
        "event-order",
        lambda h: renumbered([h.insert(5, copy.deepcopy(find(h, "output_item.done"))), *h][1:]),
    ),
    "pause without id": ("done-fields", lambda h: find(h, "done")["response"].pop("id")),
    "pause without usage": ("done-fields", lambda h: find(h, "done")["response"].pop("usage")),
    "pause as completed": ("done-fields", lambda h: find(h, "done")["response"].update(status="completed")),
    "pause lacks an item": ("done-segment", lambda h: find(h, "done")["response"]["output"].pop()),
    "pause repeats items": (
        "done-segment",
        lambda h: find(h, "done", 1)["response"]["output"].extend(find(h, "done")["response"]["output"]),
    ),
    "pause asks for less": ("done-required-input", lambda h: find(h, "done")["response"]["required_input"].pop()),
    "pause asks in another order": (
        "done-required-input",
        lambda h: find(h, "done")["response"]["required_input"].reverse(),
    ),
    "pause asks for nothing": (
        "append-early-no-pause",
        lambda h: find(h, "done", 1)["response"].update(required_input=[]),
    ),
    "goes on without an answer": ("done-silence", lambda h: h.remove(find(h, "append", 1))),
    "goes on before the answer": (
        "done-silence",
        lambda h: move(h, find(h, "output_item.added", 3), h.index(find(h, "append", 1))),
    ),
    "acknowledges another Response": ("append-ack", lambda h: find(h, "appended").update(response_id="resp_2")),
    "acknowledges what was not sent": ("append-ack", lambda h: find(h, "appended")["answered"].append("call_9")),
    "acknowledges nothing open": ("append-ack", lambda h: find(h, "appended").update(pending=[])),
    "usage does not add up": (
        "usage-cumulative",
        lambda h: find(h, "done")["response"]["usage"].update(total_tokens=0),
    ),
    "usage falls": (
        "usage-cumulative",
        lambda h: find(h, "completed")["response"]["usage"].update(input_tokens=0, total_tokens=1),
    ),
    "the end lacks an item": ("final-output", lambda h: find(h, "completed")["response"]["output"].pop(0)),
    "the end reorders items": ("final-output", lambda h: find(h, "completed")["response"]["output"].reverse()),
    "the end has another item": (
        "final-output",
        lambda h: find(h, "completed")["response"]["output"][0].update(status="incomplete"),
    ),
    "the end as failed": ("final-output", lambda h: find(h, "completed")["response"].update(status="failed")),
    "something after the end": ("final-output", lambda h: h.append({**h[-1], "sequence_number": len(h) - 4})),
    "a lane that was not asked for": ("lane-default", lambda h: find(h, "created").update(stream_id="other")),
    "an event on another lane": ("lane-default", lambda h: find(h, "output_text.delta").update(stream_id="other")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name: str) -> None:
    requirement, spoil = FAULTS[name]
    happened = story(Server())
    spoil(happened)
    assert requirement in watch(happened)


def test_a_lane_that_is_not_echoed_is_seen() -> None:
    happened = story(Server(lane=LANE))
    del find(happened, "output_text.delta")["stream_id"]
    assert "lane-echo" in watch(happened)


@given(st.data())
def test_any_event_lost_or_repeated_is_seen(data: st.DataObject) -> None:
    happened = story(Server())
    numbered = [at for at, each in enumerate(happened) if "sequence_number" in each]
    at = data.draw(st.sampled_from(numbered))
    if data.draw(st.booleans()):
        happened.insert(at, copy.deepcopy(happened[at]))
        broken = watch(happened)
    else:
        broken = watch(happened[:at] + happened[at + 1 :])
    assert broken or at == numbered[-1]  # the last one can't be missed by what follows


@settings(max_examples=400)
@given(st.data())
def test_any_field_of_any_type_is_survived(data: st.DataObject) -> None:
    """A peer may send what it likes: the rules complain, or not, and never raise."""
    values = st.sampled_from([None, 0, -1, True, "", "x", [], [1], [{}], {}, {"id": []}, 1.5])
    happened = story(Server(lane=data.draw(st.sampled_from([None, LANE]))))
    event = data.draw(st.sampled_from([each for each in happened if "sequence_number" in each]))
    place = event
    name = data.draw(st.sampled_from(sorted(place)))
    if isinstance(place[name], dict) and data.draw(st.booleans()):
        place = place[name]
        name = data.draw(st.sampled_from(sorted(place)))
    place[name] = data.draw(values)
    watch(happened)
