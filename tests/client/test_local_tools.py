"""Calls of local tools: at once, bounded in time, and every failure an output that says so."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import gc
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from caesura.client import LocalTool, ToolDefinitionError, tool
from caesura.client.local_tools import MAX_ERROR_LENGTH, ToolBox, ToolCall
from caesura.client.running_tools import RunningTools
from caesura.protocol.items import FunctionCall

BOUND = 10.0
SHORT = 0.02


def run(tools: list[Any], *calls: tuple[str, str]) -> dict[str, str]:
    """The outputs by call_id, which are the calls' positions."""
    return {each.call.call_id: each.output.text for each in asyncio.run(_answers(ToolBox(tools), *calls))}


async def _answers(box: ToolBox, *calls: tuple[str, str]) -> list[ToolCall]:
    return [each async for each in _as_answered(box, *calls)]


async def _as_answered(box: ToolBox, *calls: tuple[str, str]) -> AsyncIterator[ToolCall]:
    ended: asyncio.Queue[asyncio.Task[ToolCall]] = asyncio.Queue()
    running = RunningTools(box, ended.put_nowait)
    for at, (name, text) in enumerate(calls):
        running.start(FunctionCall(call_id=str(at), name=name, arguments=text))
    while running:
        answered = running.take(await asyncio.wait_for(ended.get(), BOUND))
        assert answered is not None
        yield answered


def one(function: Callable[..., Any] | LocalTool, arguments: str = "{}") -> str:
    local = function if isinstance(function, LocalTool) else tool(function)
    return run([local], (local.schema.name, arguments))["0"]


# --- concurrency ------------------------------------------------------------------------------------------------------


def test_async_tools_run_at_once() -> None:
    async def main() -> None:
        barrier = asyncio.Barrier(3)

        async def meet(who: str) -> str:
            await barrier.wait()  # passes only if all three are running
            return who

        answers = await _answers(ToolBox([meet]), *[("meet", f'{{"who":"{who}"}}') for who in "abc"])
        assert {each.call.call_id: each.output.text for each in answers} == {"0": "a", "1": "b", "2": "c"}

    asyncio.run(main())


def test_sync_tools_run_at_once_and_beside_async_ones() -> None:
    barrier = threading.Barrier(3)

    def meet(who: str) -> str:
        barrier.wait(BOUND)
        return who

    async def meet_too() -> str:
        await asyncio.to_thread(barrier.wait, BOUND)
        return "c"

    calls = [("meet", '{"who":"a"}'), ("meet", '{"who":"b"}'), ("meet_too", "{}")]
    assert run([meet, meet_too], *calls) == {"0": "a", "1": "b", "2": "c"}


def test_answers_come_as_they_finish() -> None:
    async def main() -> None:
        first_is_answered = asyncio.Event()

        async def wait() -> str:
            await first_is_answered.wait()
            return "second"

        async def go() -> str:
            return "first"

        order = []
        async for answered in _as_answered(ToolBox([wait, go]), ("wait", "{}"), ("go", "{}")):
            order.append(answered.output.text)
            first_is_answered.set()
        assert order == ["first", "second"]

    asyncio.run(main())


# --- time -------------------------------------------------------------------------------------------------------------


def test_an_async_tool_is_cancelled_at_its_timeout() -> None:
    cancelled = False

    async def hang() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    assert one(tool(hang, timeout=SHORT)) == "Error: hang did not finish within 0.02 s"
    assert cancelled


def test_an_async_tool_that_swallows_its_cancellation_is_left_behind() -> None:
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        (answer,) = await _answers(ToolBox([tool(stubborn, timeout=SHORT)]), ("stubborn", "{}"))
        assert answer.output.text == "Error: stubborn did not finish within 0.02 s"
        released.set()

    asyncio.run(main())


def test_what_a_tool_does_after_it_was_left_behind_is_nobodys_concern() -> None:
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        released, failed = asyncio.Event(), asyncio.Event()

        async def fail_late() -> None:
            try:
                await released.wait()
            except asyncio.CancelledError:
                failed.set()
                raise ValueError("too late") from None

        await _answers(ToolBox([tool(fail_late, timeout=SHORT)]), ("fail_late", "{}"))
        await asyncio.wait_for(failed.wait(), BOUND)
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert complaints == []


def test_a_sync_tool_is_left_behind_at_its_timeout() -> None:
    released = threading.Event()

    def hang() -> None:
        released.wait(BOUND)

    def quick() -> str:
        return "quick"

    outputs = run([tool(hang, timeout=SHORT), quick], ("hang", "{}"), ("quick", "{}"))
    released.set()
    assert outputs == {"0": "Error: hang did not finish within 0.02 s", "1": "quick"}


