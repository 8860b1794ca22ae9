"""What runs guards: order, concurrency, who stops a Response, and what a broken guard means."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from caesura.protocol.errors import GuardStopped, ServerFault
from caesura.protocol.items import FunctionCall, FunctionCallOutput, InputItem, InputMessage, Reasoning, ReasoningText
from caesura.runtime.guards import GUARDS, Guard, Guards, LimitsGuard, SecretScanner, parse_guard

ITEMS: list[InputItem] = [InputMessage(role="user", text="a"), FunctionCallOutput(call_id="c", output="b")]
Check = Callable[[Sequence[InputItem]], Awaitable[Sequence[str]] | None]


class Scripted:
    """A guard that does as it is told."""

    def __init__(self, check: Check | None = None, *, name: str = "scripted", fails_open: bool = False) -> None:
        self.name = name
        self.fails_open = fails_open
        self._check = check
        self.seen: list[Sequence[InputItem]] = []

    def rewrite(self, items: Sequence[InputItem]) -> Sequence[InputItem]:
        self.seen.append(items)
        return items

    def check(self, items: Sequence[InputItem]) -> Awaitable[Sequence[str]] | None:
        return None if self._check is None else self._check(items)


class Upper(Scripted):
    def rewrite(self, items: Sequence[InputItem]) -> Sequence[InputItem]:
        return [InputMessage(role="user", text=item.text.upper()) for item in items if isinstance(item, InputMessage)]


class Broken(Scripted):
    def rewrite(self, items: Sequence[InputItem]) -> Sequence[InputItem]:
        raise ZeroDivisionError

    def check(self, items: Sequence[InputItem]) -> Awaitable[Sequence[str]] | None:
        raise ZeroDivisionError


async def warn(items: Sequence[InputItem]) -> Sequence[str]:
    return [f"{len(items)} items"]


async def stop(items: Sequence[InputItem]) -> Sequence[str]:
    raise GuardStopped("no")


async def fail(items: Sequence[InputItem]) -> Sequence[str]:
    raise ZeroDivisionError


def passed(*guards: Guard, items: Sequence[InputItem] = ITEMS) -> list[str] | None:
    async def main() -> list[str] | None:
        checking = Guards(guards).begin(items)
        return None if checking is None else await asyncio.wait_for(checking.passed(), 10)

    return asyncio.run(main())


def test_each_guard_sees_what_the_one_before_made() -> None:
    last = Scripted()
    messages = [InputMessage(role="user", text="a")]
    rewritten = Guards([Upper(), last]).rewrite(messages)
    assert rewritten == [InputMessage(role="user", text="A")]
    assert last.seen == [rewritten]


@pytest.mark.parametrize("guards", [[], [Scripted()], [SecretScanner("redact")], [SecretScanner(), LimitsGuard()]])
def test_what_nobody_changes_is_the_same_object(guards: list[Guard]) -> None:
    assert Guards(guards).rewrite(ITEMS) is ITEMS


@pytest.mark.parametrize(
    ("guards", "items"),
    [
        ([], ITEMS),
        ([Scripted(warn)], []),
        ([Scripted(), LimitsGuard(max_input_items=9), SecretScanner("redact")], ITEMS),
        ([SecretScanner("warn")], ITEMS[:1]),
    ],
)
def test_where_there_is_nothing_to_check_nothing_begins(guards: list[Guard], items: list[InputItem]) -> None:
    """Not even an event loop is needed."""
    assert Guards(guards).begin(items) is None


def test_warnings_come_in_the_guards_order() -> None:
    assert passed(Scripted(warn), Scripted(), SecretScanner(), Scripted(warn)) == ["2 items", "2 items"]


def test_checks_run_at_the_same_time() -> None:
    async def main() -> None:
        meeting = asyncio.Barrier(2)

        async def meet(items: Sequence[InputItem]) -> Sequence[str]:
            async with meeting:
                return []

        checking = Guards([Scripted(meet), Scripted(meet)]).begin(ITEMS)
        assert checking is not None
        assert await asyncio.wait_for(checking.passed(), 10) == []
        assert await checking.passed() == []

    asyncio.run(main())


def test_the_first_that_stops_ends_the_others() -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def wait(items: Sequence[InputItem]) -> Sequence[str]:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return []

        checking = Guards([Scripted(wait), Scripted(stop)]).begin(ITEMS)
        assert checking is not None
        with pytest.raises(GuardStopped) as caught:
            await asyncio.wait_for(checking.passed(), 10)
        assert (caught.value.status, caught.value.code) == (422, "blocked_by_guard")
        await asyncio.wait_for(ended.wait(), 10)

    asyncio.run(main())


async def give_up(items: Sequence[InputItem]) -> Sequence[str]:
    raise asyncio.CancelledError


@pytest.mark.parametrize("guard", [Scripted(fail, name="a"), Broken(name="a"), Scripted(give_up, name="a")])
def test_a_broken_guard_fails_closed(guard: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "caesura"), pytest.raises(ServerFault) as caught:
        passed(Scripted(warn), guard)
    assert "'a'" in caught.value.message
    assert "ZeroDivisionError" in caplog.text or "was cancelled" in caplog.text


def test_one_that_says_so_fails_open(caplog: pytest.LogCaptureFixture) -> None:
    broken, failing = Broken(fails_open=True), Scripted(fail, fails_open=True)
    assert Guards([broken]).rewrite(ITEMS) is ITEMS
    assert passed(broken, failing, Scripted(warn)) == ["2 items"]
    assert [record.getMessage() for record in caplog.records] == ["the guard 'scripted' failed"] * 3


def test_a_broken_rewrite_fails_closed() -> None:
    with pytest.raises(ServerFault):
        Guards([Broken()]).rewrite(ITEMS)


def test_checks_that_nobody_waits_for_are_cancelled() -> None:
    """Whatever they were about to say: nothing is logged as never retrieved."""

    async def main() -> list[dict[str, Any]]:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        for check in (stop, fail, warn):
            checking = Guards([Scripted(check)]).begin(ITEMS)
            assert checking is not None
            checking.cancel()
            late = Guards([Scripted(check)]).begin(ITEMS)
            assert late is not None
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            late.cancel()
        await asyncio.sleep(0)
        return complaints

    assert asyncio.run(main()) == []


def test_limits() -> None:
    guard = LimitsGuard(max_input_items=2, max_input_chars=10, max_output_chars=5, max_message_chars=8)
    fitting = [InputMessage(role="user", text="12345"), FunctionCallOutput(call_id="c", output="12345")]
    assert guard.rewrite(fitting) is fitting
    for items, param in (
        ([ITEMS[0]] * 3, "input"),
        ([FunctionCallOutput(call_id="c", output="123456")], "input[0]"),
        ([ITEMS[0], InputMessage(role="user", text="123456789")], "input[1]"),
        ([InputMessage(role="user", text="12345678"), FunctionCallOutput(call_id="c", output="123")], "input"),
    ):
        with pytest.raises(GuardStopped) as caught:
            Guards([guard]).rewrite(items)
        assert caught.value.param == param
        assert any(bound in caught.value.message for bound in ("2", "5", "8", "10"))


@pytest.mark.parametrize("text", ["secrets", "secrets=warn", "secrets=redact", "limits:max_output_chars=5"])
def test_guards_from_the_command_line(text: str) -> None:
    assert parse_guard(text).name == text.partition("=")[0].partition(":")[0]


def test_settings_are_taken() -> None:
    guard = parse_guard("limits:max_output_chars=3,max_input_items=7")
    with pytest.raises(GuardStopped):
        guard.rewrite([FunctionCallOutput(call_id="c", output="1234")])
    secret = FunctionCallOutput(call_id="c", output="AKIA" + "Q" * 16)
    assert parse_guard("secrets").rewrite([secret]) == [secret]
    assert parse_guard("secrets=redact").rewrite([secret]) != [secret]


@pytest.mark.parametrize(
    "text",
    [
        *("", "nope", "secrets=erase", "secrets:max=3", "limits", "limits=3", "limits:", "limits:max_output_chars"),
        *("limits:max_output_chars=", "limits:max_output_chars=0", "limits:max_output_chars=-1", "limits:x=1"),
        *("limits:max_output_chars=1e3", "limits:max_output_chars=²", "limits:max_output_chars=1,max_output_chars=2"),
        "limits:max_output_chars=" + "9" * 5000,
    ],
)
def test_settings_that_can_not_be_used(text: str) -> None:
    with pytest.raises(ValueError, match=r"secrets|limits|number|NAME"):
        parse_guard(text)


def test_every_guard_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match=", ".join(GUARDS)):
        parse_guard("nope")


@pytest.mark.parametrize(
    "item",
    [
        InputMessage(role="user", text="x" * 11),
        FunctionCall(call_id="a", name="f", arguments="x" * 11),
        FunctionCallOutput(call_id="a", output="x" * 11),
        Reasoning(content=[ReasoningText("x" * 11)]),
    ],
)
def test_whatever_a_model_is_given_to_read_counts(item: Any) -> None:
    assert LimitsGuard(max_input_chars=11).rewrite([item]) == [item]
    with pytest.raises(GuardStopped):
        LimitsGuard(max_input_chars=10).rewrite([item])
