"""Pending calls: what the rollout waits for while it is suspended.

Each call is given to a resolver, which gives back a future of its output. There are three: :class:`HostedTools` runs
the tool here, :class:`LocalTools` asks the client, :class:`RefusedCalls` has the answer already. :class:`Answers` waits
for all of a turn's calls without looking at which is which. That is the whole difference between a hosted and a local
tool.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

from ..protocol.append_items import Append
from ..protocol.errors import ContextLengthExceeded
from ..protocol.events import OutputItemDone
from ..protocol.items import FunctionCall, FunctionCallOutput, HostedCall, InputMessage
from .conversation import shown
from .emitter import Emitter

if TYPE_CHECKING:
    from .context import Context


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the model made, as an output item and its place in the output.

    :ivar written_id: the id that the model itself gave it, empty if its format has none.
    :ivar refusal: the output of a call that isn't carried out; None for one that is.
    """

    item: FunctionCall | HostedCall
    output_index: int
    written_id: str = ""
    refusal: str | None = None

    @property
    def call_id(self) -> str:
        return self.item.call_id

    @property
    def template_id(self) -> str:
        """The id that its result is rendered with: the model knows no other than what it wrote."""
        return self.written_id or self.item.call_id

    @property
    def name(self) -> str:
        return self.item.name


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a turn's calls, in the order of the calls, and the messages that were appended with them."""

    answers: tuple[str, ...]
    messages: tuple[InputMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A turn whose local calls the client answers with its next request.

    :ivar answers: the outputs that are known of the turn's other calls, by ``call_id``.
    """

    calls: tuple[Call, ...]
    answers: Mapping[str, str]


class Resolver(Protocol):
    """Gets calls answered."""

    def begin(self, call: Call) -> asyncio.Future[str]:
        """Start on it. The future gives its output; it never fails, since a tool's failure is an output too."""
        ...

    def announce(self) -> None:
        """All calls of the turn have begun; called if at least one of them is this resolver's."""
        ...

    def conclude(self) -> None:
        """All calls of the turn are answered and events may flow again."""
        ...


class Answers:
    """``outputs = await answers(calls)``: the caesura."""

    def __init__(self, context: Context, emit: Emitter, local: LocalTools) -> None:
        self._context = context
        self._local = local
        local.context = context
        self._hosted = HostedTools(emit, context)
        self._refused = RefusedCalls()

    async def __call__(self, calls: Sequence[Call]) -> Outputs | None:
        """:returns: None where the client answers with its next request instead: the Response ends here."""
        if not self._local.emit.response.mode.pauses and any(self._is_local(call) for call in calls):
            await self._answer_own(calls)
            return None
        return await self._answer(calls)

    async def _answer_own(self, calls: Sequence[Call]) -> None:
        """Answer those that are not the client's; what they gave waits with the others for its next request."""
        own = [call for call in calls if not self._is_local(call)]
        outputs = await self._answer(own) if own else Outputs(())
        self._context.accounting.tool_calls += len(calls) - len(own)
        known = {call.call_id: answer for call, answer in zip(own, outputs.answers, strict=True)}
        self._context.unanswered = Unanswered(tuple(calls), known)

    async def _answer(self, calls: Sequence[Call]) -> Outputs:
        accounting = self._context.accounting
        accounting.tool_calls += sum(call.refusal is None for call in calls)
        self._local.begin_turn(calls)
        resolvers = [self._resolver(call) for call in calls]
        pending = [resolver.begin(call) for resolver, call in zip(resolvers, calls, strict=True)]
        for resolver in _distinct(resolvers):
            resolver.announce()
        # Not before the client has been told: it wakes the engine's thread, which takes the GIL for a while.
        self._context.sequence.expect([call.name for call in calls])
        if self._local.emit.response.mode.pauses and not all(future.done() for future in pending):
            self._context.anticipate(calls)
        is_paused = self._local.emit.response.is_paused
        began = time.perf_counter_ns()
        with accounting.stage("paused" if is_paused else "hosted_tools"):
            answers = await _all(pending)
        if is_paused:
            self._context.answered_at = time.perf_counter_ns()
            self._context.service.metrics.pause_ended((self._context.answered_at - began) / 1e9)
        outputs = Outputs(tuple(answers), tuple(self._local.messages))
        for resolver in _distinct(resolvers):
            resolver.conclude()
        return outputs

    def _resolver(self, call: Call) -> Resolver:
        if call.refusal is not None:
            return self._refused
        return self._local if self._is_local(call) else self._hosted

    def _is_local(self, call: Call) -> bool:
        return call.refusal is None and not isinstance(call.item, HostedCall)


async def _all(pending: Sequence[asyncio.Future[str]]) -> list[str]:
    """Their results, in order. None of them fails; if the rollout is cancelled, so are they.

    What `asyncio.gather` does, with a turn of the event loop less between the last answer and the rollout.
    """
    try:
        return [await future for future in pending]
    except asyncio.CancelledError:
        for future in pending:
            future.cancel()
        raise


def _distinct(resolvers: Iterable[Resolver]) -> Iterable[Resolver]:
    return {id(resolver): resolver for resolver in resolvers}.values()


@dataclass(slots=True, eq=False)
class LocalTools:
    """The client runs them: ``response.done`` goes out, ``response.append`` comes in.

    Appends are handed in by :meth:`check` and :meth:`resolve`, from the moment on when a call's item is done: an output
    may come while the model still samples the next call.
    """

    emit: Emitter
    messages: list[InputMessage] = field(default_factory=list)
    context: Context | None = None
    _calls: Sequence[Call] = ()
    _futures: dict[str, asyncio.Future[str]] = field(default_factory=dict)

    def begin_turn(self, calls: Sequence[Call]) -> None:
        """These are all the calls of the turn."""
        self._calls = calls

    def begin(self, call: Call) -> asyncio.Future[str]:
        return self._future(call.call_id)

    def announce(self) -> None:
        """Pause, if an output is still missing."""
        if self.context is not None and not all(future.done() for future in self._futures.values()):
            self.context.accounting.pauses += 1
            self.emit(self.emit.response.pause(self.context.usage()))
            self.emit.flush()
            self.context.accounting.turn_told()
            self.context.service.metrics.paused_after(self.context.accounting.turns[-1].hand_over_ns / 1e9)
        else:
            self.emit.flush()

    def conclude(self) -> None:
        """The client has the outputs already. What comes from now on is of the next turn."""
        self._calls, self.messages = (), []
        self._futures.clear()

    def guarded(self, append: Append) -> Append:
        """It as the guards let it in."""
        context = self.context
        if context is None:
            return append
        rewritten = context.service.guards.rewrite(append.outputs)
        return append if rewritten is append.outputs else Append(tuple(rewritten), append.messages)

    def check(self, append: Append) -> None:
        """Whether these outputs, with those that are known, fit the context.

        :raises ContextLengthExceeded: they don't. The Response is as it was; a shorter output may be appended.
        """
        context = self.context
        if context is None:
            return
        with context.accounting.append():
            fits = self._fits(context, append)
        if not fits:
            raise ContextLengthExceeded(
                f"These outputs don't fit: the context has room for {context.sequence.room() - 1} tokens. The Response "
                "is as it was: append a shorter output.",
                param="input",
            )

    def _fits(self, context: Context, append: Append) -> bool:
        known = {call_id: future.result() for call_id, future in self._futures.items() if future.done()}
        known |= {output.call_id: shown(output) for output in append.outputs}
        messages = [*self.messages, *append.messages]
        if self._calls:
            answers = tuple(known.get(call.call_id, call.refusal or "") for call in self._calls)
            return context.fits(context.render(self._calls, Outputs(answers, tuple(messages))))
        return context.has_room_for([*known.values(), *(message.text for message in messages)])

    def resolve(self, append: Append) -> None:
        """Answer the calls. Outputs that are known already are passed over."""
        self.messages += append.messages
        news: list[FunctionCallOutput | InputMessage] = []
        for output in append.outputs:
            future = self._future(output.call_id)
            if not future.done():
                future.set_result(shown(output))
                news.append(output)
        if self.context is not None:
            self.context.take_in([*news, *append.messages])

    def _future(self, call_id: str) -> asyncio.Future[str]:
        future = self._futures.get(call_id)
        if future is None:
            future = self._futures[call_id] = asyncio.get_running_loop().create_future()
        return future


@dataclass(slots=True, eq=False)
class HostedTools:
    """The server runs them, each in a task of its own, while the client may be busy with its own calls."""

    emit: Emitter
    context: Context
    _running: dict[Call, asyncio.Task[str]] = field(default_factory=dict)

    def begin(self, call: Call) -> asyncio.Future[str]:
        task = asyncio.ensure_future(self._run(call))
        self._running[call] = task
        return task

    def announce(self) -> None:
        """Put the calls' items on the wire, where they are shown as in progress."""
        self.emit.flush()

    def conclude(self) -> None:
        """Say what they gave. Not as soon as they have: while the Response is paused, no event may come."""
        for call, task in self._running.items():
            item = msgspec.structs.replace(call.item, status="completed", output=task.result())
            self.context.output[call.output_index] = item
            self.emit(OutputItemDone(output_index=call.output_index, item=item))
        self._running.clear()

    async def _run(self, call: Call) -> str:
        try:
            arguments = json.loads(call.item.arguments)
            if not isinstance(arguments, dict):
                raise ValueError("the arguments must be a JSON object.")
            output = await self.context.service.hosted_by_name[call.name].run(arguments)
        except Exception as error:  # a tool's failure is something the model should read, not the end of the rollout
            output = f"Error: {error}"
        return self.context.let_in(call.call_id, output)


class RefusedCalls:
    """Calls over the Response's bound: the model is told so, and nobody is asked."""

    def begin(self, call: Call) -> asyncio.Future[str]:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.set_result(call.refusal or "")
        return future

    def announce(self) -> None:
        """Nothing to say: the calls' items are done already."""

    def conclude(self) -> None:
        """Nothing to say here either."""