def test_a_thread_that_never_ends_does_not_keep_the_program_alive() -> None:
    program = """
        import asyncio, threading
        from caesura.client import tool

        @tool(timeout=0.02)
        def hang() -> None:
            threading.Event().wait()

        print(asyncio.run(hang.run("{}")).text)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=BOUND
    )
    assert (done.returncode, done.stdout) == (0, "Error: hang did not finish within 0.02 s\n"), done.stderr


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_must_be_positive(timeout: float) -> None:
    with pytest.raises(ToolDefinitionError, match="must be positive"):
        tool(_add, timeout=timeout)


def test_no_timeout() -> None:
    assert one(tool(_add, timeout=None), '{"a":1,"b":2}') == "3"


# --- what comes back --------------------------------------------------------------------------------------------------


def _add(a: int, b: int) -> int:
    """Add."""
    return a + b


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("plain\ntext ü", "plain\ntext ü"),
        ("", ""),
        (None, "null"),
        (3, "3"),
        (True, "true"),
        ({"ü": [1, None]}, '{"ü":[1,null]}'),
        (Point(1), '{"x":1}'),
        (Color.RED, '"red"'),
        ("lone \udc80 surrogate", "lone \\udc80 surrogate"),
    ],
)
def test_results(result: Any, text: str) -> None:
    def give() -> Any:
        return result

    assert one(give) == text


def test_a_result_that_is_no_json() -> None:
    def give() -> Any:
        return object()

    assert one(give).startswith("Error: the tool's object can't be written as JSON")


def test_arguments_arrive_as_the_hinted_types() -> None:
    seen: list[Any] = []

    def take(color: Color, points: list[Point]) -> None:
        seen.extend([color, points])

    assert one(take, '{"color":"red","points":[{"x":1}]}') == "null"
    assert seen == [Color.RED, [Point(1)]]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("old was not\n  found"), "Error: old was not found"),
        (FileNotFoundError("no such file: a.py"), "Error: no such file: a.py"),
        (KeyError("x"), "Error: KeyError: 'x'"),
        (ZeroDivisionError(), "Error: ZeroDivisionError"),
        (TimeoutError(), "Error: TimeoutError"),
        (StopIteration(1), "Error: coroutine raised StopIteration"),  # Python's own rule, PEP 479
        (ValueError("x" * 1000), "Error: " + "x" * (MAX_ERROR_LENGTH - 10) + "..."),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_an_exception_becomes_an_output(error: Exception, text: str, is_async: bool) -> None:
    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    assert one(tool(fail_async if is_async else fail, name="fail")) == text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_ends_the_program_is_let_through(error: type[BaseException], is_async: bool) -> None:
    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    with pytest.raises(error):
        one(fail_async if is_async else fail)


def test_a_failing_call_does_not_disturb_its_neighbours() -> None:
    def fail() -> None:
        raise ValueError("no")

    assert run([fail, _add], ("fail", "{}"), ("_add", '{"a":1,"b":2}')) == {"0": "Error: no", "1": "3"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "not valid JSON"),
        ('{"a":1', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "[] is not of type 'object'"),
        ("null", "None is not of type 'object'"),
        ('{"a":1}', "'b' is a required property"),
        ('{"a":1,"b":2,"c":3}', "'c' was unexpected"),
        ('{"a":1,"b":"2"}', "b: '2' is not of type 'integer'"),
        ('{"a":1,"b":true}', "b: True is not of type 'integer'"),
        ('{"a":1,"b":NaN}', "b: nan is not of type 'integer'"),
        ('{"a":1,"b":' + "9" * 5000 + "}", "not valid JSON"),
    ],
)
def test_arguments_are_checked_before_the_function_runs(arguments: str, said: str) -> None:
    def add(a: int, b: int) -> int:
        raise AssertionError("the function ran")

    output = one(add, arguments)
    assert output.startswith("Error: invalid arguments for add: ")
    assert said in output
    assert len(output) <= MAX_ERROR_LENGTH


def test_keys_of_a_table_are_converted_too() -> None:
    def take(table: dict[int, str]) -> str:
        return repr(table)

    assert one(take, '{"table":{"1":"a"}}') == "{1: 'a'}"
    assert one(take, '{"table":{"x":"a"}}').startswith("Error: invalid arguments for take: table: Expected `int`")


def test_where_a_nested_argument_is_wrong() -> None:
    def take(points: list[Point]) -> None: ...

    assert one(take, '{"points":[{"x":1},{"x":"2"}]}') == (
        "Error: invalid arguments for take: points[1].x: '2' is not of type 'integer'"
    )


def test_an_unknown_tool() -> None:
    assert run([_add], ("subtract", "{}"))["0"] == "Error: there is no tool named 'subtract'; available: _add"
    assert run([], ("subtract", "{}"))["0"] == "Error: there is no tool named 'subtract'; available: none"


# --- tools and boxes --------------------------------------------------------------------------------------------------


def test_the_decorator() -> None:
    @tool(timeout=5, name="plus", description="Sum of two.")
    def add(a: int, b: int) -> int:
        return a + b

    assert add(1, 2) == 3
    assert (add.timeout, add.schema.name, add.schema.description) == (5, "plus", "Sum of two.")


def test_definitions_of_other_tools_are_passed_on_untouched() -> None:
    hosted = {"type": "caesura:calculate"}
    box = ToolBox([hosted, _add])
    assert box.definitions[0] == hosted
    assert box.definitions[1]["name"] == "_add"


def test_two_tools_of_one_name() -> None:
    with pytest.raises(ToolDefinitionError, match="two tools are called '_add'"):
        ToolBox([_add, tool(_add)])
