"""The client loop: tools of a turn run at once, every call is answered with its own output, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from caesura.client.bench.agent import Played, play
from caesura.client.bench.driver import BenchError, Call, Output
from hypothesis import given, settings
from hypothesis import strategies as st
from played_drivers import ScriptedDriver, script

PROGRAMS = st.lists(st.lists(st.sampled_from([0.0, 1e-4]), min_size=1, max_size=3), max_size=4)


def _play(driver: ScriptedDriver, turns: Sequence[Sequence[float]], max_seconds: float = 30) -> Played:
    return asyncio.run(play(driver, script(*turns), "12345678", design="e", repeat=2, max_seconds=max_seconds))


def _expected(number: int, count: int) -> list[Output]:
    return [Output(f"c{number}.{index}", f"c{number}.{index}") for index in range(count)]


@settings(max_examples=30)
@given(PROGRAMS)
def test_each_turn_gets_the_outputs_of_the_one_before(turns: list[list[float]]) -> None:
    driver = ScriptedDriver()
    played = _play(driver, turns)
    assert played.run.error is None
    assert driver.told == [None, *(_expected(number, len(turn)) for number, turn in enumerate(turns))]
    assert driver.nonces == ["12345678"]


@settings(max_examples=30)
@given(PROGRAMS)
def test_early_tools_answer_every_call_before_the_next_turn(turns: list[list[float]]) -> None:
    driver = ScriptedDriver(early_tools=True)
    assert _play(driver, turns).run.error is None
    told = iter(driver.told)
    assert next(told) is None
    for number, turn in enumerate(turns):
        answers = [next(told) for _ in turn]
        assert sorted(map(repr, answers)) == sorted(map(repr, _expected(number, len(turn))))
        assert next(told) == []
    assert next(told, None) is None


@settings(max_examples=30)
@given(PROGRAMS, st.booleans())
def test_the_record_is_whole_and_in_order(turns: list[list[float]], early: bool) -> None:
    played = _play(ScriptedDriver(early_tools=early), turns)
    run = played.run
    assert (run.design, run.script, run.repeat) == ("e", "s0", 2)
    assert [len(turn.tools) for turn in run.turns] == [*map(len, turns), 0]
    assert played.response_ids == [f"r{number}" for number in range(len(turns) + 1)]
    moment = run.began
    for turn, seconds in zip(run.turns, [*turns, []], strict=True):
        assert moment <= turn.began <= turn.last_event <= turn.ended
        assert turn.ended == max([turn.last_event, *(tool.ended for tool in turn.tools)])
        for tool, length in zip(turn.tools, seconds, strict=True):
            assert turn.began <= tool.began
            assert (tool.ended > tool.began) == (length > 0)
            assert early or tool.began >= turn.last_event
        moment = turn.ended
    assert run.ended >= moment


def test_the_tools_of_a_turn_run_beside_each_other() -> None:
    """All begin before any ends."""
    tools = _play(ScriptedDriver(), [[2e-3, 1e-3, 2e-3]]).run.turns[0].tools
    assert max(tool.began for tool in tools) < min(tool.ended for tool in tools)


def test_early_tools_answer_while_the_turn_goes_on() -> None:
    """The turn ends only when the second of two tools has answered."""

    class Waiting(ScriptedDriver):
        def answer(self, output: Output) -> None:
            super().answer(output)
            if output.call_id == "c0.1":
                assert self.release is not None
                self.release.set()

    async def run() -> Waiting:
        driver = Waiting(early_tools=True, release=asyncio.Event())
        played = await play(driver, script([0, 1e-3]), "1", design="f", max_seconds=30)
        assert played.run.error is None
        assert played.run.turns[0].tools[1].ended <= played.run.turns[0].last_event == played.run.turns[0].ended
        return driver

    assert asyncio.run(run()).told == [None, *_expected(0, 2), []]


def test_a_call_that_was_not_told_early_is_answered_none_the_less() -> None:
    class Late(ScriptedDriver):
        async def turn(self, outputs, on_call=None):  # type: ignore[no-untyped-def]
            return await super().turn(outputs, None if on_call is None else lambda call: self._some(on_call, call))

        @staticmethod
        def _some(on_call, call: Call) -> None:  # type: ignore[no-untyped-def]
            if call.call_id.endswith(".0"):
                on_call(call)

    driver = Late(early_tools=True)
    assert _play(driver, [[0, 1e-4, 0]]).run.error is None
    assert {repr(told) for told in driver.told[1:4]} == {repr(output) for output in _expected(0, 3)}


@pytest.mark.parametrize("early", [False, True])
def test_a_driver_that_fails_ends_the_run(early: bool) -> None:
    played = _play(ScriptedDriver(early_tools=early, fails_at=1), [[0], [0], [0]])
    assert played.run.error == "the connection broke"
    assert len(played.run.turns) == len(played.response_ids) == 1
    assert played.run.ended >= played.run.turns[0].ended


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("turn", "count"), [(0, 0), (0, 3), (1, 1)])
def test_a_turn_that_strays_from_the_script_ends_the_run(early: bool, turn: int, count: int) -> None:
    driver = ScriptedDriver(early_tools=early, calls_made={turn: count})
    run = _play(driver, [[0, 0]]).run
    wanted = 2 if turn == 0 else 0
    assert run.error == f"turn {turn} made {count} calls in place of {wanted}: it does not follow the script"
    assert len(run.turns) == turn + 1
    assert run.turns[-1].ended == run.turns[-1].last_event


@pytest.mark.parametrize("early", [False, True])
def test_a_session_takes_a_bounded_time(early: bool) -> None:
    run = _play(ScriptedDriver(early_tools=early), [[3600]], max_seconds=0.01).run
    assert run.error == "the session was not over after 0.01 s"


def test_no_tool_goes_on_behind_a_failed_turn() -> None:
    async def run() -> int:
        driver = ScriptedDriver(early_tools=True, release=asyncio.Event())
        await play(driver, script([3600]), "1", design="f", max_seconds=0.01)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1


def test_an_answer_that_fails_ends_the_run() -> None:
    class Broken(ScriptedDriver):
        def answer(self, output: Output) -> None:
            raise BenchError("nobody listens")

    assert _play(Broken(early_tools=True), [[1e-4, 1e-4]]).run.error == "nobody listens"
    assert _play(Broken(early_tools=True), [[0]]).run.error == "nobody listens"
