"""Preinference: everything that happens once, before the first token.

Validation, rendering, tokenising, a sequence in the engine. Whatever is wrong with a request is found here, before
``response.created``: the client gets an ``error`` and a paused Response on the same lane lives on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..protocol.connection import CreateRequested
from ..protocol.errors import (
    ContextLengthExceeded,
    InvalidValue,
    MissingParameter,
    ModelNotFound,
    PreviousResponseNotFound,
)
from ..protocol.events import ResponseCreated, ResponseInProgress
from ..protocol.messages import ResponseCreate
from ..protocol.resource import Response
from ..sampler.engine import SamplingParams, TokenSequence
from ..sampler.errors import NoFreeSequence
from .accounting import Accounting
from .boundary import translated
from .constraints import make_constraints
from .context import Context
from .conversation import chat_messages, num_assistant_turns
from .emitter import Emitter
from .postinference import new_response_id
from .request_params import check_bounds, sampling_params, text_options, text_schema
from .scripted import scripted_turns
from .service import Service
from .tool_definitions import read_tools


async def preinference(request: CreateRequested, service: Service, emit: Emitter) -> Context:
    """Check the request, render and tokenise its input, open a sequence with it, and announce the Response.

    ``emit.begin`` takes the Response into the connection once nothing of this can go wrong any more.

    :raises InvalidRequest: the request can't be carried out; its code says why.
    :raises Overloaded: the engine has no room for another sequence.
    """
    accounting = Accounting()
    accounting.preinference_runs += 1
    create = request.request
    _check_supported(create, service)
    check_bounds(create)
    params = sampling_params(create, service)
    tools = read_tools(create.tools or [], service)
    with_tools = bool(tools.functions) and create.tool_choice != "none"
    messages = chat_messages(create.instructions, request.input)
    script = scripted_turns(request.input) if service.scripted else None
    template = service.model.chat_template
    if with_tools and template.tool_problem is not None:
        raise InvalidValue(f"This model can't go on after a tool's result: {template.tool_problem}.", param="tools")
    with translated():
        constraints = await make_constraints(
            tools,
            service,
            tool_choice=create.tool_choice,
            parallel_tool_calls=create.parallel_tool_calls is not False,
            text_schema=text_schema(create),
        )
        tokens = template.encode_prompt(messages, tools.definitions if with_tools else [])
        if len(tokens) >= service.engine.context_length:
            raise ContextLengthExceeded(
                f"The input makes {len(tokens)} tokens; the context holds {service.engine.context_length}, and the "
                "output needs room too. Send less, or start the server with a larger --ctx.",
                param="input",
            )
        sequence = await _open(tokens, service, emit)
    try:
        response = _announced(request, params)
        await emit.begin()
        emit(ResponseCreated(response=response))
        emit(ResponseInProgress(response=response))
        emit.flush()
    except BaseException:
        await sequence.close()
        raise
    return Context(
        service=service,
        response=response,
        sequence=sequence,
        params=params,
        constraints=constraints,
        accounting=accounting,
        hosted_names=tools.hosted_names,
        num_turns=num_assistant_turns(messages),
        replay=service.replay if script is None else script,
        max_output_tokens=create.max_output_tokens,
        max_tool_calls=0 if create.tool_choice == "none" else create.max_tool_calls,
    )


async def _open(tokens: Sequence[int], service: Service, emit: Emitter) -> TokenSequence:
    """A sequence with these tokens; a full engine gets the place of the Response that this one supersedes."""
    try:
        return await service.engine.open(tokens)
    except NoFreeSequence:
        if not await emit.make_room():
            raise
        return await service.engine.open(tokens)


def _announced(request: CreateRequested, params: SamplingParams) -> Response:
    create = request.request
    return Response(
        id=new_response_id(),
        created_at=int(time.time()),
        status="in_progress",
        model=create.model or "",
        instructions=create.instructions,
        tools=[tool for tool in create.tools or [] if isinstance(tool, dict)],
        tool_choice="auto" if create.tool_choice is None else create.tool_choice,
        parallel_tool_calls=create.parallel_tool_calls is not False,
        temperature=params.temperature,
        top_p=params.top_p,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        top_logprobs=params.top_logprobs,
        max_output_tokens=create.max_output_tokens,
        max_tool_calls=create.max_tool_calls,
        text=text_options(create),
        reasoning=create.reasoning,
        metadata=create.metadata or {},
    )


def _check_supported(create: ResponseCreate, service: Service) -> None:
    if create.model is None:
        raise MissingParameter(f"'model' is missing. This server has {_names(service)}.", param="model")
    if create.model not in service.model_names:
        raise ModelNotFound(f"No model {create.model[:80]!r} here. This server has {_names(service)}.", param="model")
    if create.previous_response_id is not None:
        raise PreviousResponseNotFound(
            f"Previous response with id {create.previous_response_id[:80]!r} not found. Nothing is stored here: append "
            "to a paused Response, or send the full input.",
            param="previous_response_id",
        )


def _names(service: Service) -> str:
    return ", ".join(sorted(service.model_names))
