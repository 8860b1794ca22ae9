"""The context of a rollout: the conversation as tokens, and what is needed to go on with it.

It only ever grows. The tokens live in the engine's sequence; nothing here holds a second copy of them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..protocol.connection import CreateRequested
from ..protocol.items import FunctionCallOutput, InputItem, InputMessage, OutputItem
from ..protocol.resource import InputTokensDetails, OutputTokensDetails, Response, Usage
from ..sampler.chat_template import ToolCall, tool_message
from ..sampler.engine import FinishReason, SamplingParams, TokenSequence
from ..sampler.model import Model
from ..sampler.replay import ReplayScript
from .accounting import Accounting, Before
from .constraints import Constraints
from .guards import Checking
from .pending import Call, Outputs, Unanswered
from .previous import Previous, Row
from .service import Service
from .tool_definitions import Tools


@dataclass(slots=True)
class Context:
    """One rollout's context.

    :ivar request: what it was asked for.
    :ivar items: the new input, as it was rendered.
    :ivar raw_items: the same as it was sent; None if a guard has changed it.
    :ivar previous: the Response that it goes on from, if there is one.
    :ivar row: the sequence, which others may need after this Response.
    :ivar response: the Response as ``response.created`` announced it; its ``output`` and ``usage`` are not kept up.
    :ivar params: how to sample, without what differs from turn to turn.
    :ivar num_turns: assistant turns so far, those of the input included: the index of the next one in a replay.
    :ivar replay: forces its turns in place of sampling.
    :ivar max_tool_calls: how many calls are carried out; None for any number.
    :ivar limit_told: the model has been told that this bound is reached.
    :ivar reasoning_tokens: sampled tokens whose text went into reasoning items.
    :ivar appended: what came in after the first input, and how many output items there were then.
    :ivar checking: guards that still look at what came in.
    :ivar warnings: what guards that let it pass had to say.
    :ivar unanswered: the calls that the next request has to answer, and what their turn's others were answered with.
    :ivar answered_at: when the latest pause ended, until a token comes after it: nanoseconds of
        :func:`time.perf_counter_ns`.
    :ivar cut: why the rollout ends as incomplete, or None (``incomplete_details.reason``).
    """

    service: Service
    request: CreateRequested
    items: Sequence[InputItem]
    raw_items: Any
    response: Response
    row: Row
    before: Before
    params: SamplingParams
    constraints: Constraints
    accounting: Accounting
    tools: Tools
    raw_tools: Sequence[Any]
    num_turns: int
    previous: Previous | None = None
    checking: list[Checking] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    appended: list[tuple[int, FunctionCallOutput | InputMessage]] = field(default_factory=list)
    unanswered: Unanswered | None = None
    replay: ReplayScript | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    limit_told: bool = False
    reasoning_tokens: int = 0
    cut: str | None = None
    output: list[OutputItem] = field(default_factory=list)
    answered_at: int | None = None
    _rendered: tuple[Outputs, list[int]] | None = None
    _is_released: bool = False

    @property
    def sequence(self) -> TokenSequence:
        return self.row.sequence

    @property
    def conversation(self) -> list[tuple[bool, InputItem | OutputItem]]:
        """What this Response adds to the conversation, in order; whether each is output."""
        items: list[tuple[bool, InputItem | OutputItem]] = [(False, item) for item in self.items]
        appended = iter([*self.appended, (len(self.output) + 1, None)])
        place, item = next(appended)
        for at, output in enumerate(self.output):
            while place <= at and item is not None:
                items.append((False, item))
                place, item = next(appended)
            items.append((True, output))
        while item is not None:
            items.append((False, item))
            place, item = next(appended)
        return items

    def take_in(self, items: Sequence[FunctionCallOutput | InputMessage]) -> None:
        """New items that came in after the first input, as guards let them: have them checked."""
        self.appended += [(len(self.output), item) for item in items]
        self.check(items)

    def let_in(self, call_id: str, output: str) -> str:
        """A hosted tool's output as guards let it in."""
        (item,) = self.service.guards.rewrite([FunctionCallOutput(call_id=call_id, output=output)])
        self.check([item])
        return item.output if isinstance(item, FunctionCallOutput) else output

    def check(self, items: Sequence[InputItem]) -> None:
        """Have guards look at these, beside whatever goes on."""
        checking = self.service.guards.begin(items)
        if checking is not None:
            self.checking.append(checking)

    def note_resumed(self) -> None:
        """Tokens have come."""
        if self.answered_at is not None:
            self.service.metrics.resumed_after((time.perf_counter_ns() - self.answered_at) / 1e9)
            self.answered_at = None

    async def pass_guards(self) -> None:
        """Wait for the guards.

        :raises GuardStopped: one of them stops the Response.
        """
        while self.checking:
            self.warnings += await self.checking[0].passed()
            del self.checking[0]

    async def release(self) -> None:
        """This Response needs its sequence no more. Harmless when repeated."""
        if not self._is_released:
            self._is_released = True
            for checking in self.checking:
                checking.cancel()
            self.row.is_growing = False
            await self.row.release()

    def render(self, calls: Sequence[Call], outputs: Outputs) -> list[int]:
        """The new tokens that these outputs make: end of the assistant's turn, tool results, next assistant header.

        The last result is kept, since an append is rendered when it is checked against the room and again, unchanged,
        when the rollout goes on.
        """
        if self._rendered is None or self._rendered[0] != outputs:
            self._rendered = (outputs, encode_suffix(self.service.model, self.sequence.ledger.row[-1], calls, outputs))
        return self._rendered[1]

    def anticipate(self, calls: Sequence[Call]) -> None:
        """Have the engine compute, while these calls are answered, what will follow them whatever the outputs are."""
        if self.service.anticipates:
            model = self.service.model
            stopped = self.sequence.ledger.row[-1] in model.stop_tokens
            certain = model.chat_template.encode_certain(calls=_as_rendered(calls), stopped=stopped)
            self.sequence.anticipate(certain)

    def fits(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens fit the sequence and leave room for one more to be sampled."""
        return len(tokens) < self.sequence.room()

    def has_room_for(self, texts: Sequence[str]) -> bool:
        """The same for outputs while the model still samples: what is around them, and the rest of the turn, is not
        known yet."""
        tokenize = self.service.model.vocab.tokenize
        return sum(len(tokenize(text, parse_special=False)) for text in texts) < self.sequence.room()

    def extend(self, tokens: Sequence[int]) -> None:
        """Add them to the sequence; they are decoded with the next turn's first step.

        :raises ContextLengthExceeded: they don't fit. Nothing changes.
        """
        self.sequence.extend(tokens)
        self._rendered = None

    def next_params(self) -> SamplingParams | None:
        """How the next turn is sampled; None if the Response's ``max_output_tokens`` are used up."""
        left = None if self.max_output_tokens is None else self.max_output_tokens - self.num_sampled
        if left is not None and left <= 0:
            return None
        if self.replay is not None:
            # What is forced is what was recorded, whatever this request would have let the model say.
            if left is None and self.params.max_tokens is None and not self.params.banned:
                return self.params
            return dataclasses.replace(self.params, max_tokens=left, banned=frozenset())
        grammar = self.constraints.after_call if self.accounting.tool_calls else self.constraints.until_call
        if left is None and grammar is None:
            return self.params
        return dataclasses.replace(self.params, max_tokens=left, grammar=grammar)

    def next_forced(self) -> list[int] | None:
        """The tokens that a replay forces as the next turn; None for a model that is really sampled.

        :raises ReplayExhausted: the script has no such turn.
        """
        return None if self.replay is None else self.replay.tokens(self.num_turns, self.service.model.chat_template)

    @property
    def num_sampled(self) -> int:
        """Tokens sampled in this Response."""
        return self.sequence.ledger.sampled - self.before.sampled

    def end_turn(self, finish: FinishReason | None) -> None:
        """Count the turn, and note when it was cut short."""
        self.num_turns += 1
        if finish in (FinishReason.LENGTH, FinishReason.CONTEXT):
            self.cut = "max_output_tokens"

    def refusal(self, num_calls: int) -> str | None:
        """What the model is told instead of the output of its next call, after so many others of this turn; None if
        the call can be carried out."""
        if self.max_tool_calls is None or self.accounting.tool_calls + num_calls < self.max_tool_calls:
            return None
        if self.max_tool_calls == 0:
            return "Error: no tool can be called. Answer without one."
        return f"Error: the limit of {self.max_tool_calls} tool calls is reached. Answer without another one."

    def usage(self) -> Usage:
        """Tokens so far, of the whole Response."""
        given = self.before.given(self.sequence.ledger)
        sampled = self.num_sampled
        return Usage(
            input_tokens=given,
            output_tokens=sampled,
            total_tokens=given + sampled,
            input_tokens_details=InputTokensDetails(min(self.before.cached(self.sequence.ledger), given)),
            output_tokens_details=OutputTokensDetails(self.reasoning_tokens),
        )


def encode_suffix(model: Model, last: int, calls: Sequence[Call], outputs: Outputs) -> list[int]:
    """The tokens that these outputs add after a turn which made these calls. ``last`` is the turn's last token.

    :raises SamplerError: this template can't go on so.
    """
    results = [
        tool_message(output, call_id=call.template_id, name=call.name)
        for call, output in zip(calls, outputs.answers, strict=True)
    ]
    # Templates know no developers; elsewhere in a conversation they are system messages too.
    roles = {"developer": "system"}
    added = [{"role": roles.get(message.role, message.role), "content": message.text} for message in outputs.messages]
    return model.chat_template.encode_suffix(
        [*results, *added],
        calls=_as_rendered(calls),
        stopped=last in model.stop_tokens,
    )


def _as_rendered(calls: Sequence[Call]) -> list[ToolCall]:
    """What a template has to know of them; their arguments are in the row."""
    return [ToolCall(call.name, "{}", call.template_id) for call in calls]
