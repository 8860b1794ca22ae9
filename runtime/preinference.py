"""Preinference: everything that happens once, before the first token.

Its stages are explicit and timed: validate, resolve, guards, render, tokenise; prefill is the engine's. Each works on
what is new: what the Response goes on from was checked, guarded, rendered and tokenised when it came. Whatever is wrong
with a request is found here, before ``response.created``: the client gets an ``error``, and a paused Response on the
same lane lives on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from ..protocol.connection import CreateRequested
from ..protocol.errors import InvalidValue, MissingParameter, ModelNotFound
from ..protocol.events import ResponseCreated, ResponseInProgress
from ..protocol.messages import ResponseCreate
from ..protocol.resource import Response
from ..sampler.engine import SamplingParams
from ..sampler.replay import ReplayScript
from .accounting import Accounting
from .boundary import translated
from .constraints import Constraints, make_constraints
from .context import Context
from .continuation import Beginning, Prompt
from .emitter import Emitter
from .history import find_item, find_previous
from .input_items import resolve_references
from .postinference import new_response_id
from .previous import Previous
from .request_params import check_fields, echoed, replay_name, sampling_params, text_schema
from .scripted import scripted_turns
from .service import Service
from .tool_choice import read_tool_choice
from .tool_definitions import Tools, read_tools


async def preinference(request: CreateRequested, service: Service, emit: Emitter) -> Context:
    """Check the request, render and tokenise its input, open a sequence with it, and announce the Response.

    ``emit.begin`` takes the Response into the connection once nothing of this can go wrong any more.

    :raises InvalidRequest: the request can't be carried out; its code says why.
    :raises Overloaded: the engine has no room for another sequence.
    """
    accounting = Accounting()
    accounting.preinference_runs += 1
    create = request.request
    with accounting.preinference("validate"):
        check_fields(create)
        params = sampling_params(create, service)
    with accounting.preinference("resolve"):
        _check_model(create, service)
        previous = await find_previous(create, service, emit)
    try:
        return await _prepared(request, service, emit, accounting, params, previous)
    finally:
        if previous is not None and previous.row is not None:
            await previous.row.release()


async def _prepared(
    request: CreateRequested,
    service: Service,
    emit: Emitter,
    accounting: Accounting,
    params: SamplingParams,
    previous: Previous | None,
) -> Context:
    create = request.request
    with accounting.preinference("resolve"):
        found = await resolve_references(request.input, lambda item_id: find_item(item_id, previous, service, emit))
    with accounting.preinference("validate"), translated():
        raw_tools = _raw_tools(create, previous, emit)
        same = previous if previous is not None and raw_tools == previous.raw_tools else None
        known = None if same is None else same.tools
        tools = read_tools(raw_tools, service) if known is None else known
        choice = read_tool_choice(create.tool_choice)
        with_tools = bool(tools.functions) and choice != "none"
        if not with_tools:
            # A model may call all the same; nobody could answer.
            params = dataclasses.replace(params, banned=service.model.call_tokens)
        _check_template(with_tools, service)
        constraints = await _constraints(create, choice, tools, service, same)
    with accounting.preinference("guards"):
        items = service.guards.rewrite(found)
    prompt = Prompt(
        create,
        items,
        tools.definitions if with_tools else (),
        previous,
        same_head=same is not None and _same_head(create, choice, same.create),
    )
    with translated():
        beginning = await prompt.open(service, emit, accounting)
    try:
        response = _announced(request, params, raw_tools, service)
        context = Context(
            service=service,
            request=request,
            items=items,
            raw_items=request.request.input if items is request.input else None,
            response=response,
            row=beginning.row,
            before=beginning.before,
            previous=previous,
            params=params,
            constraints=constraints,
            accounting=accounting,
            tools=tools,
            raw_tools=raw_tools,
            num_turns=beginning.num_turns,
            replay=_replay(request, previous, service),
            max_output_tokens=create.max_output_tokens,
            max_tool_calls=0 if choice == "none" else create.max_tool_calls,
        )
        context.check(items)
        emit.response.timing = accounting.preinference_ms
        await emit.begin()
        emit(ResponseCreated(response=response))
        emit(ResponseInProgress(response=response))
        emit.flush()
        service.metrics.response_began(emit.response.mode.name)
    except BaseException:
        await _give_back(beginning)
        raise
    return context


async def _give_back(beginning: Beginning) -> None:
    beginning.row.is_growing = False
    await beginning.row.release()


def _check_model(create: ResponseCreate, service: Service) -> None:
    names = ", ".join(sorted(service.model_names))
    if create.model is None:
        raise MissingParameter(f"'model' is missing. This server has {names}.", param="model")
    if create.model not in service.model_names:
        raise ModelNotFound(f"No model {create.model[:80]!r} here. This server has {names}.", param="model")


def _raw_tools(create: ResponseCreate, previous: Previous | None, emit: Emitter) -> Sequence[Any]:
    """The request's tools. A connection that remembers Responses remembers their tools too, for a create that says
    nothing of tools; elsewhere a request has those that it names."""
    if create.tools is None and previous is not None and emit.response.mode.remembers:
        return previous.raw_tools
    return create.tools or []


def _check_template(with_tools: bool, service: Service) -> None:
    problem = service.model.chat_template.tool_problem
    if with_tools and problem is not None:
        raise InvalidValue(f"This model can't go on after a tool's result: {problem}.", param="tools")


async def _constraints(
    create: ResponseCreate, choice: Any, tools: Tools, service: Service, previous: Previous | None
) -> Constraints:
    """The grammars of a Response: those of the previous one, where all that they depend on is the same."""
    parallel = create.parallel_tool_calls is not False
    if previous is not None and previous.constraints is not None:
        known = previous.create
        same = (choice, parallel, create.text) == (
            read_tool_choice(known.tool_choice),
            known.parallel_tool_calls is not False,
            known.text,
        )
        if same:
            return previous.constraints
    return await make_constraints(
        tools, service, tool_choice=choice, parallel_tool_calls=parallel, text_schema=text_schema(create)
    )


def _same_head(create: ResponseCreate, choice: Any, known: ResponseCreate) -> bool:
    """Whether what comes before the conversation is rendered as it was."""
    tools_told = (choice == "none") == (read_tool_choice(known.tool_choice) == "none")
    return tools_told and create.instructions == known.instructions


def _replay(request: CreateRequested, previous: Previous | None, service: Service) -> ReplayScript | None:
    if previous is not None and previous.replay is not None:
        return previous.replay
    script = scripted_turns(request.input) if service.scripted else None
    name = replay_name(request.request)
    if script is not None or name is None or service.replay is None:
        return service.replay if script is None else script
    session = service.replay.sessions.get(name)
    if session is None:
        raise InvalidValue(f"The server's replay script has no session {name[:80]!r}.", param="caesura.replay")
    return session


def _announced(
    request: CreateRequested, params: SamplingParams, raw_tools: Sequence[Any], service: Service
) -> Response:
    create = msgspec.structs.replace(request.request, tools=list(raw_tools))
    is_stored = create.store is not False and service.store is not None  # to store is the API's default
    fields = echoed(create, params, store=is_stored, background=request.response.is_background)
    return Response(id=new_response_id(), created_at=int(time.time()), status="in_progress", **fields)
