"""The fields of a request besides its input and tools: checked before anything is begun, and echoed by the Response."""

from __future__ import annotations

from typing import Any

from ..protocol.errors import InvalidValue, Unsupported
from ..protocol.messages import ResponseCreate
from ..protocol.resource import plain_text
from ..sampler.engine import SamplingParams
from .boundary import translated
from .service import Service
from .tool_choice import read_tool_choice
from .tool_definitions import echoed_tools

LOGPROBS = "message.output_text.logprobs"
"""What ``include`` names to get log-probabilities. Other names are passed over, as clients ask for all they know."""

MAX_COUNT = 2**31 - 1

MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE = 16, 64, 512
"""The Responses API's bounds: pairs, characters of a key, characters of a value."""

MAX_LABEL = 512
"""Characters of ``user`` and the like, which are echoed and nothing else. The Responses API takes 64 to 128: whoever
sends more means another server, and loses nothing here."""

_LABELS = ("user", "safety_identifier", "prompt_cache_key", "service_tier")
_TRUNCATIONS = (None, "disabled", "auto")


def check_fields(create: ResponseCreate) -> None:
    """Whether every field that concerns the whole Response can be used.

    What is only echoed may be anything within its bounds. ``stream_options``, ``text.verbosity`` and the values of
    ``reasoning`` and ``service_tier`` change nothing here, and new ones come up often.

    :raises InvalidValue: one can't be; ``param`` names it.
    :raises Unsupported: one refers to what a server of ours doesn't keep.
    """
    check_bounds(create)
    for name, instead in (("conversation", "'previous_response_id'"), ("prompt", "'instructions' and 'input'")):
        if getattr(create, name) is not None:
            raise Unsupported(f"'{name}' is not supported: no {name}s are kept here. Use {instead}.", param=name)
    if create.truncation not in _TRUNCATIONS:
        raise InvalidValue("'truncation' must be 'auto' or 'disabled'.", param="truncation")
    _check_metadata(create.metadata or {})
    for name in _LABELS:
        if len(getattr(create, name) or "") > MAX_LABEL:
            raise InvalidValue(f"'{name}' has more than {MAX_LABEL} characters.", param=name)
    for name in ("effort", "summary", "generate_summary"):
        if not isinstance((create.reasoning or {}).get(name), str | None):
            raise InvalidValue(f"'reasoning.{name}' must be a string.", param=f"reasoning.{name}")
    prefix_reuse(create)
    replay_name(create)


def check_bounds(create: ResponseCreate) -> None:
    """:raises InvalidValue: a bound of the whole Response is none."""
    for name in ("max_output_tokens", "max_tool_calls"):
        value = getattr(create, name)
        if value is not None and not 1 <= value <= MAX_COUNT:
            raise InvalidValue(f"'{name}' must be between 1 and {MAX_COUNT}.", param=name)


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > MAX_METADATA:
        raise InvalidValue(f"'metadata' has {len(metadata)} pairs; at most {MAX_METADATA} go.", param="metadata")
    for key, value in metadata.items():
        if len(key) > MAX_METADATA_KEY:
            raise InvalidValue(f"A key of 'metadata' has more than {MAX_METADATA_KEY} characters.", param="metadata")
        if len(value) > MAX_METADATA_VALUE:
            raise InvalidValue(
                f"The value of 'metadata.{key}' has more than {MAX_METADATA_VALUE} characters.", param=f"metadata.{key}"
            )


def prefix_reuse(create: ResponseCreate) -> bool:
    """Whether the KV state of a prompt that begins alike may be copied: ``caesura.prefix_reuse``, an extension for
    experiments. Other names in ``caesura`` are passed over.

    :raises InvalidValue: it is neither true nor false.
    """
    value = (create.caesura or {}).get("prefix_reuse")
    if value is None:
        return True
    if not isinstance(value, bool):
        raise InvalidValue("'caesura.prefix_reuse' must be true or false.", param="caesura.prefix_reuse")
    return value


