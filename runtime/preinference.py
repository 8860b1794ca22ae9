"""Preinference: everything that happens once, before the first token.

Validation, rendering, tokenising, a sequence in the engine. Whatever is wrong with a request is found here, before
``response.created``: the client gets an ``error`` and a paused Response on the same lane lives on.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from ..protocol.connection import CreateRequested
from ..protocol.errors import (
    ContextLengthExceeded,
    InvalidToolSchema,
    InvalidValue,
    MissingParameter,
    ModelNotFound,
    PreviousResponseNotFound,
)
from ..protocol.messages import Response, ResponseCreate, ResponseCreated, ResponseInProgress
from ..sampler.engine import SamplingParams, TokenSequence
from ..sampler.errors import NoFreeSequence
from .accounting import Accounting
from .boundary import translated
from .context import Context
from .conversation import chat_messages, num_assistant_turns
from .emitter import Emitter
from .service import Service

MAX_TOOLS = 512


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
    functions, hosted_names = tool_definitions(create.tools or [], service)
    params = sampling_params(create, service)
    messages = chat_messages(create.instructions, request.input)
    with translated():
        tokens = service.model.chat_template.encode_prompt(messages, functions if create.tool_choice != "none" else [])
        if len(tokens) >= service.engine.context_length:
            raise ContextLengthExceeded(
                f"The input makes {len(tokens)} tokens; the context holds {service.engine.context_length}, and the "
                "output needs room too. Send less, or start the server with a larger --ctx.",
                param="input",
            )
        sequence = await _open(tokens, service, emit)
    try:
        response = _announced(request, params)
        emit.begin(request)
        emit(ResponseCreated(response=response))
        emit(ResponseInProgress(response=response))
        await emit.flush()
    except BaseException:
        await sequence.close()
        raise
    return Context(
        service=service,
        response=response,
        sequence=sequence,
        params=params,
        accounting=accounting,
        hosted_names=hosted_names,
        num_turns=num_assistant_turns(messages),
        max_output_tokens=create.max_output_tokens,
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
        id=f"resp_{uuid.uuid4().hex}",
        created_at=int(request.received_at),
        status="in_progress",
        model=create.model or "",
        instructions=create.instructions,
        tools=[tool for tool in create.tools or [] if isinstance(tool, dict)],
        tool_choice=create.tool_choice,
        temperature=params.temperature,
        top_p=params.top_p,
        max_output_tokens=create.max_output_tokens,
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
    if create.tool_choice not in ("auto", "none", None):
        raise InvalidValue("'tool_choice' must be 'auto' or 'none'; nothing else is supported.", param="tool_choice")
    if create.max_output_tokens is not None and create.max_output_tokens < 1:
        raise InvalidValue("'max_output_tokens' must be at least 1.", param="max_output_tokens")


def _names(service: Service) -> str:
    return ", ".join(sorted(service.model_names))


def sampling_params(create: ResponseCreate, service: Service) -> SamplingParams:
    """How to sample: the request's wishes, the model's own default temperature.

    :raises InvalidValue: one is out of its range.
    """
    given = {
        name: value
        for name in ("temperature", "top_k", "top_p", "min_p", "seed")
        if (value := getattr(create, name)) is not None
    }
    with translated():
        return SamplingParams(
            **{"temperature": service.model.default_temperature, **given}, stop_tokens=service.model.stop_tokens
        )


def tool_definitions(tools: Sequence[Any], service: Service) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """The tools as templates expect them, and the names of those that are hosted.

    Tools of a type that nobody here knows are passed over, as clients of the Responses API expect; the echoed
    ``tools`` show what was asked for.

    :raises InvalidToolSchema: a function without a name, twice the same name, or ``parameters`` that are no JSON
        schema of an object.
    """
    if len(tools) > MAX_TOOLS:
        raise InvalidValue(f"More than {MAX_TOOLS} tools.", param="tools")
    definitions: dict[str, dict[str, Any]] = {}
    hosted: set[str] = set()
    for at, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if not isinstance(kind, str):
            raise InvalidToolSchema("A tool is an object with a 'type'.", param=f"tools[{at}]")
        if kind == "function":
            definition = _function(tool, f"tools[{at}]")
        elif kind in service.hosted_tools:
            definition = dict(service.hosted_tools[kind].function)
            hosted.add(definition["name"])
        else:
            continue
        if definition["name"] in definitions:
            raise InvalidToolSchema(f"Two tools are named {definition['name']!r}.", param=f"tools[{at}].name")
        definitions[definition["name"]] = definition
    functions = [
        {"type": "function", "function": {key: tool[key] for key in ("name", "description", "parameters")}}
        for tool in definitions.values()
    ]
    return functions, frozenset(hosted)


def _function(tool: Mapping[str, Any], at: str) -> dict[str, Any]:
    name, description, parameters = tool.get("name"), tool.get("description"), tool.get("parameters")
    if not isinstance(name, str) or not name:
        raise InvalidToolSchema("A function tool needs a 'name'.", param=f"{at}.name")
    if not isinstance(description, str | None):
        raise InvalidToolSchema("A tool's 'description' must be a string.", param=f"{at}.description")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    try:
        Draft202012Validator.check_schema(parameters)
    except SchemaError as error:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path)
        raise InvalidToolSchema(
            f"The parameters of {name!r} are no JSON schema: {error.message[:200]}", param=f"{at}.parameters{where}"
        ) from error
    except RecursionError as error:
        raise InvalidToolSchema(
            f"The parameters of {name!r} are nested too deeply.", param=f"{at}.parameters"
        ) from error
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise InvalidToolSchema(
            f"The parameters of {name!r} must be a schema of type 'object'.", param=f"{at}.parameters"
        )
    return {"name": name, "description": description or "", "parameters": parameters}
