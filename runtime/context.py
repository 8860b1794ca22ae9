"""The context of a rollout: the conversation as tokens, and what is needed to go on with it.

It only ever grows. The tokens live in the engine's sequence; nothing here holds a second copy of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..protocol.items import OutputItem
from ..protocol.resource import InputTokensDetails, OutputTokensDetails, Response, Usage
from ..sampler.chat_template import ToolCall, tool_message
from ..sampler.engine import FinishReason, SamplingParams, TokenSequence
from ..sampler.replay import ReplayScript
from .accounting import Accounting
from .constraints import Constraints
from .pending import Call, Outputs
from .service import Service


@dataclass(slots=True)
class Context:
    """One rollout's context.

    :ivar response: the Response as ``response.created`` announced it; its ``output`` and ``usage`` are not kept up.
    :ivar params: how to sample, without what differs from turn to turn.
    :ivar num_turns: assistant turns so far, those of the input included: the index of the next one in a replay.
    :ivar replay: forces its turns in place of sampling.
    :ivar max_tool_calls: how many calls are carried out; None for any number.
    :ivar limit_told: the model has been told that this bound is reached.
    :ivar reasoning_tokens: sampled tokens whose text went into reasoning items.
    :ivar cut: why the rollout ends as incomplete, or None (``incomplete_details.reason``).
    """

    service: Service
    response: Response
    sequence: TokenSequence
    params: SamplingParams
    constraints: Constraints
    accounting: Accounting
    hosted_names: frozenset[str]
    num_turns: int
    replay: ReplayScript | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    limit_told: bool = False
    reasoning_tokens: int = 0
    cut: str | None = None
    output: list[OutputItem] = field(default_factory=list)
    _rendered: tuple[Outputs, list[int]] | None = None

    def render(self, calls: Sequence[Call], outputs: Outputs) -> list[int]:
        """The new tokens that these outputs make: end of the assistant's turn, tool results, next assistant header.

        The last result is kept, since an append is rendered when it is checked against the room and again, unchanged,
        when the rollout goes on.
        """
        if self._rendered is None or self._rendered[0] != outputs:
            results = [
                tool_message(output, call_id=call.template_id, name=call.name)
                for call, output in zip(calls, outputs.answers, strict=True)
            ]
            # Templates know no developers; elsewhere in a conversation they are system messages too.
            roles = {"developer": "system"}
            added = [
                {"role": roles.get(message.role, message.role), "content": message.text} for message in outputs.messages
            ]
            tokens = self.service.model.chat_template.encode_suffix(
                [*results, *added],
                calls=[ToolCall(call.name, "{}", call.template_id) for call in calls],
                stopped=self.sequence.ledger.row[-1] in self.params.stop_tokens,
            )
            self._rendered = (outputs, tokens)
        return self._rendered[1]

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

    def next_params(self) -> SamplingParams | None:
        """How the next turn is sampled; None if the Response's ``max_output_tokens`` are used up."""
        left = None if self.max_output_tokens is None else self.max_output_tokens - self.sequence.ledger.sampled
        if left is not None and left <= 0:
            return None
        grammar = self.constraints.after_call if self.accounting.tool_calls else self.constraints.until_call
        if self.replay is not None:
            grammar = None  # what is forced is what was recorded, whatever this request would have let the model say
        if left is None and grammar is None:
            return self.params
        return dataclasses.replace(self.params, max_tokens=left, grammar=grammar)

    def next_forced(self) -> list[int] | None:
        """The tokens that a replay forces as the next turn; None for a model that is really sampled.

        :raises ReplayExhausted: the script has no such turn.
        """
        return None if self.replay is None else self.replay.tokens(self.num_turns, self.service.model.chat_template)

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
        ledger = self.sequence.ledger
        given = ledger.prefilled + ledger.appended
        return Usage(
            input_tokens=given,
            output_tokens=ledger.sampled,
            total_tokens=given + ledger.sampled,
            # What was lost in a pause may be copied a second time.
            input_tokens_details=InputTokensDetails(min(ledger.copied, given)),
            output_tokens_details=OutputTokensDetails(self.reasoning_tokens),
        )