def replay_name(create: ResponseCreate) -> str | None:
    """Which session of the server's replay script is to be played: ``caesura.replay``, an extension for experiments.

    :raises InvalidValue: it is no string.
    """
    value = (create.caesura or {}).get("replay")
    if not isinstance(value, str | None):
        raise InvalidValue("'caesura.replay' must be a string.", param="caesura.replay")
    return value


def sampling_params(create: ResponseCreate, service: Service) -> SamplingParams:
    """How to sample: the request's wishes, the model's own default temperature.

    :raises InvalidValue: one is out of its range.
    """
    given = {
        name: value
        for name in ("temperature", "top_k", "top_p", "min_p", "presence_penalty", "frequency_penalty", "seed")
        if (value := getattr(create, name)) is not None
    }
    stop = [create.stop] if isinstance(create.stop, str) else create.stop or []
    with translated():
        return SamplingParams(
            **{"temperature": service.model.default_temperature, **given},
            stop=tuple(stop),
            stop_tokens=service.model.stop_tokens,
            logprobs=LOGPROBS in (create.include or ()) or bool(create.top_logprobs),
            top_logprobs=create.top_logprobs or 0,
        )


def text_options(create: ResponseCreate) -> dict[str, Any]:
    """``text`` as the Response echoes it: as it was given, the default format added, a schema's format in full."""
    given = {key: value for key, value in (create.text or {}).items() if value is not None}
    form = given.get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        given["format"] = {**form, "description": form.get("description"), "strict": form.get("strict") or False}
    return {**plain_text(), **given}


def text_schema(create: ResponseCreate) -> dict[str, Any] | None:
    """The JSON schema that all text has to validate against; None for free text.

    :raises InvalidValue: ``text.format`` is none of the formats, or lacks its schema. Whether the schema can be
        enforced shows when its grammar is made (:mod:`.constraints`).
    """
    form = text_options(create)["format"]
    kind = form.get("type") if isinstance(form, dict) else None
    match kind:
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            if not isinstance(form.get("name"), str) or not form["name"]:
                raise InvalidValue("A json_schema format needs a 'name'.", param="text.format.name")
            if not isinstance(form.get("strict"), bool | None):
                raise InvalidValue("'text.format.strict' must be true or false.", param="text.format.strict")
            if not isinstance(form.get("schema"), dict):
                raise InvalidValue(
                    "A json_schema format needs a 'schema', which is an object.", param="text.format.schema"
                )
            return dict(form["schema"])
    raise InvalidValue(
        "'text.format' must be an object whose type is text, json_object or json_schema.", param="text.format"
    )


def echoed(create: ResponseCreate, params: SamplingParams, *, store: bool, background: bool) -> dict[str, Any]:
    """What a Response echoes of its request, nothing left out: arguments for :class:`..protocol.resource.Response`.
    The request is one that :func:`check_fields` and the others here let pass.

    ``service_tier`` is the one that the request was served with, as in the Responses API: there is one.

    :param store: whether the Response is stored in the end, which the request may leave to the server.
    :param background: the same for running without a connection.
    """
    return {
        "model": create.model or "",
        "instructions": create.instructions,
        "previous_response_id": create.previous_response_id,
        "tools": echoed_tools(create.tools),
        "tool_choice": read_tool_choice(create.tool_choice),
        "parallel_tool_calls": create.parallel_tool_calls is not False,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "top_logprobs": params.top_logprobs,
        "max_output_tokens": create.max_output_tokens,
        "max_tool_calls": create.max_tool_calls,
        "text": text_options(create),
        "reasoning": {"effort": None, "summary": None, **(create.reasoning or {})},
        "metadata": create.metadata or {},
        "truncation": create.truncation or "disabled",
        "store": store,
        "background": background,
        "service_tier": "default",
        "user": create.user,
        "safety_identifier": create.safety_identifier,
        "prompt_cache_key": create.prompt_cache_key,
    }
