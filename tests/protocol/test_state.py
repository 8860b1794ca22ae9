"""The state table as data, and a walk over every pair of a state and a message on the machine that follows it."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from caesura.protocol import events, items
from caesura.protocol.append_items import Append, parse_append
from caesura.protocol.errors import (
    CaesuraError,
    InvalidRequest,
    InvalidValue,
    ProtocolViolation,
    ResponseAlreadyEnded,
    ResponseNotFound,
    ResponseNotPaused,
    ToolCallAlreadyAnswered,
    ToolCallNotFound,
)
from caesura.protocol.items import FunctionCallOutput, InputMessage
from caesura.protocol.response import ResponseMachine
from caesura.protocol.state import (
    APPENDS,
    ENDED,
    LIVE,
    PAUSED,
    REQUESTS,
    SAMPLING,
    TRANSITIONS,
    UNBORN,
    State,
    Stimulus,
    refusal,
)
from peers import call, resource


def test_every_state_has_a_row() -> None:
    assert set(TRANSITIONS) == set(State)


def test_every_stimulus_is_allowed_somewhere() -> None:
    assert {stimulus for row in TRANSITIONS.values() for stimulus in row} == set(Stimulus)


def test_every_state_can_be_reached_and_left_for_an_end() -> None:
    reached = {State.NEW}
    for _ in State:
        reached |= {target for state in reached for target in TRANSITIONS[state].values()}
    assert reached == set(State)
    ending = set(ENDED)
    for _ in State:
        ending |= {state for state in State if ending & set(TRANSITIONS[state].values())}
    assert ending == set(State)


def test_the_sets_partition_the_states() -> None:
    assert set(State) == LIVE | ENDED
    assert not LIVE & ENDED
    assert LIVE == UNBORN | SAMPLING | PAUSED
    assert not UNBORN & SAMPLING
    assert not SAMPLING & PAUSED


def test_whatever_lives_and_was_asked_for_can_be_lost() -> None:
    for state in LIVE - {State.NEW}:
        assert TRANSITIONS[state][Stimulus.LOSE] in ENDED


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("stimulus", Stimulus)
def test_the_machine_follows_the_table_and_nothing_else(state: State, stimulus: Stimulus) -> None:
    machine = ResponseMachine(state=state)
    if stimulus in TRANSITIONS[state]:
        machine.advance(stimulus)
        assert machine.state is TRANSITIONS[state][stimulus]
        return
    with pytest.raises(refusal(state, stimulus), match=state.value):
        machine.advance(stimulus)
    assert machine.state is state


def test_what_a_client_asks_for_is_refused_with_an_error_for_clients() -> None:
    for state in State:
        for stimulus in set(Stimulus) - TRANSITIONS[state].keys():
            expected = InvalidRequest if stimulus in REQUESTS else ProtocolViolation
            assert issubclass(refusal(state, stimulus), expected)
    assert REQUESTS >= APPENDS


def test_no_other_module_compares_states() -> None:
    """The rule that keeps the table the only place: outside it, no State member is named."""
    root = Path(__file__).parents[2]
    allowed = {root / "protocol" / "state.py", root / "protocol" / "response.py"}
    for folder in ("protocol", "runtime", "client"):
        for file in (root / folder).rglob("*.py"):
            if file not in allowed:
                assert "State." not in file.read_text().replace("WebSocketState.", ""), file


# --- the walk ---------------------------------------------------------------------------------------------------------

Act = Callable[[ResponseMachine], None]


def in_state(state: State) -> ResponseMachine:
    """A machine that came there by messages. Where it lives, call "a" is answered; "b" and "c" are open."""
    machine = ResponseMachine()
    if state is State.NEW:
        return machine
    machine.advance(Stimulus.CREATE)
    if state is State.REQUESTED:
        return machine
    if state is State.REJECTED:
        machine.advance(Stimulus.REJECT)
        return machine
    take(machine, events.ResponseCreated(response=resource("resp_1")))
    for index, call_id in enumerate("abc"):
        take(machine, events.OutputItemDone(output_index=index, item=call(call_id)))
    machine.apply_append(outputs("a"))
    if state is State.PAUSED:
        take(machine, machine.pause())
    elif state is not State.IN_PROGRESS:
        take(machine, END_EVENTS[state](response=resource("resp_1", state.value)))
    assert machine.state is state
    return machine


END_EVENTS: dict[State, Callable[..., events.ResponseEvent]] = {
    State.COMPLETED: events.ResponseCompleted,
    State.FAILED: events.ResponseFailed,
    State.INCOMPLETE: events.ResponseIncomplete,
    State.CANCELLED: events.ResponseCancelled,
}


def take(machine: ResponseMachine, event: events.ResponseEvent) -> None:
    machine.apply(machine.stamp(event))


def outputs(*call_ids: str, text: str = "ok") -> Append:
    return Append(outputs=tuple(FunctionCallOutput(call_id=call_id, output=text) for call_id in call_ids))


def asks(stimulus: Stimulus) -> Act:
    return lambda machine: machine.advance(stimulus)


def appends(append: Append) -> Act:
    return lambda machine: assert_same(machine.check_append(append), machine.apply_append(append))


def assert_same(checked: Stimulus, applied: Stimulus) -> None:
    assert checked is applied


def sends(event: events.ResponseEvent) -> Act:
    return lambda machine: take(machine, event)


part = items.OutputText("x")
about = {"item_id": "x", "output_index": 3}
STREAM: dict[str, events.ResponseEvent] = {
    type(event).__name__: event
    for event in (
        events.ResponseInProgress(response=resource("resp_1")),
        events.OutputItemAdded(output_index=3, item=items.OutputMessage(id="m", status="in_progress")),
        events.OutputItemDone(output_index=3, item=items.OutputMessage(id="m", status="completed")),
        events.ContentPartAdded(content_index=0, part=part, **about),  # type: ignore[arg-type]
        events.ContentPartDone(content_index=0, part=part, **about),  # type: ignore[arg-type]
        events.OutputTextDelta(content_index=0, delta="x", **about),  # type: ignore[arg-type]
        events.OutputTextDone(content_index=0, text="x", **about),  # type: ignore[arg-type]
        events.ReasoningTextDelta(content_index=0, delta="x", **about),  # type: ignore[arg-type]
        events.ReasoningTextDone(content_index=0, text="x", **about),  # type: ignore[arg-type]
        events.FunctionCallArgumentsDelta(delta="x", **about),  # type: ignore[arg-type]
        events.FunctionCallArgumentsDone(name="f", arguments="{}", **about),  # type: ignore[arg-type]
    )
}

MESSAGES: dict[str, Act] = {
    "create": asks(Stimulus.CREATE),
    "append part": appends(outputs("b")),
    "append rest": appends(outputs("c", "b")),
    "append again": appends(outputs("a")),
    "append a message": appends(Append(messages=(InputMessage(role="user", text="hurry"),))),
    "append unknown": appends(outputs("b", "c", "nobody")),
    "append other": appends(Append(outputs=outputs("b", "c").outputs + outputs("a", text="no").outputs)),
    "append twice": appends(Append(outputs=outputs("b", "c").outputs + outputs("b", text="no").outputs)),
    "cancel": asks(Stimulus.CANCEL),
    "resume": asks(Stimulus.RESUME),
    "created": sends(events.ResponseCreated(response=resource("resp_1"))),
    **{name: sends(event) for name, event in STREAM.items()},
    "done": sends(events.ResponseDone()),
    "appended": sends(events.ResponseAppended(response_id="resp_1", answered=["a"], pending=["b", "c"])),
    "completed": sends(events.ResponseCompleted(response=resource("resp_1", "completed"))),
    "failed": sends(events.ResponseFailed(response=resource("resp_1", "failed"))),
    "incomplete": sends(events.ResponseIncomplete(response=resource("resp_1", "incomplete"))),
    "cancelled": sends(events.ResponseCancelled(response=resource("resp_1", "cancelled"))),
}

V, N, E = ProtocolViolation, ResponseNotFound, ResponseAlreadyEnded
P, C, A = ResponseNotPaused, ToolCallNotFound, ToolCallAlreadyAnswered
requested, progress, paused = State.REQUESTED, State.IN_PROGRESS, State.PAUSED
Outcome = State | type[CaesuraError]
STREAMED: tuple[Outcome, ...] = (V, V, progress, V, V, V)
# The columns: new, requested, in progress, paused, ended in any way (E: refused, or the state stays), rejected.
EXPECTED: dict[str, tuple[Outcome, ...]] = {
    "create": (requested, V, V, V, V, V),
    "append part": (N, N, progress, paused, E, N),
    "append rest": (N, N, progress, progress, E, N),
    "append again": (N, N, progress, paused, E, N),
    "append a message": (N, N, P, paused, E, N),
    "append unknown": (N, N, C, C, E, N),
    "append other": (N, N, A, A, E, N),
    "append twice": (N, N, A, A, E, N),
    "cancel": (N, requested, progress, paused, E, N),
    "resume": (N, N, progress, paused, State.COMPLETED, N),
    "created": (V, progress, V, V, V, V),
    **dict.fromkeys(STREAM, STREAMED),
    "done": (V, V, paused, V, V, V),
    "appended": (V, V, progress, paused, V, V),
    "completed": (V, V, State.COMPLETED, V, V, V),
    "failed": (V, V, State.FAILED, State.FAILED, V, V),
    "incomplete": (V, V, State.INCOMPLETE, State.INCOMPLETE, V, V),
    "cancelled": (V, State.CANCELLED, State.CANCELLED, State.CANCELLED, V, V),
}
COLUMNS = {State.NEW: 0, State.REQUESTED: 1, State.IN_PROGRESS: 2, State.PAUSED: 3, State.REJECTED: 5}


def test_the_walk_leaves_no_event_out() -> None:
    classes = set(typing.get_args(events.ResponseEvent))
    assert {type(event) for event in STREAM.values()} == set(typing.get_args(events.StreamEvent))
    assert len(classes) == len(STREAM) + 7
    assert MESSAGES.keys() == EXPECTED.keys()


@pytest.mark.requirement("done-silence", "append-ended", "cancel-ended", "append-atomic")
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_in_every_state(state: State, message: str) -> None:
    expected = EXPECTED[message][COLUMNS.get(state, 4)]
    machine = in_state(state)
    if isinstance(expected, State):
        MESSAGES[message](machine)
        assert machine.state is (state if state in ENDED else expected)
        return
    before = repr(machine)
    with pytest.raises(expected) as caught:
        MESSAGES[message](machine)
    assert type(caught.value) is expected
    assert repr(machine) == before


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", STREAM)
def test_a_wrong_sequence_number_is_refused_in_every_state(state: State, event: str) -> None:
    machine = in_state(state)
    before = repr(machine)
    for number in (machine.next_sequence_number - 1, machine.next_sequence_number + 1):
        with pytest.raises(ProtocolViolation, match="sequence_number"):
            machine.apply(msgspec.structs.replace(STREAM[event], sequence_number=number))
    assert repr(machine) == before


@pytest.mark.parametrize("value", [3, [3], [{"type": "function_call"}], [{"role": "assistant", "content": "x"}], {}])
def test_a_malformed_append_never_reaches_the_machine(value: object) -> None:
    with pytest.raises(InvalidValue):
        parse_append(value, max_items=10)
