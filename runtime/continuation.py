"""The sequence that a Response begins with: a new one, or what a Response before it left.

Going on from a Response whose sequence is still there, a create that only brings outputs and messages costs what they
cost: they are rendered and tokenised alone, and appended. Everything else is rendered from its items as if it came for
the first time, and shares what is computed already as far as the tokens are the same.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..protocol.append_items import as_append
from ..protocol.errors import ContextLengthExceeded, InvalidRequest
from ..protocol.items import InputItem
from ..protocol.messages import ResponseCreate
from ..sampler.chat_template import Message
from ..sampler.engine import TokenSequence
from ..sampler.errors import NoFreeSequence, SequenceBusy, TemplateError
from ..sampler.prefix_index import BLOCK, common_length
from .accounting import Accounting, Before
from .context import encode_suffix
from .conversation import INTERRUPTED, chat_messages, num_assistant_turns, shown
from .emitter import Emitter
from .pending import Outputs
from .previous import Previous, Row
from .request_params import prefix_reuse
from .service import Service
from .truncation import truncated

LONG_PROMPT = 32_768
"""Characters. A longer prompt is rendered and tokenised in a thread, since it takes more than ten milliseconds, and
every other client would wait so long. A shorter one isn't worth the way there and back."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """``before`` is what of the sequence is not this Response's, ``num_turns`` the assistant turns in it."""

    row: Row
    before: Before
    num_turns: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be rendered.

    :ivar items: the new ones.
    :ivar definitions: of the tools that the model is told of.
    :ivar same_head: instructions and tools are those of ``previous``.
    """

    create: ResponseCreate
    items: Sequence[InputItem]
    definitions: Sequence[Mapping[str, Any]]
    previous: Previous | None
    same_head: bool

    async def open(self, service: Service, emit: Emitter, accounting: Accounting) -> Beginning:
        """Render and tokenise it, and get a sequence for it.

        :raises InvalidRequest: it makes no conversation, or a too long one.
        :raises SamplerError: the engine has no room, or the template refuses it.
        """
        opening = _Opening(self, service, emit, accounting)
        beginning = await opening.go_on() if self.same_head else None
        return await opening.begin() if beginning is None else beginning


