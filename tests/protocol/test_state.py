"""The state table, as data."""

import pytest
from caesura.protocol.errors import ProtocolViolation
from caesura.protocol.response import ResponseMachine
from caesura.protocol.state import ENDED, LIVE, PAUSED, TRANSITIONS, UNBORN, State, Stimulus


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
    assert PAUSED < LIVE
    assert UNBORN < LIVE


def test_a_lost_connection_ends_every_live_response_that_has_been_asked_for() -> None:
    for state in LIVE - {State.NEW}:
        assert TRANSITIONS[state][Stimulus.LOSE] in ENDED


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("stimulus", Stimulus)
def test_the_machine_follows_the_table_and_nothing_else(state: State, stimulus: Stimulus) -> None:
    machine = ResponseMachine(state=state)
    if stimulus in TRANSITIONS[state]:
        machine.advance(stimulus)
        assert machine.state is TRANSITIONS[state][stimulus]
    else:
        with pytest.raises(ProtocolViolation, match=state.value):
            machine.advance(stimulus)
        assert machine.state is state


def test_no_other_module_compares_states() -> None:
    """The rule that keeps the table the only place: outside it, no State member is named."""
    from pathlib import Path

    root = Path(__file__).parents[2]
    allowed = {root / "protocol" / "state.py", root / "protocol" / "response.py"}
    for folder in ("protocol", "runtime", "client"):
        for file in (root / folder).rglob("*.py"):
            if file not in allowed:
                assert "State." not in file.read_text().replace("WebSocketState.", ""), file
