"""What the model says in a turn, as items and events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TypedDict

import msgspec

from ..protocol.events import (
    ContentPartAdded,
    ContentPartDone,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    ReasoningTextDelta,
    ReasoningTextDone,
)
from ..protocol.items import (
    FunctionCall,
    HostedCall,
    OutputItem,
    OutputMessage,
    OutputText,
    Reasoning,
    ReasoningText,
    TokenLogprob,
)
from ..sampler.tool_call_deltas import ArgumentsDelta, CallFinished, CallStarted, Delta, ReasoningDelta, TextDelta
from .context import Context
from .emitter import Emitter
from .pending import Call
from .turn_reader import TurnReader, token_logprob

BROKEN_OFF = "broken_off"
"""Why a turn has no end, until it is known why."""


class _Place(TypedDict):
    item_id: str
    output_index: int
    content_index: int


class TurnEvents:
    """The parser's deltas as items and events. At most one item is open at a time."""

    def __init__(self, context: Context, emit: Emitter, reader: TurnReader) -> None:
        self._context = context
        self._emit = emit
        self._reader = reader
        self._vocab = context.service.model.vocab if context.params.logprobs else None
        self._calls: list[Call] = []
        self._call_id = ""
        self._item_id = ""
        self._part: type[OutputText] | type[ReasoningText] | None = None  # of the item that is open, if it has text
        self._text: list[str] = []
        self._logprobs: list[TokenLogprob] = []

    def take(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            match delta:
                case TextDelta(text=text):
                    self._add_text(text)
                case ReasoningDelta(text=text):
                    self._add_reasoning(text)
                case CallStarted(name=name):
                    self._end_part("completed")
                    self._begin_call(name)
                case ArgumentsDelta(text=text):
                    self._reader.claim(text)
                    if self._item_id.startswith("fc_"):
                        self._emit(
                            FunctionCallArgumentsDelta(item_id=self._item_id, output_index=self._index, delta=text)
                        )
                case CallFinished():
                    self._end_call(delta)

    def end(self) -> Sequence[Call]:
        """Close what is open. A turn that was cut has no calls to answer, since the last one may lack its end."""
        context = self._context
        self._end_part("completed" if context.cut is None else "incomplete")
        if context.cut is None and any(call.refusal is not None for call in self._calls):
            # A model that goes on calling after it was told would go on for ever.
            context.cut = "max_tool_calls" if context.limit_told else None
            context.limit_told = True
        if context.cut is None:
            return self._calls
        for call in self._calls:
            if isinstance(call.item, HostedCall) and call.refusal is None:
                item = msgspec.structs.replace(call.item, status="incomplete")
                context.output[call.output_index] = item
                self._emit(OutputItemDone(output_index=call.output_index, item=item))
        return ()

    def break_off(self) -> None:
        """The turn ends in the middle: what was said until then is an incomplete item."""
        if not self._emit.response.has_ended:
            self._context.cut = self._context.cut or BROKEN_OFF
            self.take(self._reader.finish())
            self.end()

    @property
    def _index(self) -> int:
        return len(self._context.output)

    def _add(self, item: OutputItem) -> None:
        self._emit(OutputItemAdded(output_index=self._index, item=item))

    def _done(self, item: OutputItem) -> None:
        self._emit(OutputItemDone(output_index=self._index, item=item))
        self._context.output.append(item)

    # --- text and reasoning ---------------------------------------------------------------------------------------

    def _add_text(self, text: str) -> None:
        self._begin_part(OutputText)
        tokens = self._reader.claim(text)
        logprobs = [] if self._vocab is None else [token_logprob(sampled, self._vocab) for sampled in tokens]
        self._text.append(text)
        self._logprobs += logprobs
        self._emit(OutputTextDelta(**self._place, delta=text, logprobs=logprobs))

    def _add_reasoning(self, text: str) -> None:
        self._begin_part(ReasoningText)
        self._context.reasoning_tokens += len(self._reader.claim(text))
        self._text.append(text)
        self._emit(ReasoningTextDelta(**self._place, delta=text))

    @property
    def _place(self) -> _Place:
        return {"item_id": self._item_id, "output_index": self._index, "content_index": 0}

    def _begin_part(self, part: type[OutputText] | type[ReasoningText]) -> None:
        if self._part is part:
            return
        self._end_part("completed")
        self._part, self._text, self._logprobs = part, [], []
        if part is OutputText:
            self._item_id = f"msg_{uuid.uuid4().hex}"
            self._add(OutputMessage(id=self._item_id, status="in_progress"))
        else:
            self._item_id = f"rs_{uuid.uuid4().hex}"
            self._add(Reasoning(id=self._item_id, status="in_progress"))
        self._emit(ContentPartAdded(**self._place, part=part("")))

    def _end_part(self, status: str) -> None:
        part, self._part = self._part, None
        text = "".join(self._text)
        if part is OutputText:
            said = OutputText(text, logprobs=self._logprobs)
            self._emit(OutputTextDone(**self._place, text=text, logprobs=self._logprobs))
            self._emit(ContentPartDone(**self._place, part=said))
            self._done(OutputMessage(id=self._item_id, status=status, content=[said]))
        elif part is ReasoningText:
            thought = ReasoningText(text)
            self._emit(ReasoningTextDone(**self._place, text=text))
            self._emit(ContentPartDone(**self._place, part=thought))
            self._done(Reasoning(id=self._item_id, status=status, content=[thought]))

    # --- calls ----------------------------------------------------------------------------------------------------

    def _begin_call(self, name: str) -> None:
        hosted = name in self._context.tools.hosted_names
        self._call_id = f"call_{uuid.uuid4().hex}"
        self._item_id = f"{'hc' if hosted else 'fc'}_{uuid.uuid4().hex}"
        self._add(self._call_item(name, "", "in_progress"))

    def _end_call(self, call: CallFinished) -> None:
        # A call that is malformed but was not cut is asked all the same: the client's answer tells the model what is
        # wrong with it. A call that was cut, be it by a stop string, nobody should run.
        cut = not call.complete and (self._context.cut is not None or self._reader.stopped)
        refusal = None if cut else self._context.refusal(len(self._calls))
        asked = not cut and refusal is None
        item = self._call_item(call.name, call.arguments, "completed" if asked else "incomplete")
        at = self._index
        if isinstance(item, FunctionCall):
            self._emit(
                FunctionCallArgumentsDone(item_id=item.id, output_index=at, name=item.name, arguments=item.arguments)
            )
            self._done(item)
        elif asked:
            # Its item is done once the tool has run; until then it keeps its place in the output.
            self._context.output.append(item)
        else:
            self._done(msgspec.structs.replace(item, output=refusal))
        if not cut:
            self._calls.append(Call(item, at, call.written_id, refusal))

    def _call_item(self, name: str, arguments: str, status: str) -> FunctionCall | HostedCall:
        kind = HostedCall if name in self._context.tools.hosted_names else FunctionCall
        return kind(id=self._item_id, call_id=self._call_id, name=name, arguments=arguments, status=status)
