"""What a request says about sampling, checked before anything is begun."""

from __future__ import annotations

from typing import Any

from ..protocol.errors import InvalidValue
from ..protocol.messages import ResponseCreate
from ..protocol.resource import plain_text
from ..sampler.engine import SamplingParams
from .boundary import translated
from .service import Service

LOGPROBS = "message.output_text.logprobs"
"""What ``include`` names to get log-probabilities. Other names are passed over, as clients ask for all they know."""

MAX_COUNT = 2**31 - 1


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


def check_bounds(create: ResponseCreate) -> None:
    """:raises InvalidValue: a bound of the whole Response is none."""
    for name in ("max_output_tokens", "max_tool_calls"):
        value = getattr(create, name)
        if value is not None and not 1 <= value <= MAX_COUNT:
            raise InvalidValue(f"'{name}' must be between 1 and {MAX_COUNT}.", param=name)


def text_options(create: ResponseCreate) -> dict[str, Any]:
    """``text`` as the Response echoes it: as it was given, the default format added."""
    given = {key: value for key, value in (create.text or {}).items() if value is not None}
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
