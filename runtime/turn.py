"""One turn of the assistant: tokens from the engine, through the parser, out as stream events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import aclosing
from typing import TypedDict

import msgspec

from ..protocol.items import FunctionCall, HostedCall, OutputItem, OutputMessage, OutputText
from ..protocol.messages import (
    ContentPartAdded,
    ContentPartDone,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
)
from ..sampler.tool_calls import ArgumentsDelta, CallFinished, CallStarted, Delta, TextDelta
from .context import Context
from .emitter import Emitter
from .pending import Call


async def sample(context: Context, emit: Emitter) -> Sequence[Call]:
    """Sample until the turn ends; stream what comes.

    :returns: the calls that the model made, in order. None at all ends the rollout: the turn was text, or it was cut
        (then ``context.cut`` says why).
    :raises SamplerError: the engine failed, or a replay has no more turns.
    """
    params = context.next_params()
    if params is None:
        context.cut = "max_output_tokens"
        return ()
    vocab = context.service.model.vocab
    turn = _TurnEvents(context, emit)
    parser = context.service.tool_call_parser()
    stream = context.sequence.sample(params, forced=context.next_forced())
    async with aclosing(stream):
        async for tokens in stream:
            for sampled in tokens:
                turn.take(parser.feed(vocab.visible_piece(sampled.token)))
            await emit.flush()
    context.end_turn(context.sequence.finish_reason)
    turn.take(parser.finish())
    return turn.end(cut=context.cut is not None)


class _Place(TypedDict):
    item_id: str
    output_index: int
    content_index: int


class _TurnEvents:
    """The parser's deltas as items and events. At most one item is open at a time."""

    def __init__(self, context: Context, emit: Emitter) -> None:
        self._context = context
        self._emit = emit
        self._calls: list[Call] = []
        self._call_id = ""
        self._item_id = ""
        self._text: list[str] | None = None

    def take(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            match delta:
                case TextDelta(text=text):
                    self._add_text(text)
                case CallStarted(name=name):
                    self._end_text("completed")
                    self._begin_call(name)
                case ArgumentsDelta(text=text):
                    if self._item_id.startswith("fc_"):
                        self._emit(
                            FunctionCallArgumentsDelta(item_id=self._item_id, output_index=self._index, delta=text)
                        )
                case CallFinished():
                    self._end_call(delta)

    def end(self, *, cut: bool) -> Sequence[Call]:
        """Close what is open. A turn that was cut has no calls to answer, since the last one may lack its end."""
        self._end_text("incomplete" if cut else "completed")
        if not cut:
            return self._calls
        for call in self._calls:
            if isinstance(call.item, HostedCall):
                item = msgspec.structs.replace(call.item, status="incomplete")
                self._context.output[call.output_index] = item
                self._emit(OutputItemDone(output_index=call.output_index, item=item))
        return ()

    @property
    def _index(self) -> int:
        return len(self._context.output)

    def _add(self, item: OutputItem) -> None:
        self._emit(OutputItemAdded(output_index=self._index, item=item))

    def _done(self, item: OutputItem) -> None:
        self._emit(OutputItemDone(output_index=self._index, item=item))
        self._context.output.append(item)

    # --- text -----------------------------------------------------------------------------------------------------

    def _add_text(self, text: str) -> None:
        if self._text is None:
            self._text, self._item_id = [], f"msg_{uuid.uuid4().hex}"
            self._add(OutputMessage(id=self._item_id, status="in_progress"))
            self._emit(ContentPartAdded(**self._place, part=OutputText("")))
        self._text.append(text)
        self._emit(OutputTextDelta(**self._place, delta=text))

    @property
    def _place(self) -> _Place:
        return {"item_id": self._item_id, "output_index": self._index, "content_index": 0}

    def _end_text(self, status: str) -> None:
        if self._text is None:
            return
        text, self._text = "".join(self._text), None
        self._emit(OutputTextDone(**self._place, text=text))
        self._emit(ContentPartDone(**self._place, part=OutputText(text)))
        self._done(OutputMessage(id=self._item_id, status=status, content=[OutputText(text)]))

    # --- calls ----------------------------------------------------------------------------------------------------

    def _begin_call(self, name: str) -> None:
        hosted = name in self._context.hosted_names
        self._call_id = f"call_{uuid.uuid4().hex}"
        self._item_id = f"{'hc' if hosted else 'fc'}_{uuid.uuid4().hex}"
        self._add(self._call_item(name, "", "in_progress"))

    def _end_call(self, call: CallFinished) -> None:
        # A call that is malformed but was not cut is asked all the same: the client's answer tells the model what is
        # wrong with it. Only a turn that was cut has calls that nobody should run.
        cut = self._context.cut is not None and not call.complete
        item = self._call_item(call.name, call.arguments, "incomplete" if cut else "completed")
        at = self._index
        if isinstance(item, HostedCall):
            # Its item is done once the tool has run; until then it keeps its place in the output.
            self._context.output.append(item)
        else:
            self._emit(
                FunctionCallArgumentsDone(item_id=item.id, output_index=at, name=item.name, arguments=item.arguments)
            )
            self._done(item)
        self._calls.append(Call(item, at))

    def _call_item(self, name: str, arguments: str, status: str) -> FunctionCall | HostedCall:
        kind = HostedCall if name in self._context.hosted_names else FunctionCall
        return kind(id=self._item_id, call_id=self._call_id, name=name, arguments=arguments, status=status)
