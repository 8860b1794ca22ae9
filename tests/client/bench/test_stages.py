"""Stages tile a turn, whatever the stamps are."""

from __future__ import annotations

import pytest
from caesura.client.bench import stages
from caesura.client.bench.records import RunRecord, ServerTurn, ToolRecord, TurnRecord
from caesura.client.bench.stages import GROUPS, group_of, grouped, residual, stages_of_run, stages_of_turn
from hypothesis import given
from hypothesis import strategies as st
from synthetic_results import MS, Pace, run_of, turn_at

STAMP = st.integers(0, 10_000)
LENGTH = st.integers(-100, 10_000)
SERVER = st.builds(
    ServerTurn,
    received=STAMP,
    sampling=STAMP,
    prefill_ns=LENGTH,
    first_token=STAMP,
    last_token=STAMP,
    told=STAMP,
    inference_ns=LENGTH,
    stages_ns=st.dictionaries(st.sampled_from(["validate", "resolve", "guards", "render", "tokenise"]), LENGTH),
    post_ns=LENGTH,
    given=LENGTH,
    decoded=LENGTH,
    reused=LENGTH,
    sampled=LENGTH,
)
TURN = st.builds(
    TurnRecord,
    began=STAMP,
    sent=STAMP,
    first_byte=STAMP,
    first_token=STAMP,
    last_event=STAMP,
    ended=STAMP,
    bytes_up=LENGTH,
    bytes_down=LENGTH,
    events=LENGTH,
    tools=st.just([]),
    usage=st.none(),
    server=st.none() | SERVER,
)


@given(TURN)
def test_stages_tile_a_turn_whatever_its_stamps_are(turn: TurnRecord) -> None:
    tiles = stages_of_turn(turn)
    assert sum(tiles.values()) == max(turn.ended - turn.began, 0)
    assert all(ns >= 0 for ns in tiles.values())


@given(st.lists(TURN, max_size=5), STAMP, STAMP)
def test_stages_and_residual_add_up_to_the_run(turns: list[TurnRecord], began: int, ended: int) -> None:
    run = RunRecord("e", "s0", 0, 0, began, ended, turns)
    assert sum(stages_of_run(run).values()) + residual(run) == ended - began


@given(TURN)
def test_groups_hold_all_that_stages_hold(turn: TurnRecord) -> None:
    tiles = stages_of_turn(turn)
    groups = grouped({name: float(ns) for name, ns in tiles.items()})
    assert sum(groups.values()) == sum(tiles.values())
    assert list(groups) == [group for group in GROUPS if group in groups]
    assert {group_of(name) for name in tiles} == set(groups)


def test_each_stage_is_what_was_between_its_stamps() -> None:
    pace = Pace(1, 2, 10, 4, 5, 6, 7, 8, 9, pre={"validate": 3, "render": 4}, post=2)
    tiles = stages_of_turn(turn_at(0, pace, 0, last=True))
    assert {name: ns / MS for name, ns in tiles.items()} == {
        "client": 1,
        "network up": 2,
        "api: validate": 3,
        "api: render": 4,
        "api: other": 3,
        "queue": 4,
        "prefill": 5,
        "decode": 6,
        "post": 2,
        "emit": 5,
        "network down": 8,
        "tools": 0,
    }
    assert stages_of_turn(turn_at(0, pace, 1))["tools"] == 9 * MS


def test_a_peer_is_seen_from_outside() -> None:
    tiles = stages_of_turn(turn_at(0, Pace(1, 2, 3, 4, 5, 6, 7, 8, 9), 0, peer=True))
    assert {name: ns / MS for name, ns in tiles.items()} == {
        "client": 1,
        "server, first token": 14,
        "server, streaming": 21,
        "tools": 9,
    }


def test_a_server_stamp_after_the_clients_last_one_takes_nothing_from_the_tools() -> None:
    turn = turn_at(0, Pace(tools=10), 0)
    assert turn.server is not None
    turn.server.told = turn.last_event + 5 * MS
    tiles = stages_of_turn(turn)
    assert tiles["network down"] == 0
    assert tiles["tools"] == 10 * MS


def test_what_began_before_the_turn_has_no_stage_in_it() -> None:
    turn = turn_at(100 * MS, Pace(tools=10), 1)
    assert turn.server is not None
    # Early tools: the append was there, and the engine at work, before the client had the turn's last tool.
    turn.server.received = turn.server.sampling = 40 * MS
    turn.server.first_token = 60 * MS
    tiles = stages_of_turn(turn)
    assert [tiles[name] for name in ("network up", "api: other", "queue", "prefill")] == [0, 0, 0, 0]
    assert sum(tiles.values()) == turn.ended - turn.began


@pytest.mark.parametrize("gap", [0.0, 2.5])
def test_the_residual_is_what_lies_between_turns(gap: float) -> None:
    assert residual(run_of("e", Pace(gap=gap), turns=4)) == round(4 * gap * MS)


def test_turns_that_overlap_make_it_negative() -> None:
    turns = [turn_at(0, Pace(), 0), turn_at(10 * MS, Pace(), 1)]
    run = RunRecord("f", "s0", 0, 0, 0, turns[1].ended, turns)
    assert residual(run) == 10 * MS - (turns[0].ended - turns[0].began)


def test_every_stage_is_explained() -> None:
    names = {*stages_of_turn(turn_at(0, Pace(), 0)), *stages_of_turn(turn_at(0, Pace(), 0, peer=True))}
    assert {stages.API if name.startswith(stages.API) else name for name in names} == set(stages.MEANING)


def test_parallel_tools_are_one_stage() -> None:
    turn = turn_at(0, Pace(tools=10), 0)
    turn.tools.append(ToolRecord(turn.last_event, turn.last_event + 3 * MS))
    assert stages_of_turn(turn)["tools"] == 10 * MS