class _Opening:
    def __init__(self, prompt: Prompt, service: Service, emit: Emitter, accounting: Accounting) -> None:
        self._prompt = prompt
        self._service = service
        self._emit = emit
        self._timed = accounting.preinference

    # --- on top of what is rendered ---------------------------------------------------------------------------------

    async def go_on(self) -> Beginning | None:
        """Append the new items to what the previous Response left; None where that can't be done."""
        previous = self._prompt.previous
        if previous is None or previous.row is None or not previous.has_turn:
            return None
        outputs = self._outputs(previous)
        if outputs is None:
            return None
        last = previous.row.sequence.ledger.row[previous.length - 1]
        try:
            with self._timed("render"):
                tokens = encode_suffix(self._service.model, last, previous.calls, outputs)
        except TemplateError:
            return None
        room = self._service.engine.context_length - previous.length
        if self._prompt.create.truncation == "auto":
            room -= self._reserved()
        if len(tokens) >= room:
            return None  # to be truncated, or refused
        return await self._grow(previous, previous.row, tokens)

    def _outputs(self, previous: Previous) -> Outputs | None:
        try:
            append = as_append(self._prompt.items)
        except InvalidRequest:
            return None
        given = {output.call_id: shown(output) for output in append.outputs}
        known = {**given, **(previous.answers or {})}
        is_open = {call.call_id for call in previous.calls} - (previous.answers or {}).keys()
        if len(given) < len(append.outputs) or not given.keys() <= is_open:
            return None  # an error, which rendering it anew finds
        return Outputs(tuple(known.get(call.call_id, INTERRUPTED) for call in previous.calls), append.messages)

    async def _grow(self, previous: Previous, row: Row, tokens: Sequence[int]) -> Beginning:
        if previous.is_last_of_row:
            row.is_growing = True
            row.share()
            kept = previous.length - 1  # the last sampled token is computed with what follows it
            before = Before.of(row.sequence, kept=kept)
            row.sequence.extend(tokens)
            return Beginning(row, before, previous.num_turns)
        forked = await self._fork(row, previous.length, tokens)
        if forked is not None:
            return Beginning(Row(forked[0]), forked[1], previous.num_turns)
        sequence = await self._open([*row.sequence.ledger.row[: previous.length], *tokens])
        return Beginning(Row(sequence), Before(), previous.num_turns)

    async def _fork(self, row: Row, length: int, tokens: Sequence[int]) -> tuple[TokenSequence, Before] | None:
        """The first ``length`` tokens of that row, and then these. None while another Response grows it: a new sequence
        with the same tokens shares what is computed, too."""
        try:
            fork = await self._with_room(lambda: _done(row.sequence.fork(length)))
        except SequenceBusy:
            return None
        before = Before.of(fork, kept=0)
        fork.extend(tokens)
        return fork, before

    # --- from its items ---------------------------------------------------------------------------------------------

    async def begin(self) -> Beginning:
        prompt = self._prompt
        history = [] if prompt.previous is None else prompt.previous.history
        with self._timed("render"):
            items = [*history, *prompt.items]
            messages = chat_messages(prompt.create.instructions, items, num_earlier=len(history))
        num_turns = num_assistant_turns(messages)
        is_long = sum(len(message["content"]) for message in messages) > LONG_PROMPT
        tokens = await asyncio.to_thread(self._fitting, messages) if is_long else self._fitting(messages)
        shared = await self._share(tokens)
        if shared is not None:
            return Beginning(Row(shared[0]), shared[1], num_turns)
        sequence = await self._open(tokens)
        return Beginning(Row(sequence), Before(), num_turns)

    def _fitting(self, messages: Sequence[Message]) -> list[int]:
        """Their tokens, of the latest messages only if all don't fit and the request allows that.

        :raises ContextLengthExceeded: they don't fit.
        """
        tokens = self._tokens(messages)
        room = self._service.engine.context_length - 1
        if self._prompt.create.truncation == "auto" and len(tokens) > (bound := room - self._reserved()):
            messages = truncated(messages, lambda some: len(self._tokens(some)), bound)
            tokens = self._tokens(messages)
        if len(tokens) > room:
            raise ContextLengthExceeded(
                f"The input makes {len(tokens)} tokens; the context holds {room + 1}, and the output needs room too. "
                "Send less, ask for truncation 'auto', or start the server with a larger --ctx.",
                param="input",
            )
        return tokens

    def _reserved(self) -> int:
        """Room that is left for the output, besides one token, where the input may be truncated: for as much as was
        asked for, or an eighth of the context, but never at the cost of all the input."""
        context = self._service.engine.context_length
        return min(self._prompt.create.max_output_tokens or context // 8, context // 2) - 1

    def _tokens(self, messages: Sequence[Message]) -> list[int]:
        template = self._service.model.chat_template
        with self._timed("render"):
            marked = template.render_marked(messages, self._prompt.definitions)
        with self._timed("tokenise"):
            return template.encode_marked(marked)

    async def _share(self, tokens: Sequence[int]) -> tuple[TokenSequence, Before] | None:
        """A fork of the previous Response's sequence, where a good part of it begins alike."""
        previous = self._prompt.previous
        if previous is None or previous.row is None or not prefix_reuse(self._prompt.create):
            return None
        row = array("i", tokens)
        common = min(common_length(previous.row.sequence.ledger.row, row), len(row) - 1)
        return await self._fork(previous.row, common, tokens[common:]) if common >= BLOCK else None

    async def _open(self, tokens: Sequence[int]) -> TokenSequence:
        share = prefix_reuse(self._prompt.create)
        return await self._with_room(lambda: self._service.engine.open(tokens, share_prefix=share))

    async def _with_room(self, opened: Callable[[], Awaitable[TokenSequence]]) -> TokenSequence:
        """A new sequence, for which a full engine drops what is only remembered, or what this Response takes the place
        of."""
        while True:
            try:
                return await opened()
            except NoFreeSequence:
                if not await self._emit.make_room():
                    raise


async def _done(sequence: TokenSequence) -> TokenSequence:
    return sequence
