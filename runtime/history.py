"""What a Response goes on from, wherever it is kept, and what is kept of a Response that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from ..protocol.errors import PreviousResponseNotFound
from ..protocol.items import FunctionCall, InputItem, InputMessage, OutputItem, OutputMessage, parse_item
from ..protocol.messages import ResponseCreate
from ..protocol.resource import Response
from .context import Context
from .emitter import Emitter
from .input_items import stored_items
from .previous import Previous
from .service import Service
from .store import Earlier, StoredItem, StoredResponse


async def find_previous(create: ResponseCreate, service: Service, emit: Emitter) -> Previous | None:
    """The Response that a create goes on from, if it names one: as its connection remembers it, else as it is stored.
    The caller has a share of its row, and releases it.

    :raises PreviousResponseNotFound: it is in neither place, or not this owner's.
    """
    if create.previous_response_id is None:
        return None
    previous = emit.previous(create.previous_response_id)
    if previous is not None:
        if previous.row is not None:
            previous.row.share()
        return previous
    if service.store is not None:
        chain = await service.store.history(create.previous_response_id, emit.response.owner)
        if chain:
            return _restored(chain)
    raise PreviousResponseNotFound(
        f"Previous response with id {create.previous_response_id[:80]!r} not found.", param="previous_response_id"
    )


def _restored(chain: list[StoredResponse]) -> Previous:
    bodies = [msgspec.json.decode(item.body) for stored in chain for item in stored.items]
    items = [parse_item(body, f"history[{at}]") for at, body in enumerate(bodies) if not _is_cut_call(body)]
    response = msgspec.json.decode(chain[-1].response)
    create = ResponseCreate(
        model=response["model"], instructions=response["instructions"], tool_choice=response["tool_choice"]
    )
    return Previous(
        response=Response(
            id=chain[-1].id, created_at=0, status=response["status"], model=response["model"], store=True
        ),
        create=create,
        items=tuple(items),
        raw_tools=response["tools"],
    )


async def find_item(
    item_id: str, previous: Previous | None, service: Service, emit: Emitter
) -> Mapping[str, Any] | None:
    """The item that an ``item_reference`` means: of the Responses that this one goes on from, or a stored one."""
    while previous is not None:
        for item in previous.response.output:
            if item.id == item_id:
                found: Mapping[str, Any] = msgspec.to_builtins(item)
                return found
        previous = previous.parent
    stored = None if service.store is None else await service.store.item(item_id, emit.response.owner)
    return None if stored is None else msgspec.json.decode(stored.body)


def remembered(context: Context, final: Response) -> Previous:
    """The Response as a create on the same connection may go on from it. Holds a share of the row."""
    context.row.share()
    unanswered = context.unanswered
    return Previous(
        response=final,
        create=context.request.request,
        items=tuple(_as_input(item) for _, item in context.conversation if not _is_cut_call(item)),
        parent=context.previous,
        row=context.row,
        length=_length(context),
        calls=() if unanswered is None else unanswered.calls,
        answers={} if unanswered is None else unanswered.answers,
        num_turns=context.num_turns,
        tools=context.tools,
        raw_tools=context.raw_tools,
        constraints=context.constraints,
        replay=context.replay,
    )


def _length(context: Context) -> int:
    length = len(context.sequence.ledger)
    # The token that a warm-up sampled is nobody's.
    return length - 1 if context.request.request.generate is False else length


def _is_cut_call(item: InputItem | OutputItem | dict[str, Any]) -> bool:
    """A call that was cut off is nobody's to answer. In a store items are JSON, from which they are read as given ones,
    without a status."""
    if isinstance(item, dict):
        return item["type"] == FunctionCall.__struct_config__.tag and item.get("status") == "incomplete"
    return isinstance(item, FunctionCall) and item.status == "incomplete"


def _as_input(item: InputItem | OutputItem) -> InputItem:
    if isinstance(item, OutputMessage):
        return InputMessage(role=item.role, text="".join(part.text for part in item.content))
    return item


def record(context: Context, final: Response) -> tuple[StoredResponse, Earlier | None]:
    """The Response as a store keeps it, and what it goes on from, for a store that has lost that or never had it."""
    parent = context.previous
    raw = context.raw_items
    given = [msgspec.to_builtins(item) for item in context.items] if raw is None else raw
    items = [StoredItem(item["id"], False, msgspec.json.encode(item)) for item in stored_items(given)]
    for is_output, item in context.conversation[len(context.items) :]:
        body = msgspec.to_builtins(item)
        (kept,) = [body] if is_output else stored_items([body])
        items.append(StoredItem(kept["id"], is_output, msgspec.json.encode(kept)))
    stored = StoredResponse(
        id=final.id,
        owner=context.request.response.owner,
        created_at=final.created_at,
        previous_response_id=final.previous_response_id,
        response=msgspec.json.encode(final),
        items=tuple(items),
    )
    return stored, None if parent is None else partial(_earlier, parent)


def _earlier(previous: Previous) -> list[StoredItem]:
    items = stored_items([msgspec.to_builtins(item) for item in previous.history])
    return [StoredItem(item["id"], False, msgspec.json.encode(item)) for item in items]
